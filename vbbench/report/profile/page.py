"""A profile as a folder: profile.json, drawings, and one page that needs nothing beside it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vbbench.errors import UsageError
from vbbench.profiling import words
from vbbench.profiling.finite import finite
from vbbench.profiling.record import Ceiling, Record
from vbbench.profiling.record_json import FORMAT, write_record
from vbbench.report.pages import environment
from vbbench.report.profile.drawing import Picture, standing_alone, within_a_page
from vbbench.report.profile.pictures import draw

JSON, PAGE = "profile.json", "index.html"
_STYLE, _SCRIPT = '<link rel="stylesheet" href="report.css">', '<script src="report.js"></script>'


def claim_folder(folder: Path) -> None:
    """Make the folder, and prove that a profile may be written there: it is new, empty, or an
    earlier profile's.

    Raises:
        UsageError: it holds something else, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: choose another folder with --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        empty = not any(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}. Choose another folder with --out."
        ) from error
    if not empty and not _is_profile(folder / JSON):
        raise UsageError(
            f"{folder} holds something else than a profile, which might be overwritten: choose another folder with --out."
        )


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """`claim_folder`; if what follows fails, the folders that were made for it go again, if nothing
    is in them.

    Raises:
        UsageError: see `claim_folder`.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        claim_folder(folder)
        yield
    except BaseException:
        with suppress(OSError):
            for each in made:
                each.rmdir()
        raise


def _is_profile(path: Path) -> bool:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT


def write_profile(record: Record, folder: Path) -> Path:
    """Write everything; what an earlier profile left of drawings goes, and no number that is none
    gets into it.

    Returns:
        The page's path.
    Raises:
        UsageError: see `claim_folder`.
    """
    claim_folder(folder)
    record = finite(record)
    for old in (*folder.glob("sweeps-*.svg"), *folder.glob("roofline-*.svg")):
        old.unlink()
    write_record(record, folder / JSON)
    pictures = draw(record)
    for picture in pictures:
        (folder / f"{picture.name}.svg").write_text(standing_alone(picture.svg), "utf-8")
    (folder / PAGE).write_bytes(render(record, pictures).encode("utf-8", "replace"))
    return folder / PAGE


def render(record: Record, pictures: list[Picture]) -> str:
    """The page, style, script and drawings within it."""
    templates = environment("vbbench.report.profile", "vbbench.report")
    templates.globals.update(words=words, ceiling_words=ceiling_words, told=told)
    drawings = {
        picture.name: Markup(within_a_page(picture.svg, picture.name)) for picture in pictures
    }
    html = templates.get_template("profile.html.jinja").render(
        record=record, pictures=pictures, drawings=drawings
    )
    html = _inlined(
        html,
        _STYLE,
        f"<style>\n{_asset('vbbench.report', 'report.css')}{_asset('vbbench.report.profile', 'profile.css')}</style>",
    )
    script = _asset("vbbench.report", "report.js") + _asset("vbbench.report.profile", "profile.js")
    return _inlined(html, _SCRIPT, f"<script>\n{script}</script>")


def _inlined(html: str, reference: str, text: str) -> str:
    if html.count(reference) != 1:
        raise ValueError(f"the page's frame has no {reference}")
    return html.replace(reference, text)


def _asset(package: str, name: str) -> str:
    return (files(package) / "templates" / name).read_text("utf-8")


def ceiling_words(ceiling: Ceiling) -> tuple[str, str]:
    """``products of matrices, float32`` and ``176 GFLOP/s``."""
    if ceiling.kind == "copy":
        return "copying, read and written", f"{words.digits(ceiling.per_second / 1e9)} GB/s"
    return (
        f"products of matrices, {ceiling.dtype}",
        f"{words.digits(ceiling.per_second / 1e9)} GFLOP/s",
    )


def told(value: Any) -> str:
    """A fact of the environment; a dash where there is none."""
    return words.NOTHING if value is None else str(value)
