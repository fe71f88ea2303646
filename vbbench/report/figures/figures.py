"""The figures of a report, as SVG and PDF: metric against metric, identity against cost, the scale
of the references, who beats whom."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import numpy as np

from vbbench.metrics.meaning import of_kind
from vbbench.report.figures import plots as figure_plots
from vbbench.report.figures import style
from vbbench.report.figures.style import (
    FITTED,
    INK,
    READY,
    REFERENCE,
    RULE,
    SOFT,
    UNSAID,
    new_figure,
    styled,
)
from vbbench.results import formatting
from vbbench.results.comparisons import Comparison, Pair

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.figure import Figure as Drawing

    from vbbench.results.analysis import Results
    from vbbench.results.tables import Column

# A figure as an SVG element that stands in a page: text stays text, colours are the page's, and it
# is a third as long as the file.

COLOURS = {
    INK: "var(--fig-ink, currentColor)",
    SOFT: "var(--fig-soft, currentColor)",
    RULE: "var(--fig-rule, rgb(128 128 128 / 0.28))",
    READY: "var(--fig-1, #2e8fd0)",
    FITTED: "var(--fig-2, #d9642a)",
    REFERENCE: "var(--fig-ref, #85898f)",
}
"""Custom properties that a page may set, light or dark; the fallbacks can be seen on both."""
PIXELS = 4 / 3
"""Of a page, in a point."""
_REFERENCE_TO = re.compile(r"^#(\w+)$|url\(#(\w+)\)")
_LINK = "{http://www.w3.org/1999/xlink}href"


def inline(figure: Figure, stem: str, title: str, alt: str) -> str:
    """The figure as an SVG element.

    Args:
        stem: what begins every id in it, so that figures of one page have no id in common.
        title, alt: what it is, and what it shows.
    """
    file = io.StringIO()
    with styled(**{"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata=dict(UNSAID["svg"]), transparent=True)
    svg = ElementTree.fromstring(file.getvalue())
    _strip(svg)
    _rename(svg, stem)
    width, height = (float(svg.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    labels = {"title": (f"{stem}-title", title), "desc": (f"{stem}-words", alt)}
    svg.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "class": "figure",
        "viewBox": svg.attrib["viewBox"],
        "width": f"{width * PIXELS:.0f}",
        "height": f"{height * PIXELS:.0f}",
        "role": "img",
        "aria-labelledby": " ".join(name for name, _ in labels.values()),
    }
    for place, (tag, (name, text)) in enumerate(labels.items()):
        label = ElementTree.Element(tag, {"id": name})
        label.text = text
        svg.insert(place, label)
    return ElementTree.tostring(svg, encoding="unicode")


def _strip(element: ElementTree.Element) -> None:
    """Without what a page does not need: metadata, a style sheet that would be the whole page's,
    groups of nothing, space."""
    element.tag = element.tag.rpartition("}")[2]
    kept: list[ElementTree.Element] = []
    for child in element:
        _strip(child)
        if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
            continue
        kept += list(child) if child.tag == "g" and not set(child.attrib) - {"id"} else [child]
    element[:] = kept
    element.tail = None
    if element.tag != "text":
        element.text = None
    if _LINK in element.attrib:
        element.attrib["href"] = element.attrib.pop(_LINK)
    element.attrib.update({name: _attribute(name, value) for name, value in element.attrib.items()})
    if element.attrib.get("transform", "").startswith("rotate(0 "):
        del element.attrib["transform"]


def _attribute(name: str, value: str) -> str:
    if name == "style":
        value = re.sub(r"font-family:[^;]*", "font-family: inherit", value)
        return (
            re.sub(
                r"#[0-9a-f]{6}\b", lambda found: COLOURS.get(found.group(), found.group()), value
            )
            .replace(": ", ":")
            .replace("; ", ";")
        )
    if name in ("d", "x", "y", "transform"):
        value = re.sub(
            r"-?\d+\.?\d*(?:e-?\d+)?",
            lambda found: f"{float(found.group()):.2f}".rstrip("0").rstrip("."),
            value,
        )
        return " ".join(value.replace("-0 ", "0 ").split())
    return value


def _rename(svg: ElementTree.Element, stem: str) -> None:
    """Ids that are referred to begin with the stem; the others are left out."""
    used = {
        name
        for element in svg.iter()
        for value in element.attrib.values()
        for name in _referred(value)
    }
    for element in svg.iter():
        name = element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            for other in _referred(value):
                element.attrib[key] = value.replace(f"#{other}", f"#{stem}-{other}")
        if name in used:
            element.attrib["id"] = f"{stem}-{name}"


def _referred(value: str) -> list[str]:
    """Ids of this drawing that an attribute names."""
    return [name for pair in _REFERENCE_TO.findall(value) for name in pair if name]


# The matrix of paired comparisons as a figure: who is told apart from whom, and by how much.

BETTER, WORSE = "#0072b2", "#c84c00"
MOST_NUMBERS = 12
"""With more models than this the numbers would be too small to read: the tiles then stand alone."""
_SIDE = 0.46  # inches of a tile; smaller where there are many


def matrix(
    compared: Mapping[Pair, Comparison],
    models: Sequence[tuple[str, str]],
    decimals: int,
    title: str,
    *,
    sign: int,
) -> Figure:
    """Row minus column of every pair of competitors.

    Args:
        compared: each pair one way round.
        models: name and shown title, best first.
        decimals: of the differences.
        title: of the metric.
        sign: +1 where higher is better, -1 where lower is, 0 where neither is.
    """
    count = len(models)
    side = _SIDE if count <= MOST_NUMBERS else 0.26
    letters = max(len(text) for _, text in models)
    left, top, right, bottom = (
        0.25 + 0.062 * letters,
        0.62 + 0.042 * letters,
        0.2 + 0.047 * letters,
        0.4,
    )
    width, height = max(left + side * count + right, 5.2), top + side * count + bottom
    figure = new_figure(width, height)
    axes = figure.add_axes(
        (left / width, bottom / height, side * count / width, side * count / height)
    )
    means_RC, signs_RC = _numbers(compared, [name for name, _ in models], sign or 1)
    colours_RCK = _colours(means_RC, signs_RC)
    axes.imshow(colours_RCK, interpolation="nearest", aspect="auto")
    if count <= MOST_NUMBERS:
        _write_numbers(axes, means_RC, signs_RC, colours_RCK, decimals)
    _frame(axes, [text for _, text in models])
    figure.text(
        0.08 / width, 1 - 0.24 / height, f"{title}: row minus column", fontsize=9, va="center"
    )
    blue, orange = ("better", "worse") if sign else ("higher", "lower")
    legend = (
        f"blue: the row is clearly {blue}; orange: clearly {orange}; "
        "white: not told apart (Holm, 5 %)"
    )
    figure.text(0.08 / width, 0.16 / height, legend, fontsize=7.2, color=SOFT, va="center")
    return figure


def _numbers(
    compared: Mapping[Pair, Comparison], names: Sequence[str], direction: int
) -> tuple[np.ndarray, np.ndarray]:
    """Differences, NaN where there is none; +1 where the row is clearly better, -1 clearly
    worse."""
    means_RC = np.full((len(names), len(names)), np.nan)
    signs_RC = np.zeros_like(means_RC)
    place = {name: number for number, name in enumerate(names)}
    for (a, b), found in compared.items():
        row, column = place[a], place[b]
        if found.difference.mean is not None:
            means_RC[row, column], means_RC[column, row] = (
                found.difference.mean,
                -found.difference.mean,
            )
        signs_RC[row, column], signs_RC[column, row] = (
            direction * found.sign,
            -direction * found.sign,
        )
    return means_RC, signs_RC


def _colours(means_RC: np.ndarray, signs_RC: np.ndarray) -> np.ndarray:
    """(R, C, 3) in 0..1: from pale to full with the size of the difference; white where nothing is
    told apart."""
    from matplotlib.colors import to_rgb

    known_RC = np.abs(np.nan_to_num(means_RC))
    strength_RC = 0.2 + 0.65 * known_RC / (known_RC.max() or 1.0)
    full_RCK = np.where((signs_RC > 0)[..., None], to_rgb(BETTER), to_rgb(WORSE))
    tint_RC1 = np.where(signs_RC != 0, strength_RC, 0.0)[..., None]
    return 1 - tint_RC1 * (1 - full_RCK)


def _write_numbers(
    axes: Axes, means_RC: np.ndarray, signs_RC: np.ndarray, colours_RCK: np.ndarray, decimals: int
) -> None:
    for row, column in zip(*np.nonzero(np.isfinite(means_RC)), strict=True):
        ink = _ink(colours_RCK[row, column]) if signs_RC[row, column] else SOFT
        text = formatting.number(float(means_RC[row, column]), decimals, signed=True).replace(
            "0.", ".", 1
        )
        axes.text(column, row, text, ha="center", va="center", fontsize=6.6, color=ink)


def _ink(colour_K: np.ndarray) -> str:
    """Dark or white, whichever stands out more (relative luminance of WCAG 2.2)."""
    linear_K = np.where(colour_K <= 0.04045, colour_K / 12.92, ((colour_K + 0.055) / 1.055) ** 2.4)
    luminance = float(linear_K @ (0.2126, 0.7152, 0.0722))
    return (
        "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.0613 else INK
    )  # 0.0613: 0.05 + the ink's own


def _frame(axes: Axes, titles: Sequence[str]) -> None:
    count = len(titles)
    axes.set_xticks(range(count), titles, rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(count), titles)
    axes.tick_params(
        length=0, labeltop=True, labelbottom=False, labelsize=7.6 if count <= MOST_NUMBERS else 6.8
    )
    for line in np.arange(count + 1) - 0.5:
        axes.plot([line, line], [-0.5, count - 0.5], color=RULE, linewidth=0.6)
        axes.plot([-0.5, count - 0.5], [line, line], color=RULE, linewidth=0.6)
    axes.plot([-0.5, count - 0.5], [-0.5, count - 0.5], color=RULE, linewidth=0.6)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
    for side in axes.spines.values():
        side.set_visible(False)


COST = "first_clip_seconds"
_OURS = re.compile(r"(scaled|comparisons-.+|.+-against-.+)\.(svg|pdf)")


class DrawnFigure(NamedTuple):
    """A figure that was written.

    Attributes:
        svg: its file in the folder; a PDF of the same name lies beside it.
        alt: what it shows, in words.
        inline: the same as an SVG element that takes a page's colours (see `figure_inline`); empty
            where a page shows it otherwise.
        wide: whether it needs the whole width of a page.
    """

    title: str
    svg: str
    alt: str
    inline: str
    wide: bool = False


class _Drawn(NamedTuple):
    title: str
    stem: str
    alt: str
    drawing: Drawing
    on_page: bool = True
    wide: bool = False


def write_figures(results: Results, folder: Path) -> list[DrawnFigure]:
    """Write all figures that the run has something for; files of an earlier report are removed. The
    same run gives the same bytes.

    Args:
        folder: made if it is not there; figures of an earlier report are removed, which are told by
            their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if _OURS.fullmatch(old.name):
            old.unlink()
    with style.styled():
        return [_written(drawn, folder) for drawn in _drawings(results)]


def _written(drawn: _Drawn, folder: Path) -> DrawnFigure:
    svg = style.write(drawn.drawing, folder, drawn.stem)
    markup = (
        inline(drawn.drawing, f"figure-{drawn.stem}", drawn.title, drawn.alt)
        if drawn.on_page
        else ""
    )
    return DrawnFigure(drawn.title, svg, drawn.alt, markup, drawn.wide)


def _drawings(results: Results) -> Iterator[_Drawn]:
    by_name = {column.name: column for column in results.columns}
    texts, subjects = (of_kind(results.run.metrics, kind) for kind in ("text", "subject"))
    for text in texts[:1]:
        for subject in subjects[:2]:
            yield from _against(results, by_name[text.name], by_name[subject.name])
    if results.primary in by_name:
        yield from _cost(results, by_name[results.primary])
    yield from _scaled(results)
    for column in results.columns:
        yield from _matrix(results, column)


def _against(results: Results, x: Column, y: Column) -> Iterator[_Drawn]:
    marks = figure_plots.marks_of(results.table, x.name, y.name, results.run.bounds)
    if any(mark.kind != "reference" for mark in marks):
        alt = figure_plots.described(marks, x.title, y.title, x.decimals, y.decimals)
        yield _Drawn(
            f"{y.title} against {x.title}",
            _stem(y.name, "against", x.name),
            alt,
            figure_plots.metric_against_metric(marks, x, y),
        )


def _cost(results: Results, y: Column) -> Iterator[_Drawn]:
    marks = [mark for mark in figure_plots.marks_of(results.table, COST, y.name) if mark.x > 0]
    if marks:
        alt = figure_plots.described(marks, "seconds to the first clip", y.title, 2, y.decimals)
        drawing = figure_plots.metric_against_cost(
            marks, figure_plots.reference_lines(results.table, y.name, results.run.bounds), y
        )
        yield _Drawn(
            f"{y.title} against cost", _stem(y.name, "against-cost"), alt, drawing, on_page=False
        )


def _scaled(results: Results) -> Iterator[_Drawn]:
    columns = [column for column in results.columns if not column.scale.why]
    if columns and results.rows:
        title = "Every metric from the floor to the ceiling of the reference rows"
        each = [
            f"{row.title}: "
            + ", ".join(
                f"{c.title} {cell.scaled_text}"
                for c, cell in zip(results.columns, row.cells, strict=True)
                if c in columns
            )
            for row in results.rows
        ]
        yield _Drawn(
            title,
            "scaled",
            "; ".join(each) + ".",
            figure_plots.scaled(results.table, columns),
            wide=True,
        )


def _matrix(results: Results, column: Column) -> Iterator[_Drawn]:
    models = [(row.model, style.shown_title(row.title, row.model)) for row in results.rows]
    compared = results.compared[column.name]
    if all(found.difference.mean is None for found in compared.values()):
        return
    told = sum(found.sign != 0 for found in compared.values())
    alt = (
        f"{told} of {formatting.count(len(compared), 'pair')} of models are told apart; "
        "the table of comparisons has every number."
    )
    drawing = matrix(compared, models, column.decimals, column.title, sign=column.sign)
    yield _Drawn(
        f"{column.title}: every model against every other",
        _stem("comparisons", column.name),
        alt,
        drawing,
        on_page=False,
    )


def _stem(*parts: str) -> str:
    """A file's name; metrics are named by whoever wrote them."""
    return formatting.file_name("-".join(parts))
