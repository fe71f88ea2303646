"""Workflows for CI services, to be copied: the quick gate, a model's own gate, and the recording of
new scores by hand."""

from __future__ import annotations

from pathlib import Path

from vbbench.core.names import nearest
from vbbench.errors import UsageError

_FOLDER = Path(__file__).parent


def workflow_names() -> list[str]:
    """Services that there is a workflow for."""
    return sorted(path.stem for path in _FOLDER.glob("*.yml"))


def workflow(name: str) -> str:
    """The text of a service's workflow, ready to be written into a repository.

    Raises:
        UsageError: there is none of that name; the message has the nearest.
    """
    if name not in workflow_names():
        raise UsageError(f"there is no workflow for {name!r}: {nearest(name, workflow_names())}")
    return (_FOLDER / f"{name}.yml").read_text(encoding="utf-8")
