"""Writes the report: a folder of pages that opens from disk, with the leaderboard as CSV, JSON,
Markdown and LaTeX beside it.

Here stand the list of all its parts, and its first page: the leaderboard, what models cost, who is
told apart from whom, and how all of it was measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vbbench.report import export
from vbbench.report.contact_sheet import write_contact_sheet
from vbbench.report.figures import figures, identity_cost
from vbbench.report.items import ItemView, item_views, write_item_pages
from vbbench.report.media import MediaFolder
from vbbench.report.model_pages import write_model_pages
from vbbench.report.pages import copy_assets, environment, report_templates, settings_in_words
from vbbench.report.place import check_place, is_ours
from vbbench.results.aggregate import Failure
from vbbench.results.analysis import Results, analyse
from vbbench.results.normalised import LEAST
from vbbench.results.run_data import ItemFacts, RunData, merge_runs
from vbbench.results.run_folder import load_run
from vbbench.results.statistics import FEWEST_CLUSTERS, RESAMPLES
from vbbench.results.tables import COSTS, VERDICTS, Difference

ASSETS = ("report.css", "identity-cost.css", "report.js")
"""What every kind of page that shows videos needs."""
PAGE_ASSETS = ("leaderboard.css", "view.js", "board.js")
"""What the pages of a report need besides."""
PLOT = "identity-cost.svg"
WIDE, NARROW = 760, 360  # pixels of the picture of costs, for desks and for phones
EXAMPLES = 3
"""Items whose videos stand on the table page itself."""
FAILURES = 24
"""Lines of failures on the table page; the rest stand on the pages of their models."""


def write_report(
    run_paths: Sequence[Path | str], out: Path | str, shown_items: int | None = None
) -> Path:
    """Write the report of one or more runs of one suite.

    The same runs give the same bytes. An earlier report in the folder is replaced, other files
    there are left alone.

    Args:
        run_paths: run folders; their order decides the order of reference rows.
        out: the folder to write; made if it is not there.
        shown_items: show the videos of so many items only, from all over the suite; every number is
            of all items nevertheless.
    Returns:
        The path of its index.html.
    Raises:
        RunFolderError: a folder is no run, or damaged.
        IncompleteError: the runs cannot be compared: another suite, other metric specs, or two
            different models of one name.
        UsageError: no run is given, or the folder holds files of others where the report's would
            go.
    """
    check_place(Path(out))
    run = merge_runs([load_run(path) for path in run_paths])
    return write_results(analyse(run), out, shown_items)


def write_results(results: Results, out: Path | str, shown_items: int | None = None) -> Path:
    """Write the report of results: every page, figure and file of it is one call.

    Args:
        out, shown_items: as of `write_report`.
    Returns:
        The path of its index.html.
    Raises:
        UsageError: the folder holds files of others where the report's would go.
    """
    folder = Path(out)
    check_place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    media = MediaFolder(folder)
    views = item_views(results, media, shown_items)
    write_item_pages(results, folder, views, media)
    write_model_pages(results, folder, views, media)
    media.remove_unused()
    write_contact_sheet(results, folder)
    drawn = figures.write_figures(results, folder / "figures")
    picture = picture_of(results)
    write_cost_picture(picture, folder)
    write_index(results, folder, views, drawn, picture)
    export.write_csv(results, folder)
    export.write_comparisons(results, folder)
    export.write_json(results, folder)
    export.write_markdown(results, folder)
    export.write_latex(results, folder)
    write_scores_js(results.run, folder)
    copy_assets(folder, "vbbench.report", ASSETS + PAGE_ASSETS)
    return folder / "index.html"


def write_index(
    results: Results,
    folder: Path,
    views: Sequence[ItemView],
    drawn: Sequence[figures.DrawnFigure],
    picture: Mapping[str, Any] | None,
) -> None:
    """Write index.html, the leaderboard's page.

    Args:
        views: the items that have pages.
        drawn: the report's figures.
        picture: see `picture_of`.
    """
    run = results.run
    wanted = {
        views[number - 1].number
        for number in example_numbers([run.items[view.number - 1] for view in views])
    }
    html = (
        report_templates()
        .get_template("index.html.jinja")
        .render(
            run=run,
            results=results,
            cost_heads=COSTS,
            memory=any(column.name.endswith("_mb") for column in results.cost_columns),
            picture=picture,
            resamples=RESAMPLES,
            differences=[
                (row, results.differences[row.model])
                for row in results.rows + results.references
                if row.model in results.differences
            ],
            failures=results.failures[:FAILURES],
            more_failures=more_failures(results.failures[FAILURES:]),
            titles={model.name: model.title for model in run.models},
            metric_titles={spec.name: spec.title for spec in run.metrics},
            data=page_data(results),
            figures=[(figure, Markup(figure.inline)) for figure in drawn],
            examples=[view for view in views if view.number in wanted],
            shown={view.number for view in views},
            item_numbers={item.id: number for number, item in enumerate(run.items, start=1)},
            runs=[_run_facts(manifest) for manifest in run.manifests],
            root="",
        )
    )
    (folder / "index.html").write_text(html, "utf-8")
    for old in folder.glob("items-*.html"):  # earlier versions wrote pages of many items
        if re.fullmatch(r"items-\d+\.html", old.name) and is_ours(old):
            old.unlink()


def page_data(results: Results) -> dict[str, Any]:
    """What the page's script needs to work out means of a part of the items, and to draw the other
    matrices."""
    bounds = {spec.name: spec.bounds for spec in results.run.metrics}
    return {
        "metrics": [
            {
                "name": column.name,
                "decimals": column.decimals,
                "bounds": [
                    None if abs(end) == float("inf") else end for end in bounds[column.name]
                ],
                "sign": column.sign or 1,
                "floor": column.scale.floor,
                "ceiling": column.scale.ceiling,
            }
            for column in results.columns
        ],
        "t": results.student_quantiles,
        "fewest": FEWEST_CLUSTERS,
        "least": LEAST,
        "verdicts": list(VERDICTS.items()),
        "matrices": [
            [[_packed(cell) for cell in row] for row in matrix.rows] for matrix in results.matrices
        ],
    }


def _packed(cell: Difference | None) -> list[Any] | None:
    """A difference as the script reads it; None on the diagonal."""
    if cell is None:
        return None
    return [list(VERDICTS).index(cell.verdict), cell.text, cell.interval, cell.effect]


def more_failures(lost: Sequence[Failure]) -> dict[str, int]:
    """Model -> number of clips and scores that the table page does not tell of."""
    counts: dict[str, int] = {}
    for failure in lost:
        counts[failure.model] = counts.get(failure.model, 0) + len(failure.items)
    return counts


def example_numbers(items: Sequence[ItemFacts], count: int = EXAMPLES) -> list[int]:
    """Numbers, from 1, of items to show first: the first of each class, then others from all
    over."""
    first = {item.class_name: number for number, item in reversed(list(enumerate(items, start=1)))}
    spread = [len(items) * place // count + 1 for place in range(count)] if items else []
    return sorted(list(dict.fromkeys([*sorted(first.values()), *spread]))[:count])


def picture_of(results: Results) -> dict[str, Any] | None:
    """The picture of identity against cost at two widths; None where there is nothing to draw."""
    if results.primary is None:
        return None
    title = results.columns[0].title
    plot = identity_cost.plot_of(results.table, results.primary, title, results.run.bounds)
    if plot is None:
        return None
    wide, narrow = (identity_cost.drawing(plot, width) for width in (WIDE, NARROW))
    return {"wide": wide, "narrow": narrow, "metric": plot.metric, "left_out": plot.left_out}


def write_cost_picture(picture: Mapping[str, Any] | None, folder: Path) -> None:
    """Write the picture of identity against cost as a file of its own, identity-cost.svg; an
    earlier one is removed where there is nothing to draw."""
    path = folder / PLOT
    if picture is None:
        path.unlink(missing_ok=True)
        return
    style = files("vbbench.report").joinpath("templates", "identity-cost.css").read_text("utf-8")
    template = environment("vbbench.report").get_template(
        "identity-cost.svg.jinja", globals={"style": Markup(style)}
    )
    svg = template.module.plot(picture["wide"], "identity-cost", alone=True)  # type: ignore[attr-defined]
    path.write_text(f"{str(svg).strip()}\n", "utf-8")


def _run_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a run came about, as (what, words); whatever its manifest does not hold is left out."""
    facts = {
        "Command": manifest.get("command"),
        "Made": manifest.get("created"),
        "vbbench": manifest.get("vbbench"),
        "Commit": manifest.get("commit"),
        "Environment": settings_in_words(manifest.get("environment", {})),
    }
    return [
        (what, " ".join(value) if isinstance(value, list) else str(value))
        for what, value in facts.items()
        if value
    ]


# Every clip's scores as a plain script, for a page that is opened from disk and may fetch nothing.
#
# ``window.vbbenchScores`` holds parallel arrays and whole numbers, so that 20 models x 1,000 items
# x 6 metrics stay below a megabyte.

SCORE_DECIMALS = 5
"""Of the values, which are written as whole numbers of 10**-SCORE_DECIMALS."""
GLOBAL = "vbbenchScores"
_UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""What could end a script, or a line of it, while inside of a JSON string: these characters appear
nowhere else in JSON."""


def write_scores_js(run: RunData, folder: Path) -> None:
    """Write scores.js, a script that sets ``window.vbbenchScores`` and does nothing else; the same
    run gives the same bytes.

    Its fields:
        version: 1.
        models, metrics: names, as the run lists them.
        ids, texts, classOf, subjectOf: one an item, as the run lists them: its id, its prompt, and
            which of ``classes`` and ``subjects`` it is of.
        classes, subjects: names in the order of their first item.
        decimals: a value v stands for v / 10**decimals.
        values: [model][metric][item], null where there is no score.
    """
    text = f"window.{GLOBAL} = {script_json(score_record(run))};\n"
    (folder / "scores.js").write_text(text, "utf-8")


def score_record(run: RunData) -> dict[str, Any]:
    """What the script holds; see `write_scores_js`."""
    classes, class_of = _indexed(item.class_name for item in run.items)
    subjects, subject_of = _indexed(item.subject_id for item in run.items)
    return {
        "version": 1,
        "models": [model.name for model in run.models],
        "metrics": [spec.name for spec in run.metrics],
        "ids": [item.id for item in run.items],
        "texts": [item.text for item in run.items],
        "classes": classes,
        "classOf": class_of,
        "subjects": subjects,
        "subjectOf": subject_of,
        "decimals": SCORE_DECIMALS,
        "values": [
            [_values(run, model.name, spec.name) for spec in run.metrics] for model in run.models
        ],
    }


def script_json(record: Any) -> str:
    """A record as JSON that may stand inside of a script, in a file or in a page: no text in it can
    end the script or open a comment.

    Raises:
        ValueError: a number that JSON has not (NaN, infinity).
    """
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE)


def _values(run: RunData, model: str, metric: str) -> list[int | None]:
    known = run.values(model, metric)
    return [
        None if (value := known.get(item.id)) is None else round(value * 10**SCORE_DECIMALS)
        for item in run.items
    ]


def _indexed(names: Iterable[str]) -> tuple[list[str], list[int]]:
    """The different names in the order of their first appearance, and each one's number."""
    found = list(names)
    different = list(dict.fromkeys(found))
    number = {name: place for place, name in enumerate(different)}
    return different, [number[name] for name in found]
