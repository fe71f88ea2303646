"""What a validation found, in generated sentences and tables (Markdown)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vbbench.metrics.validation.claims import CLAIMS, FREE, TRUTHS
from vbbench.results import formatting
from vbbench.results.statistics import CONFIDENCE, Estimate
from vbbench.results.validity import (
    BLIND,
    FOOLED,
    MOVES,
    SEES,
    SMALLEST_EFFECT,
    STAYS,
    Cell,
    Findings,
)

TITLE = "# What the metrics see"
INTRODUCTION = """\
Real clips of held-out individuals of the miniature world, damaged by known amounts and scored by every metric. `vbbench metrics --validate`
did it and wrote this page. A metric ought to fall as damage grows to what it is read as telling, and to stay where all of that is kept."""
HOW_TO_READ = f"""\
Numbers are Spearman's rank correlation of level and score within a clip, meaned over clips: {formatting.MINUS}1 falls at every level, 0 tells
nothing, +1 calls each worse clip better. **Sees**, **blind**: it ought to fall, and does, or does not. **Stays**, **moves**: it ought to
stay, and does, or falls. **Fooled**: it ought to fall or to stay, and rises. Where nobody can say what it ought to do it *falls*, is
*flat* or *rises*. To fall or to rise takes a correlation and a change at the largest level that are both clear of zero
({100 * CONFIDENCE:.0f} % intervals, bootstrap over individuals), and a change of at least {SMALLEST_EFFECT:g} standard deviations (sd) of
the real clips' scores. "From": the level from which on every change is clear of zero."""
CAVEAT = """\
This is the miniature world, seen by the encoders of one scale. What follows from a formula (a mean over frames cannot see their order)
holds everywhere; how far an encoder carries it does not."""
NAMES = {SEES: "sees", BLIND: "**blind**", STAYS: "stays", MOVES: "**moves**", FOOLED: "**fooled**"}
FEWEST_TO_FOLD = 3
TOLERANCE = 1e-5
"""What rounding may add to a cosine of 1."""


def page(findings: Findings) -> str:
    """The folder's README.md."""
    parts = [
        TITLE,
        INTRODUCTION,
        what_was_done(findings),
        "![Rank correlation of every metric with every damage](validity.png)",
        HOW_TO_READ,
        "## What each metric cannot see",
        "\n".join(f"- {sentence(findings, spec.name)}" for spec in findings.validation.specs),
        CAVEAT,
        "## Damage by damage",
        damage_table(findings),
        few_eyes(findings),
        "![One clip at every level of every damage](examples.png)",
        "## Against the true identity",
        truth_table(findings),
        "## Real clips",
        real_table(findings),
        out_of_bounds(findings),
        "## All numbers",
        *(cell_table(findings, names) for names in findings.families),
        "![Mean scores against the level of every damage](curves.png)",
        "The mean and the change at every level stand in [validity.csv](validity.csv); everything, the metrics' full specs too, in "
        "[validity.json](validity.json). The drawings as SVG: [correlations](validity.svg), [scores](curves.svg).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def what_was_done(findings: Findings) -> str:
    """Clips, seeds, specs; and what could not be scored."""
    done = findings.validation
    encoders = {
        f"{spec.encoder}, weights {_short(spec.encoder_digest)}": None
        for spec in done.specs
        if spec.encoder
    }
    people = formatting.count(done.per_class, "held-out individual")
    lines = [
        f"{formatting.count(len(done.real), 'clip')}: {people} of each of {formatting.listed(done.classes)}; seed {done.seed}, scenes and motions by "
        f"chance (standing still left out: frames that are all alike cannot be shuffled or frozen). "
        f"{formatting.count(len(done.damaged), 'damaged clip')}.",
        f"Encoders: {'; '.join(encoders) or 'none'}.",
        *(f"Not at this scale: {reason}" for reason in done.absent.values()),
        *(f"Without a value: {reason}" for reason in done.failures),
    ]
    return "\n\n".join(lines)


def _short(digest: str | None) -> str:
    """Twelve digits of a SHA-256; words (``random weights, seed 0``) as they are."""
    text = digest or formatting.NOTHING
    return text if " " in text else text[:12]


def sentence(findings: Findings, metric: str) -> str:
    """What a metric is read as telling, and what of the damages it cannot see."""
    titles = {
        damage.name: damage.title[0].lower() + damage.title[1:]
        for damage in findings.validation.damages
    }

    def under(*verdicts: str) -> str:
        cells = findings.of_metric(metric, *verdicts)
        return formatting.listed(
            f"{titles[cell.damage]} ({correlation_text(cell)})" for cell in cells
        )

    wrong = {
        "cannot see": under(BLIND),
        "is fooled by": under(FOOLED),
        "falls, though it ought not to, with": under(MOVES),
    }
    found = (
        "; ".join(f"{says} {names}" for says, names in wrong.items() if names)
        or "was wrong about nothing here"
    )
    rest = formatting.listed(
        titles[cell.damage] for cell in findings.of_metric(metric, STAYS, "flat")
    )
    told = formatting.listed(truth for truth in TRUTHS if truth in CLAIMS[metric])
    return f"**{formatting.metric_title(metric)}**, read as telling {told}, {found}." + (
        f" It says nothing of {rest}." if rest else ""
    )


def correlation_text(cell: Cell) -> str:
    """``−0.98``, ``+0.25``; no sign where nothing is left of it."""
    rho = cell.correlation.mean
    return formatting.number(rho, 2, signed=rho is not None and abs(rho) >= 0.005)


def plain_sentence(findings: Findings, metric: str) -> str:
    """The same without Markdown."""
    return sentence(findings, metric).replace("**", "")


def damage_table(findings: Findings) -> str:
    """What each damage harms, and who notices."""
    rows = []
    for damage in findings.validation.damages:
        told = [
            _folded(findings, findings.of_damage(damage.name, verdict))
            for verdict in (SEES, BLIND, FOOLED, MOVES)
        ]
        levels = " ".join(f"{level:g}" for level in damage.levels)
        rows.append(
            [f"{damage.title}<br>{damage.unit}: {levels}", ", ".join(sorted(damage.harms)), *told]
        )
    return _table(
        (
            "Damage, its unit and levels",
            "harms",
            "seen by",
            "blind to it",
            "fooled by it",
            "moves, though it ought not",
        ),
        rows,
    )


def _folded(findings: Findings, cells: Sequence[Cell]) -> str:
    """Names of metrics; all of those that tell the same, where there are several, in one word. In
    brackets, where it is seen from."""
    left = {cell.metric: cell for cell in cells}
    told = []
    for metric in list(left):
        alike = [
            spec.name for spec in findings.validation.specs if CLAIMS[spec.name] == CLAIMS[metric]
        ]
        if metric in left and len(alike) >= FEWEST_TO_FOLD and all(name in left for name in alike):
            together = [left.pop(name) for name in alike]
            truths = formatting.listed(truth for truth in TRUTHS if truth in CLAIMS[metric])
            told.append(f"all {len(alike)} that tell {truths}{_since(together)}")
        elif metric in left:
            told.append(formatting.metric_title(metric) + _since([left.pop(metric)]))
    return "; ".join(told) or formatting.NOTHING


def _since(cells: Sequence[Cell]) -> str:
    levels = sorted({cell.threshold for cell in cells if cell.threshold is not None})
    if not levels or cells[0].verdict != SEES:
        return ""
    return (
        f" (from {levels[0]:g})" if len(levels) == 1 else f" (from {levels[0]:g} to {levels[-1]:g})"
    )


def few_eyes(findings: Findings) -> str:
    """Which damages nothing sees, and which a single metric sees."""
    seen = {
        damage.title: [
            formatting.metric_title(cell.metric) for cell in findings.of_damage(damage.name, SEES)
        ]
        for damage in findings.validation.damages
    }
    nobody = [title for title, metrics in seen.items() if not metrics]
    alone = [f"{title} ({metrics[0]})" for title, metrics in seen.items() if len(metrics) == 1]
    told = []
    if nobody:
        told.append(
            f"Seen by no metric that is read as telling what it harms: {formatting.listed(nobody)}."
        )
    if alone:
        told.append(f"Seen by one alone: {formatting.listed(alone)}.")
    return " ".join(told)


def truth_table(findings: Findings) -> str:
    """Rank correlation with the true identity."""
    if not findings.truths:
        return "No damage of identity was done, or no metric reads it."
    damages = [
        damage
        for damage in findings.validation.damages
        if damage.name in findings.truths[0].by_damage
    ]
    rows = []
    for row in findings.truths:
        told = [_estimate(row.by_damage[damage.name]) for damage in damages]
        rows.append(
            [
                formatting.metric_title(row.metric),
                *told,
                _estimate(row.within),
                formatting.number(row.across, 2),
            ]
        )
    heads = (
        "Metric",
        *(damage.title for damage in damages),
        "all of them, within a clip",
        "across clips",
    )
    note = (
        "Rank correlation of score and true identity: colours and marking as they were drawn, no pixel read, weighted as True identity "
        "weighs them; +1 is best. Across clips all individuals' numbers stand in one row: less is left where real clips differ already."
    )
    return f"{_table(heads, rows)}\n\n{note}"


def real_table(findings: Findings) -> str:
    """Scores of undamaged clips: where a metric saturates, and where it bursts."""
    rows = []
    for spec in findings.validation.specs:
        scores = findings.real[spec.name]
        told = (
            (np.mean(scores), np.std(scores, ddof=1), scores[0], np.median(scores), scores[-1])
            if len(scores) > 1
            else ()
        )
        rows.append(
            [
                formatting.metric_title(spec.name),
                spec.id,
                *(formatting.number(float(value), 3) for value in told),
            ]
        )
    return _table(("Metric", "spec", "mean", "sd", "lowest", "median", "highest"), rows)


def out_of_bounds(findings: Findings) -> str:
    """Scores that lie outside of what their metric's spec declares."""
    rows = (*findings.validation.real, *findings.validation.damaged)
    titles = {damage.name: damage.title for damage in findings.validation.damages} | {"": "Real"}
    told = []
    for spec in findings.validation.specs:
        values = [(value, row) for row in rows if (value := row.values[spec.name]) is not None]
        outside = [
            pair
            for pair in values
            if not spec.bounds[0] - TOLERANCE <= pair[0] <= spec.bounds[1] + TOLERANCE
        ]
        if outside:
            value, row = max(outside, key=lambda pair: abs(pair[0]))
            where = (
                f"{formatting.number(value, 1)} at {titles[row.damage]} {row.level:g}, {row.case}"
            )
            told.append(
                f"{formatting.metric_title(spec.name)}, {len(outside)} of {len(values)} scores, the farthest {where}"
            )
    return (
        f"Outside of its own bounds: {'; '.join(told)}."
        if told
        else "No score lies outside of its metric's bounds."
    )


def cell_table(findings: Findings, metrics: Sequence[str]) -> str:
    """Correlation, verdict, effect and threshold of some metrics under all damages."""
    rows = [
        [
            f"{damage.title} ({damage.unit})",
            *(_cell(findings.cells[metric, damage.name]) for metric in metrics),
        ]
        for damage in findings.validation.damages
    ]
    return _table(("Damage", *map(formatting.metric_title, metrics)), rows)


def _cell(cell: Cell) -> str:
    verdict = f"*{cell.verdict}*" if cell.expected == FREE else NAMES[cell.verdict]
    effect = (
        ""
        if cell.effect is None
        else f"<br>{formatting.number(cell.effect, 1 if abs(cell.effect) < 9.95 else 0, signed=True)} sd"
    )
    start = f", from {cell.threshold:g}" if cell.threshold is not None and cell.direction else ""
    return f"{correlation_text(cell)} {verdict}{effect}{start}"


def _estimate(estimate: Estimate) -> str:
    ends = formatting.interval(estimate.low, estimate.high, 2)
    return formatting.number(estimate.mean, 2) + (f" ({ends})" if ends else "")


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    heads = list(heads)
    lines = [f"| {' | '.join(heads)} |", f"|---{'|---' * (len(heads) - 1)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
