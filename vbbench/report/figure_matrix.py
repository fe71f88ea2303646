"""The matrix of paired comparisons as a figure: who is told apart from whom, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vbbench.report import words
from vbbench.report.comparisons import Comparison, Pair
from vbbench.report.figure_style import INK, RULE, SOFT, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BETTER, WORSE = "#0072b2", "#c84c00"
MOST_NUMBERS = 12
"""With more models than this the numbers would be too small to read: the tiles then stand alone."""
_SIDE = 0.46  # inches of a tile; smaller where there are many


def matrix(
    compared: Mapping[Pair, Comparison], models: Sequence[tuple[str, str]], decimals: int, title: str, *, higher_is_better: bool
) -> Figure:
    """Row minus column of every pair of competitors.

    Args:
        compared: each pair one way round.
        models: name and shown title, best first.
        decimals: of the differences.
        title: of the metric.
    """
    count = len(models)
    side = _SIDE if count <= MOST_NUMBERS else 0.26
    letters = max(len(text) for _, text in models)
    left, top, right, bottom = 0.25 + 0.062 * letters, 0.62 + 0.042 * letters, 0.2 + 0.047 * letters, 0.4
    width, height = max(left + side * count + right, 5.2), top + side * count + bottom
    figure = new_figure(width, height)
    axes = figure.add_axes((left / width, bottom / height, side * count / width, side * count / height))
    means_RC, signs_RC = _numbers(compared, [name for name, _ in models], 1 if higher_is_better else -1)
    colours_RCK = _colours(means_RC, signs_RC)
    axes.imshow(colours_RCK, interpolation="nearest", aspect="auto")
    if count <= MOST_NUMBERS:
        _write_numbers(axes, means_RC, signs_RC, colours_RCK, decimals)
    _frame(axes, [text for _, text in models])
    figure.text(0.08 / width, 1 - 0.24 / height, f"{title}: row minus column", fontsize=9, va="center")
    legend = "blue: the row is clearly better; orange: clearly worse; white: not told apart (Holm, 5 %)"
    figure.text(0.08 / width, 0.16 / height, legend, fontsize=7.2, color=SOFT, va="center")
    return figure


def _numbers(compared: Mapping[Pair, Comparison], names: Sequence[str], direction: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences, NaN where there is none; +1 where the row is clearly better, -1 clearly worse."""
    means_RC = np.full((len(names), len(names)), np.nan)
    signs_RC = np.zeros_like(means_RC)
    place = {name: number for number, name in enumerate(names)}
    for (a, b), found in compared.items():
        row, column = place[a], place[b]
        if found.difference.mean is not None:
            means_RC[row, column], means_RC[column, row] = found.difference.mean, -found.difference.mean
        signs_RC[row, column], signs_RC[column, row] = direction * found.sign, -direction * found.sign
    return means_RC, signs_RC


def _colours(means_RC: np.ndarray, signs_RC: np.ndarray) -> np.ndarray:
    """(R, C, 3) in 0..1: from pale to full with the size of the difference; white where nothing is told apart."""
    from matplotlib.colors import to_rgb

    known_RC = np.abs(np.nan_to_num(means_RC))
    strength_RC = 0.2 + 0.65 * known_RC / (known_RC.max() or 1.0)
    full_RCK = np.where((signs_RC > 0)[..., None], to_rgb(BETTER), to_rgb(WORSE))
    tint_RC1 = np.where(signs_RC != 0, strength_RC, 0.0)[..., None]
    return 1 - tint_RC1 * (1 - full_RCK)


def _write_numbers(axes: Axes, means_RC: np.ndarray, signs_RC: np.ndarray, colours_RCK: np.ndarray, decimals: int) -> None:
    for row, column in zip(*np.nonzero(np.isfinite(means_RC)), strict=True):
        ink = _ink(colours_RCK[row, column]) if signs_RC[row, column] else SOFT
        text = words.number(float(means_RC[row, column]), decimals, signed=True).replace("0.", ".", 1)
        axes.text(column, row, text, ha="center", va="center", fontsize=6.6, color=ink)


def _ink(colour_K: np.ndarray) -> str:
    """Dark or white, whichever stands out more (relative luminance of WCAG 2.2)."""
    linear_K = np.where(colour_K <= 0.04045, colour_K / 12.92, ((colour_K + 0.055) / 1.055) ** 2.4)
    luminance = float(linear_K @ (0.2126, 0.7152, 0.0722))
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.0613 else INK  # 0.0613: 0.05 + the ink's own


def _frame(axes: Axes, titles: Sequence[str]) -> None:
    count = len(titles)
    axes.set_xticks(range(count), titles, rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(count), titles)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=7.6 if count <= MOST_NUMBERS else 6.8)
    for line in np.arange(count + 1) - 0.5:
        axes.plot([line, line], [-0.5, count - 0.5], color=RULE, linewidth=0.6)
        axes.plot([-0.5, count - 0.5], [line, line], color=RULE, linewidth=0.6)
    axes.plot([-0.5, count - 0.5], [-0.5, count - 0.5], color=RULE, linewidth=0.6)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
    for side in axes.spines.values():
        side.set_visible(False)
