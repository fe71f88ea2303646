"""One small page over everything that a folder publishes: leaderboards, claims, metric validity,
gate, profiles.

Every figure is read from the JSON that the results came with; nothing is typed in. The same folder
gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vbbench.errors import RunFolderError, UsageError, VBBenchError
from vbbench.metrics.meaning import of_kind, primary_of
from vbbench.metrics.spec import spec_from_json
from vbbench.profiling.record_json import read_record
from vbbench.profiling.words import check_cells
from vbbench.report.pages import environment
from vbbench.report.site import entries as site_entries
from vbbench.report.site.entries import (
    Cell,
    Entry,
    Figure,
    Line,
    Table,
    entry_id,
    links_of,
    made_words,
    picture_of,
)
from vbbench.results import formatting
from vbbench.results.gate.scores import read_recording
from vbbench.results.run_folder import read_json, read_model
from vbbench.types import MetricSpec

# Reads each kind of result for the site's page.

Reader = Callable[[Path, Path], Entry]
MOST_MODELS = 12
SHOWN_SUBJECT_METRICS = 3
BOUNDS = ("ceiling", "floor")
BOARD_FILES = (("Leaderboard", "index.html"), *((word, f"leaderboard.{end}") for word, end in (
    ("CSV", "csv"), ("JSON", "json"), ("Markdown", "md"), ("LaTeX", "tex"),
)))  # fmt: skip
VERDICTS = (
    ("reproduced", "better"),
    ("not reproduced", "worse"),
    ("undecided", "same"),
    ("not measured", "same"),
)


def leaderboard(root: Path, path: Path) -> Entry:
    """What `vbbench report` wrote."""
    record = read_json(path)
    suite, rows = record["suite"], record["leaderboard"]
    metrics = [spec_from_json(spec) for spec in record["metrics"].values()]
    titles = {spec.name: spec.title for spec in metrics}
    primary = primary_of(metrics) or ""
    models = [row for row in rows if not row["reference"]]
    individuals, items = (
        record["statistics"]["individuals"],
        max((row["items"] for row in rows), default=0),
    )
    part = formatting.restriction(record.get("prompts_per_subject"))
    first = [row["title"] for row in models if row.get(f"{primary}.rank") == 1]
    who = formatting.listed(first) if len(first) < 4 else formatting.count(len(first), "model")
    leader = f"; {who} {'leads' if len(first) == 1 else 'share the first rank'} in {titles.get(primary, '')}"
    return Entry(
        entry_id(root, path),
        f"Suite {suite['name']} {suite['version']}{': ' + path.parent.name if _is_inner(root, path) else ''}",
        f"{suite['description'].rstrip('.')}{f' ({part})' if part else ''}{leader if first and primary else ''}.",
        (
            Figure(str(len(models)), "model" if len(models) == 1 else "models"),
            Figure(str(individuals), "individuals"),
            Figure(str(items), "clips a model"),
            Figure(str(len(metrics)), "metrics"),
        ),
        _board(rows, _shown(metrics), primary, titles, _roles(record["runs"])),
        links_of(
            root,
            path.parent,
            BOARD_FILES,
        ),
        None
        if _is_inner(root, path)
        else picture_of(
            root, path.parent / "contact-sheet.png", "Clips of held-out subjects, a model a column"
        ),
        made_words(*_origin(record["runs"])),
    )


def _shown(metrics: Sequence[MetricSpec]) -> list[str]:
    """Names of the few metrics that the page has room for: of the subject, and of the text."""
    shown = [*of_kind(metrics, "subject")[:SHOWN_SUBJECT_METRICS], *of_kind(metrics, "text")[:1]]
    return [spec.name for spec in shown or metrics[:4]]


def _roles(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Model -> its role, as the runs' manifests say."""
    return {
        name: read_model(name, model).role for run in runs for name, model in run["models"].items()
    }


def _is_inner(root: Path, path: Path) -> bool:
    """Whether another leaderboard stands in a folder around this one."""
    return any(
        (folder / path.name).is_file()
        for folder in path.parent.parents
        if folder == root or folder.is_relative_to(root)
    )


def _origin(runs: Sequence[Mapping[str, Any]]) -> tuple[object, object, object]:
    last = max(runs, key=lambda run: str(run.get("created") or ""), default={})
    return last.get("created"), last.get("environment"), last.get("commit")


def _board(
    rows: Sequence[Mapping[str, Any]],
    metrics: Sequence[str],
    primary: str,
    titles: Mapping[str, str],
    roles: Mapping[str, str],
) -> Table:
    """`metrics`: names of those shown; `roles`: of the reference rows."""
    models = [row for row in rows if not row["reference"]]
    bounds = [row for row in rows if roles.get(row["model"]) in BOUNDS]
    shown = [*models[:MOST_MODELS], *bounds]
    lines = [
        Line(
            f"{row[f'{primary}.rank']}. {row['title']}"
            if row.get(f"{primary}.rank")
            else row["title"],
            tuple(_score(row, name) for name in metrics),
            bool(row["reference"]),
            formatting.reference_role(roles.get(row["model"], "")) if row["reference"] else "",
        )
        for row in shown
    ]
    left = len(models) - MOST_MODELS
    more = f"; the best {MOST_MODELS} of {len(models)} models" if left > 0 else ""
    ranks = f", ranks by {titles[primary]}" if primary else ""
    caption = f"Means and 95 % intervals{ranks}{more}"
    return Table(caption, ("Model", *(titles[name] for name in metrics)), tuple(lines))


def _score(row: Mapping[str, Any], metric: str) -> Cell:
    """A mean, its interval, and a bar for where it lies between floor and ceiling, as far as the
    results say."""
    scaled = row.get(f"{metric}.scaled")
    share = None if scaled is None else round(100 * min(max(scaled, 0), 1), 1)
    interval = formatting.interval(row.get(f"{metric}.low"), row.get(f"{metric}.high"), 3)
    return Cell(formatting.number(row.get(metric), 3), interval, share=share)


def claims(root: Path, path: Path) -> Entry:
    """What `vbbench claims` wrote."""
    record = read_json(path)
    suite, found = record["suite"], record["claims"]
    kinds = dict(VERDICTS)
    tally = {
        verdict: sum(claim["verdict"] == verdict for claim in found) for verdict, _ in VERDICTS
    }
    lines = tuple(
        Line(
            claim["says"],
            (
                Cell(
                    claim["verdict"],
                    "" if claim["established"] else _unsure(claim),
                    kinds.get(claim["verdict"], "same"),
                ),
            ),
            note=claim["source"],
        )
        for claim in found
    )
    told = formatting.listed(f"{count} {verdict}" for verdict, count in tally.items() if count)
    return Entry(
        entry_id(root, path),
        f"The paper\N{RIGHT SINGLE QUOTATION MARK}s claims on {suite['name']} {suite['version']}",
        f"Of {formatting.count(len(found), 'claim')}, {told}; each interval is over individuals and, where there are several, trainings.",
        tuple(
            Figure(f"{count} of {len(found)}", verdict) for verdict, count in tally.items() if count
        ),
        Table("Claims and verdicts", ("Claim", "Verdict"), lines),
        links_of(
            root,
            path.parent,
            (("All intervals", "claims.html"), ("JSON", path.name), ("Markdown", "claims.md")),
        ),
        made=made_words(*_origin(record["runs"])),
    )


def _unsure(claim: Mapping[str, Any]) -> str:
    """Why a verdict is not established, where that is because of a single training."""
    single = any(len(finding["training_seeds"]) == 1 for finding in claim["findings"])
    return "one training, not established" if single and claim["verdict"] != "not measured" else ""


def validity(root: Path, path: Path) -> Entry:
    """What `vbbench metrics --validate` wrote."""
    record = read_json(path)
    clips, found = record["clips"], record["found"]
    titles = {damage["name"]: damage["title"] for damage in record["damages"]}
    ought = [cell for cell in found if cell["expected"] == "fall"]
    fooled = [cell for cell in found if cell["verdict"] == "fooled"]
    lines = tuple(
        _seen(name, [cell for cell in found if cell["metric"] == name], titles)
        for name in record["metrics"]
    )
    count = len(clips["classes"]) * clips["per_class"]
    return Entry(
        entry_id(root, path),
        "What the metrics see",
        f"{formatting.count(len(record['metrics']), 'metric')} scored {formatting.count(count, 'real clip')} under "
        f"{formatting.count(len(titles), 'kind')} of damage at known levels.",
        (
            Figure(
                f"{sum(cell['verdict'] == 'sees' for cell in ought)} of {len(ought)}",
                "damages that ought to be seen are",
            ),
            Figure(str(len(fooled)), "times a metric calls the worse clip better"),
        ),
        Table(
            "What each metric sees, misses and is fooled by",
            ("Metric", "Sees", "Blind to", "Fooled by"),
            lines,
        ),
        links_of(
            root,
            path.parent,
            (("Report", "index.html"), ("JSON", path.name), ("CSV", "validity.csv")),
        ),
        picture_of(
            root, path.parent / "validity.png", "Rank correlation of every metric with every damage"
        ),
        made_words("", record.get("libraries")),
    )


def _seen(metric: str, cells: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Line:
    def under(verdict: str) -> str:
        names = [titles[cell["damage"]] for cell in cells if cell["verdict"] == verdict]
        return ", ".join(name[0].lower() + name[1:] for name in names) or formatting.NOTHING

    ought = [cell for cell in cells if cell["expected"] == "fall"]
    seen = sum(cell["verdict"] == "sees" for cell in ought)
    share = 100 * seen / len(ought) if ought else None
    return Line(
        formatting.metric_title(metric),
        (Cell(f"{seen} of {len(ought)}", share=share), Cell(under("blind")), Cell(under("fooled"))),
    )


def gate(root: Path, path: Path) -> Entry:
    """What `vbbench gate` wrote."""
    record = read_json(path)
    suite, counts = record["suite"], record["counts"]
    return Entry(
        entry_id(root, path),
        f"Suite {suite['name']} {suite['version']} against recorded scores",
        str(record["verdict"]),
        tuple(Figure(str(number), str(what)) for what, number in counts.items() if number),
        links=links_of(
            root,
            path.parent,
            (
                ("Findings", "index.html"),
                ("JSON", path.name),
                ("JUnit", "gate.xml"),
                ("Markdown", "gate.md"),
            ),
        ),
        made=made_words(*_origin(record["runs"])),
    )


def recording(root: Path, path: Path) -> Entry:
    """Recorded scores, which lie elsewhere and are not linked."""
    found = read_recording(path)
    facts = found.facts
    largest = max((noise.largest for noise in found.noise.values()), default=None)
    items = len(
        {
            item
            for model in found.models.values()
            for scores in model.scores.values()
            for item in scores
        }
    )
    return Entry(
        f"recorded-{entry_id(path.parent, path)}",
        f"Recorded scores of suite {found.suite['name']} {found.suite['version']}",
        f"Recorded by {facts.get('who')} because: {formatting.clipped(str(facts.get('why') or ''), 300)}.",
        (
            Figure(str(len(found.models)), "models and references"),
            Figure(str(items), "items"),
            *(
                [Figure(f"{largest:.1e}", "largest change of an item between reruns")]
                if largest is not None
                else []
            ),
        ),
        made=made_words(facts.get("when"), facts.get("environment"), facts.get("commit")),
    )


def profile(root: Path, path: Path) -> Entry:
    """What `vbbench profile` wrote."""
    record = read_record(path)
    counting = [check for check in record.checks if check.counts]
    passed = sum(check.passed is True for check in counting)
    cases = list(dict.fromkeys(row.case for row in record.rows))
    what = cases[0] if len(cases) == 1 else formatting.count(len(cases), "case")
    lines = tuple(
        Line(name, (Cell(bound), Cell(figure), Cell(verdict, kind=_KIND[check.passed])))
        for check in counting
        for name, bound, figure, verdict in [check_cells(check)]
    )
    others = len(record.checks) - len(counting)
    aside = (
        f" {formatting.count(others, 'target')} {'is' if others == 1 else 'are'} for other devices or settings."
        if others
        else ""
    )
    return Entry(
        entry_id(root, path),
        f"{record.title}: {path.parent.name}",
        f"{what}: {formatting.count(len(record.rows), 'row')} measured on {record.environment.get('device') or 'this device'}.{aside}",
        (Figure(f"{passed} of {len(counting)}", "targets reached"),) if counting else (),
        Table("Targets of this device", ("Target", "Wanted", "Measured", "Verdict"), lines)
        if counting
        else None,
        links_of(root, path.parent, (("Profile", "index.html"), ("JSON", path.name))),
        made=made_words(record.created, record.environment),
    )


_KIND = {True: "better", False: "worse", None: "same"}


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
        """What the section comes to: the first figure, over all entries that have one of its kind
        where it is so many of so many."""
        first = [entry.figures[0] for entry in self.entries if entry.figures]
        if not first:
            return None
        alike = [
            _SHARE.fullmatch(figure.number) for figure in first if figure.says == first[0].says
        ]
        if len(alike) == 1 or None in alike:
            return first[0]
        parts, wholes = (sum(int(share[group]) for share in alike if share) for group in (1, 2))
        return Figure(f"{parts} of {wholes}", first[0].says)


KINDS = (
    (
        "leaderboard.json",
        "leaderboards",
        "Leaderboards",
        "Who keeps the subject, who follows the text, and what that costs.",
    ),
    (
        "claims.json",
        "claims",
        "Claims",
        "What the paper says, held against scores: an interval and a verdict each.",
    ),
    (
        "validity.json",
        "validity",
        "Metric validity",
        "What each metric sees, misses and is fooled by, in clips damaged by known amounts.",
    ),
    (
        "gate.json",
        "gate",
        "The gate",
        "A run held against recorded scores, item by item, with the noise of reruns known.",
    ),
    (
        "profile.json",
        "profiles",
        "Profiles",
        "How long the parts of a clip take, and how far that is from what was to be reached.",
    ),
)
"""File that tells of a result, and its section: id, title, a sentence."""
READERS = {
    "leaderboard.json": leaderboard,
    "claims.json": claims,
    "validity.json": validity,
    "gate.json": gate,
    "profile.json": profile,
}


def write_site(folder: Path | str, recordings: Sequence[Path] = ()) -> Path:
    """Write index.html of a folder of results.

    Args:
        folder: holds what `vbbench report`, `claims`, `metrics --validate`, `gate` and `profile`
            wrote, in folders of its own each.
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
        raise UsageError(
            f"{page} is another page and would be lost: name the folder above it, or move it."
        )
    page.write_text(site_html(root, recordings), "utf-8")
    return page


def site_html(root: Path, recordings: Sequence[Path] = ()) -> str:
    """The page as a text; raises what `write_site` raises."""
    sections = sections_of(root, recordings)
    if not sections:
        raise UsageError(
            f"there is nothing to show in {root}: no {', '.join(name for name, *_ in KINDS)} in it or below it."
        )
    style = files("vbbench.report").joinpath("templates", "site.css").read_text("utf-8")
    template = environment("vbbench.report").get_template("site.html.jinja")
    return template.render(
        sections=sections, name=root.resolve().name, mark=Markup(MARK), style=Markup(style)
    )


def sections_of(root: Path, recordings: Sequence[Path] = ()) -> tuple[Section, ...]:
    """What there is to show, in the order of `KINDS`; kinds of which there is nothing are left
    out."""
    found = [tuple(_entries(root, name)) for name, *_ in KINDS]
    notes = _notes_alone(root)
    sections = []
    for (name, key, title, says), entries in zip(KINDS, found, strict=True):
        entries += tuple(entry for home, entry in notes if home == key)
        if name == "gate.json":
            entries += tuple(_read(recording, root, path) for path in sorted(recordings))
        if entries:
            sections.append(Section(key, title, says, entries))
    other = tuple(entry for home, entry in notes if home == "notes")
    return (*sections, *([Section("notes", "Notes", "", other)] if other else ()))


def _entries(root: Path, name: str) -> Iterator[Entry]:
    """Entries of the files of that name, those of the outer folders before those of folders in
    them."""
    paths = [
        path
        for path in root.rglob(name)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    for path in sorted(
        paths, key=lambda path: (len(path.parts), path.relative_to(root).as_posix())
    ):
        yield _read(READERS[name], root, path)


def _read(reader: Reader, root: Path, path: Path) -> Entry:
    try:
        return reader(root, path)
    except VBBenchError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"{path} is damaged or from another version of vbbench: {what}."
        ) from error


def _notes_alone(root: Path) -> list[tuple[str, Entry]]:
    """Folders that hold a README.md and no result, with the section they belong to: that of their
    own name, else the notes."""
    keys = {key for _, key, *_ in KINDS}
    found = []
    for path in sorted(root.glob(f"*/{site_entries.NOTES}")):
        if not any(next(path.parent.rglob(name), None) for name in READERS):
            name = path.parent.name
            found.append((name if name in keys else "notes", site_entries.notes_entry(root, path)))
    return found
