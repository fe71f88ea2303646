"""One small page over everything that a folder publishes: leaderboards, claims, metric validity, gate, profiles.

Every figure is read from the JSON that the results came with; nothing is typed in. The same folder gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from vbbench.errors import RunFolderError, UsageError, VBBenchError
from vbbench.report.pages import environment
from vbbench.report.site import entries as site_entries
from vbbench.report.site import results as site_results
from vbbench.report.site.entries import Entry, Figure

PAGE = "index.html"
MARK = '<meta name="generator" content="vbbench report --site">'
"""Tells a page that may be replaced from one that somebody wrote."""
_SHARE = re.compile(r"(\d+) of (\d+)")


@dataclass(frozen=True)
class Section:
    """All results of one kind, the one nearest to the folder first."""

    id: str
    title: str
    says: str
    entries: tuple[Entry, ...]

    @property
    def figure(self) -> Figure | None:
        """What the section comes to: the first figure, over all entries that have one of its kind where it is so many of so many."""
        first = [entry.figures[0] for entry in self.entries if entry.figures]
        if not first:
            return None
        alike = [_SHARE.fullmatch(figure.number) for figure in first if figure.says == first[0].says]
        if len(alike) == 1 or None in alike:
            return first[0]
        parts, wholes = (sum(int(share[group]) for share in alike if share) for group in (1, 2))
        return Figure(f"{parts} of {wholes}", first[0].says)


KINDS = (
    ("leaderboard.json", "leaderboards", "Leaderboards", "Who keeps the subject, who follows the text, and what that costs."),
    ("claims.json", "claims", "Claims", "What the paper says, held against scores: an interval and a verdict each."),
    ("validity.json", "validity", "Metric validity", "What each metric sees, misses and is fooled by, in clips damaged by known amounts."),
    ("gate.json", "gate", "The gate", "A run held against recorded scores, item by item, with the noise of reruns known."),
    ("profile.json", "profiles", "Profiles", "How long the parts of a clip take, and how far that is from what was to be reached."),
)
"""File that tells of a result, and its section: id, title, a sentence."""
READERS = {
    "leaderboard.json": site_results.leaderboard,
    "claims.json": site_results.claims,
    "validity.json": site_results.validity,
    "gate.json": site_results.gate,
    "profile.json": site_results.profile,
}


def write_site(folder: Path | str, recordings: Sequence[Path] = ()) -> Path:
    """Write index.html of a folder of results.

    Args:
        folder: holds what `vbbench report`, `claims`, `metrics --validate`, `gate` and `profile` wrote, in folders of its own each.
        recordings: recorded scores that belong to the gate, as `vbbench gate record` writes them.
    Returns:
        The page's path.
    Raises:
        UsageError: there is no such folder, nothing to show, or its index.html is another page.
        RunFolderError: a result's file is damaged.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}.")
    page = root / PAGE
    if page.exists() and MARK not in page.read_text("utf-8", errors="replace"):
        raise UsageError(f"{page} is another page and would be lost: name the folder above it, or move it.")
    page.write_text(site_html(root, recordings), "utf-8")
    return page


def site_html(root: Path, recordings: Sequence[Path] = ()) -> str:
    """The page as a text; raises what `write_site` raises."""
    sections = sections_of(root, recordings)
    if not sections:
        raise UsageError(f"there is nothing to show in {root}: no {', '.join(name for name, *_ in KINDS)} in it or below it.")
    style = files("vbbench.report").joinpath("templates", "site.css").read_text("utf-8")
    template = environment("vbbench.report").get_template("site.html.jinja")
    return template.render(sections=sections, name=root.resolve().name, mark=Markup(MARK), style=Markup(style))


def sections_of(root: Path, recordings: Sequence[Path] = ()) -> tuple[Section, ...]:
    """What there is to show, in the order of `KINDS`; kinds of which there is nothing are left out."""
    found = [(name, *words, tuple(_entries(root, name))) for name, *words in KINDS]
    notes = _notes_alone(root)
    sections = []
    for name, key, title, says, entries in found:
        entries += tuple(entry for home, entry in notes if home == key)
        if name == "gate.json":
            entries += tuple(_read(site_results.recording, root, path) for path in sorted(recordings))
        if entries:
            sections.append(Section(key, title, says, entries))
    other = tuple(entry for home, entry in notes if home == "notes")
    return (*sections, *([Section("notes", "Notes", "", other)] if other else ()))


def _entries(root: Path, name: str) -> Iterator[Entry]:
    """Entries of the files of that name, those of the outer folders before those of folders in them."""
    paths = [path for path in root.rglob(name) if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    for path in sorted(paths, key=lambda path: (len(path.parts), path.relative_to(root).as_posix())):
        yield _read(READERS[name], root, path)


def _read(reader: site_results.Reader, root: Path, path: Path) -> Entry:
    try:
        return reader(root, path)
    except VBBenchError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(f"{path} is damaged or from another version of vbbench: {what}.") from error


def _notes_alone(root: Path) -> list[tuple[str, Entry]]:
    """Folders that hold a README.md and no result, with the section they belong to: that of their own name, else the notes."""
    keys = {key for _, key, *_ in KINDS}
    found = []
    for path in sorted(root.glob(f"*/{site_entries.NOTES}")):
        if not any(next(path.parent.rglob(name), None) for name in READERS):
            name = path.parent.name
            found.append((name if name in keys else "notes", site_entries.notes_entry(root, path)))
    return found
