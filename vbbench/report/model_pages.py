"""Pages of the models: what each one is, what it costs, its best, median and worst items, and what
failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.report.items import ClipView, ItemView, clip_view, image_prompt_of, split_at_word
from vbbench.report.media import MediaFolder
from vbbench.report.pages import report_templates
from vbbench.results import formatting
from vbbench.results.analysis import Results
from vbbench.results.run_data import ModelFacts
from vbbench.results.tables import Column, Row

FOLDER = "models"
MARK = "vbbench report, page of a model"
"""Says in a page's head that it is ours, and may be removed with the report."""


@dataclass(frozen=True)
class Pick:
    """An item that stands for how a model does under a metric.

    Attributes:
        what: best, median or worst; most, median or least where the metric has no direction; or
            only.
        clip: its video; None where the report holds none of that item.
        page: whether the item has a page in this report.
    """

    what: str
    number: int
    parts: tuple[str, str, str]
    prompt: str | None
    clip: ClipView | None
    text: str
    page: bool


@dataclass(frozen=True)
class Extremes:
    """A metric and the items that stand for it."""

    column: Column
    picks: tuple[Pick, ...]


def write_model_pages(
    results: Results, folder: Path, views: Sequence[ItemView], media: MediaFolder
) -> None:
    """Write models/<name>.html; pages of an earlier report are removed.

    Args:
        views: the items that have pages, and whose videos are shown. Others are shown only where
            they stand for a competitor under the primary metric, so that no page of a model is
            without pictures.
    """
    home = folder / FOLDER
    home.mkdir(exist_ok=True)
    for old in home.glob("*.html"):
        if MARK in old.read_text("utf-8", "replace"):
            old.unlink()
    template = report_templates().get_template("model-page.html.jinja")
    run = results.run
    shown = frozenset(view.number for view in views)
    rows = {row.model: row for row in results.rows + results.references}
    costs = {row.model: row.cells for row in results.cost_rows}
    numbers = {item.id: number for number, item in enumerate(run.items, start=1)}
    for model in run.models:
        cells = costs.get(model.name, ())
        html = template.render(
            run=run,
            results=results,
            model=model,
            row=rows[model.name],
            costs=list(zip(results.cost_columns, cells, strict=True)) if cells else [],
            extremes=[
                extremes_shown(
                    results,
                    model,
                    column,
                    shown,
                    media,
                    always=column.name == results.primary and not model.is_reference,
                )
                for column in results.columns
            ],
            failures=[failure for failure in results.failures if failure.model == model.name],
            item_numbers=numbers,
            metric_titles={spec.name: spec.title for spec in run.metrics},
            shown=shown,
            neighbours=_neighbours(results, model.name),
            mark=MARK,
            root="../",
        )
        (home / f"{formatting.file_name(model.name)}.html").write_text(html, "utf-8")


def extremes_shown(
    results: Results,
    model: ModelFacts,
    column: Column,
    shown: frozenset[int],
    media: MediaFolder,
    *,
    always: bool = False,
) -> Extremes:
    """The model's best, median and worst item under a metric, with their pictures.

    Args:
        shown: numbers of the items that have pages, and videos.
        always: videos are shown of others too.
    """
    picks = []
    for extreme in results.extremes[model.name, column.name]:
        item = results.run.items[extreme.number - 1]
        has_page = extreme.number in shown
        prompt, clip = None, None
        if has_page or always:
            prompt, _ = image_prompt_of(item, results.run, media)
            clip = clip_view(model, results.run.clips[model.name, item.id], media)
        parts = split_at_word(item.text, item.subject_word)
        picks.append(
            Pick(extreme.what, extreme.number, parts, prompt, clip, extreme.text, has_page)
        )
    return Extremes(column, tuple(picks))


def _neighbours(results: Results, name: str) -> tuple[Row | None, Row | None]:
    """The rows before and after a model's in the leaderboard."""
    rows = results.rows + results.references
    place = results.order.index(name)
    above = rows[place - 1] if place else None
    below = rows[place + 1] if place + 1 < len(rows) else None
    return above, below
