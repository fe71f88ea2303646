"""A validation's folder: README.md, validity.csv, validity.json and the pictures. Equal numbers
give equal bytes; nothing is dated."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vbbench.core.version import __version__
from vbbench.data import world
from vbbench.errors import UsageError
from vbbench.media.video import resize_frames
from vbbench.metrics.validation.cases import SPLIT
from vbbench.metrics.validation.claims import CLAIMS, FALL, FREE, TRUTHS
from vbbench.report.validity.words import TITLE, page, plain_sentence
from vbbench.results import formatting
from vbbench.results.statistics import CONFIDENCE, RESAMPLES, SEED, Estimate
from vbbench.results.validity import GOOD, SMALLEST_EFFECT, Cell, Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vbbench.metrics.validation.damage import Damage

# Pictures of a validation: a heat map of correlations, scores against levels, and one clip at every
# level of every damage.

INK, GREY, PALE = "#222222", "#8a8a8a", "#dddddd"
FALLS, RISES = "#2b6ca3", "#d9822b"
"""Blue and orange: told apart by every kind of eyes, and in print."""
FREE_TINT = 0.25
GAP = 0.3
"""Between the metrics that hold a video against its prompts and those that look at time, in
columns."""
LINES: Mapping[str, tuple[str, str]] = {  # metric -> colour (Okabe and Ito 2008), marker
    "clip-text": ("#0072b2", "o"),
    "clip-image": ("#e69f00", "s"),
    "dino": ("#009e73", "^"),
    "true-identity": ("#000000", "D"),
    "temporal-consistency": ("#cc79a7", "v"),
    "dino-consistency": ("#56b4e9", "P"),
}
STYLE: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "svg.hashsalt": "vbbench",
    "svg.fonttype": "path",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}
DPI = 110
SIDE = 40
"""Pixels of a frame in the examples."""
FRAME_COLUMNS = 4


def draw(folder: Path, findings: Findings) -> None:
    """Write validity.png, .svg, curves.png, .svg, and examples.png."""
    import matplotlib

    with matplotlib.rc_context(dict(STYLE)):
        _save(heat_map(findings), folder / "validity", "png", "svg")
        _save(curves(findings), folder / "curves", "png", "svg")
        _save(examples(findings), folder / "examples", "png")


def _figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window and to no other drawing of this process."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path, *kinds: str) -> None:
    """Without date or program, so that the same numbers give the same bytes."""
    unsaid = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    for kind in kinds:
        figure.savefig(path.with_suffix(f".{kind}"), dpi=DPI, metadata=unsaid[kind])


def heat_map(findings: Findings) -> Figure:
    """A row a damage, a column a metric."""
    from matplotlib.colors import LinearSegmentedColormap

    damages = findings.validation.damages
    columns: dict[str, float] = {}
    for number, family in enumerate(findings.families):
        for name in family:
            columns[name] = len(columns) + GAP * number
    across = max(columns.values()) + 1
    left, top, right, bottom = 1.75, 1.5, 0.75, 0.75
    width, height = left + 0.64 * across + right, top + 0.44 * len(damages) + bottom
    figure = _figure(width, height)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    )
    colours = LinearSegmentedColormap.from_list("falls-rises", [FALLS, "#ffffff", RISES])
    for row, damage in enumerate(damages):
        for name, column in columns.items():
            _tile(axes, column, row, findings.cells[name, damage.name], colours)
    axes.set(xlim=(0, across), ylim=(len(damages), 0))
    axes.set_xticks(
        np.array(list(columns.values())) + 0.4,
        [formatting.metric_title(name) for name in columns],
        rotation=40,
        ha="left",
    )
    axes.set_yticks(np.arange(len(damages)) + 0.5, [damage.title for damage in damages])
    axes.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=8.5)
    for side in axes.spines.values():
        side.set_visible(False)
    _legend(figure, left / width, height)
    return figure


def _tile(axes: Axes, column: float, row: int, cell: Cell, colours: Any) -> None:
    from matplotlib.patches import Rectangle

    rho = cell.correlation.mean or 0.0
    free = cell.expected == FREE
    face = colours((rho * (FREE_TINT if free else 1) + 1) / 2)
    ought = cell.expected == FALL
    edge, line = (INK, 1.3) if ought else (PALE, 0.6)
    axes.add_patch(
        Rectangle(
            (column + 0.03, row + 0.05), 0.94, 0.9, facecolor=face, edgecolor=edge, linewidth=line
        )
    )
    ink = "#6b6b6b" if free else "white" if rho < -0.7 else INK
    wrong = not free and cell.verdict not in GOOD
    text = "0" if abs(rho) < 0.005 else formatting.number(rho, 2, signed=True).replace("0.", ".")
    axes.text(
        column + 0.5,
        row + (0.36 if wrong else 0.5),
        text,
        ha="center",
        va="center",
        color=ink,
        fontsize=8,
    )
    if wrong:
        axes.text(
            column + 0.5,
            row + 0.72,
            cell.verdict,
            ha="center",
            va="center",
            color=ink,
            fontsize=7,
            fontweight="bold",
        )


def _legend(figure: Figure, left: float, height: float) -> None:
    lines = (
        "Rank correlation of level and score within a clip: blue falls as the damage grows, orange rises. Framed: it ought to fall. "
        "Not framed: it ought to stay. Pale, in grey: nobody can say.",
        "A word says what is wrong. Blind: it ought to fall and does not. Moves: it ought to stay and falls. Fooled: it rises.",
    )
    for number, line in enumerate(lines):
        figure.text(left, (0.55 - 0.22 * number) / height, line, fontsize=7.5, va="center")


def curves(findings: Findings) -> Figure:
    """A panel a damage: mean scores against the level; motion, whose numbers have no upper end, on
    its own scale below."""
    damages = findings.validation.damages
    columns = 5
    rows = -(-(len(damages) + 1) // columns)
    figure = _figure(2.2 * columns, 2.75 * rows)
    outer = figure.add_gridspec(
        rows, columns, hspace=0.42, wspace=0.3, left=0.05, right=0.99, top=0.96, bottom=0.05
    )
    for place, damage in enumerate(damages):
        inner = outer[place // columns, place % columns].subgridspec(
            2, 1, height_ratios=(3.2, 1), hspace=0.12
        )
        _panel(figure.add_subplot(inner[0]), findings, damage, first=place % columns == 0)
        _motion_panel(figure.add_subplot(inner[1]), findings, damage, first=place % columns == 0)
    axes = figure.add_subplot(outer[rows - 1, len(damages) % columns :])
    for metric in _shown(findings):
        colour, marker = LINES[metric]
        axes.plot(
            [],
            [],
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1.4,
            label=formatting.metric_title(metric),
        )
    axes.plot(
        [],
        [],
        color=GREY,
        marker=".",
        linewidth=1.4,
        label="Motion: below, on its own scale,\nin short sides a second",
    )
    axes.legend(loc="center", frameon=False, fontsize=8.5, labelspacing=0.9)
    axes.axis("off")
    return figure


def _shown(findings: Findings) -> list[str]:
    return [spec.name for spec in findings.validation.specs if spec.name in LINES]


def _panel(axes: Axes, findings: Findings, damage: Damage, *, first: bool) -> None:
    for metric in _shown(findings):
        colour, marker = LINES[metric]
        means = [at.mean for at in findings.cells[metric, damage.name].levels]
        axes.plot(means, color=colour, marker=marker, markersize=3.5, linewidth=1.2)
    axes.set_title(damage.title, fontsize=9, loc="left", pad=4)
    axes.set(ylim=(-0.05, 1.05), yticks=(0, 0.5, 1))
    axes.tick_params(labelbottom=False, labelleft=first)
    _quiet(axes, damage)


def _motion_panel(axes: Axes, findings: Findings, damage: Damage, *, first: bool) -> None:
    for spec in findings.validation.specs:
        if spec.kind != "motion":
            continue
        cell = findings.cells[spec.name, damage.name]
        axes.plot(
            [at.mean for at in cell.levels], color=GREY, marker=".", markersize=4, linewidth=1.2
        )
    axes.set(ylim=(-0.05, 1.05), yticks=(0, 0.5, 1), yticklabels=("0", "", "1"))
    axes.tick_params(labelleft=first)
    axes.set_xlabel(damage.unit, labelpad=1)
    _quiet(axes, damage)


def _quiet(axes: Axes, damage: Damage) -> None:
    axes.set_xticks(
        range(len(damage.levels)), [f"{level:g}" for level in damage.levels]
    )  # even steps, as ranks see them
    axes.tick_params(length=2, labelsize=7)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def examples(findings: Findings) -> Figure:
    """A row a damage, a column a level; in each place all frames of the clip, in reading order."""
    damages = [
        damage
        for damage in findings.validation.damages
        if damage.name in findings.validation.examples
    ]
    most = max(len(damage.levels) for damage in damages)
    places = {
        damage.name: [_tiled(clip) for clip in findings.validation.examples[damage.name]]
        for damage in damages
    }
    high, wide = places[damages[0].name][0].shape[:2]
    gap, head, label = 8, 17, 170
    canvas = np.full(
        (len(damages) * (high + head + gap), label + most * (wide + gap), 3), 255, np.uint8
    )
    figure = _figure(canvas.shape[1] / DPI, canvas.shape[0] / DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    for row, damage in enumerate(damages):
        top = row * (high + head + gap) + head
        axes.text(8, top + high / 2 - 9, damage.title, fontsize=8.5, va="center")
        axes.text(8, top + high / 2 + 9, damage.unit, fontsize=7.5, va="center", color="#666666")
        for column, (level, picture) in enumerate(
            zip(damage.levels, places[damage.name], strict=True)
        ):
            left = label + column * (wide + gap)
            canvas[top : top + high, left : left + wide] = picture
            axes.text(left, top - 4, f"{level:g}", fontsize=7.5, va="bottom", color="#666666")
    axes.imshow(canvas, interpolation="none", aspect="auto")
    axes.axis("off")
    return figure


def _tiled(frames_THWC: np.ndarray) -> np.ndarray:
    """Small frames in rows of `FRAME_COLUMNS`, one picture."""
    small = resize_frames(frames_THWC, (SIDE, SIDE))
    spare = -len(small) % FRAME_COLUMNS
    small = np.concatenate([small, np.full((spare, SIDE, SIDE, 3), 255, np.uint8)])
    rows = small.reshape(-1, FRAME_COLUMNS, SIDE, SIDE, 3)
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


README = "README.md"
DECIMALS = 6
COLUMNS = ("metric", "spec", "damage", "unit", "level", "clips", "mean", "change", "low", "high")


def prepare_folder(folder: Path) -> None:
    """Make it where it is missing.

    Raises:
        UsageError: its README.md is somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    readme = folder / README
    if readme.exists() and not readme.read_text("utf-8", "replace").startswith(TITLE):
        raise UsageError(
            f"{readme} is not a validation's and would be overwritten: choose another folder."
        )


def write_validation(findings: Findings, folder: Path) -> None:
    """Write everything into a folder, made where missing; what else lies there is left alone.

    Raises:
        UsageError: as `prepare_folder`.
    """
    prepare_folder(folder)
    write_csv(folder / "validity.csv", findings)
    write_json(folder / "validity.json", findings)
    (folder / README).write_text(page(findings), "utf-8")
    draw(folder, findings)


def write_csv(path: Path, findings: Findings) -> None:
    """A row a metric, damage and level: mean score; change from the real clips in the metric's
    better direction, and its interval."""
    specs = {spec.name: spec.id for spec in findings.validation.specs}
    units = {damage.name: damage.unit for damage in findings.validation.damages}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for cell in findings.cells.values():
            for at in cell.levels:
                numbers = (_rounded(at.mean), *_ends(at.change).values())
                known = (
                    cell.metric,
                    specs[cell.metric],
                    cell.damage,
                    units[cell.damage],
                    f"{at.level:g}",
                    at.change.items,
                )
                writer.writerow([*known, *("" if number is None else number for number in numbers)])


def write_json(path: Path, findings: Findings) -> None:
    """What was done with what, and what was found; levels stand in validity.csv."""
    done = findings.validation
    record = {
        "vbbench": __version__,
        "world": world.WORLD_VERSION,
        "libraries": dict(done.libraries),
        "clips": {
            "split": SPLIT,
            "classes": list(done.classes),
            "per_class": done.per_class,
            "seed": done.seed,
        },
        "statistics": {
            "interval": CONFIDENCE,
            "resamples": RESAMPLES,
            "seed": SEED,
            "smallest_effect": SMALLEST_EFFECT,
        },
        "truths": TRUTHS,
        "damages": [
            {
                "name": damage.name,
                "title": damage.title,
                "unit": damage.unit,
                "levels": list(damage.levels),
                "harms": sorted(damage.harms),
            }
            for damage in done.damages
        ],
        "metrics": {
            spec.name: {"tells": sorted(CLAIMS[spec.name]), "spec": asdict(spec)}
            for spec in done.specs
        },
        "absent": dict(done.absent),
        "failures": list(done.failures),
        "found": [
            {
                "metric": cell.metric,
                "damage": cell.damage,
                "expected": cell.expected,
                "verdict": cell.verdict,
                "correlation": _ends(cell.correlation),
                "effect": _rounded(cell.effect),
                "threshold": cell.threshold,
            }
            for cell in findings.cells.values()
        ],
        "true_identity": [
            {
                "metric": row.metric,
                "by_damage": {name: _ends(estimate) for name, estimate in row.by_damage.items()},
                "within": _ends(row.within),
                "across": _rounded(row.across),
            }
            for row in findings.truths
        ],
        "sentences": {spec.name: plain_sentence(findings, spec.name) for spec in done.specs},
    }
    path.write_text(
        json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
    )


def _ends(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": _rounded(estimate.mean),
        "low": _rounded(estimate.low),
        "high": _rounded(estimate.high),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, DECIMALS) + 0.0
