"""suite.toml: what may stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from vbbench.core.schema import Complaint, Header, brief, complaints, worst
from vbbench.errors import SuiteError


class RenderedTable(Header):
    """[rendered]: how a suite of the miniature world is rendered.

    Attributes:
        per_class: individuals of each class.
        prompts: items of each individual.
        split: of the miniature world, see `vbbench.data.world.individuals`.
    """

    per_class: int
    prompts: int
    seed: int
    split: str


class SuiteFile(Header):
    """suite.toml.

    Attributes:
        num_frames, size, fps: of a video; the size in pixels, the rate in frames a second.
        seed: from which those of items and image prompts are derived.
        metrics: names of what is measured by default.
        digest: SHA-256 over the settings and every file, 64 hex digits; None before the suite is
            written.
    """

    name: str
    version: str
    description: str
    scale: str
    num_frames: int = Field(ge=1)
    size: int = Field(ge=1)
    fps: int = Field(ge=1)
    seed: int
    metrics: list[str]
    digest: str | None = None
    rendered: RenderedTable | None = None


def check_suite_file(settings: Mapping[str, Any], root: Path) -> None:
    """Does nothing if a suite's settings are known and of the right types.

    Raises:
        SuiteError: one is not; the sentence names the suite's folder.
    """
    try:
        SuiteFile.model_validate(dict(settings))
    except ValidationError as error:
        wrong = worst(complaints(error, SuiteFile))
        raise SuiteError(f"the suite {root} {_said(wrong, settings)}") from None


def check_rendered_table(table: Any, root: Path) -> None:
    """As `check_suite_file`, of the table ``rendered`` alone."""
    try:
        RenderedTable.model_validate(table)
    except ValidationError:
        raise SuiteError(f"the suite {root} {_rendered_said(table)}") from None


def _said(wrong: Complaint, settings: Mapping[str, Any]) -> str:
    if "rendered" in (wrong.key, *wrong.table):
        return _rendered_said(settings["rendered"])
    if wrong.kind == "unknown":
        return f"has unknown settings: {wrong.key}: {wrong.text}"
    if "metrics" in wrong.table:
        return f"lists metrics that are not names: {brief(wrong.value)}."
    if wrong.text.startswith("greater"):
        return (
            "needs at least one frame, one pixel and one frame a second: "
            f"{wrong.key} is {brief(wrong.value)}."
        )
    kind = SuiteFile.model_fields[str(wrong.key)].annotation
    name = getattr(kind, "__name__", str(kind))
    return f"needs the setting {wrong.key} ({name}), not {brief(settings.get(str(wrong.key)))}."


def _rendered_said(table: Any) -> str:
    names = ", ".join(RenderedTable.model_fields)
    return f"must say {names} in [rendered], not {brief(table)}."
