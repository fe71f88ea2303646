"""The leaderboard for programs and papers: CSV, JSON and Markdown.

Numbers are rounded to 6 decimals, so that equal runs give equal bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from vbbench.report.tables import COSTS, Cell, Column, Row, interval_note
from vbbench.results import formatting
from vbbench.results.aggregate import check_references, competitors_compared, failures, paired_table
from vbbench.results.costs import cost_columns, cost_note, cost_rows
from vbbench.results.normalised import scales_of
from vbbench.results.run_data import RunData
from vbbench.results.statistics import CONFIDENCE, RESAMPLES, SEED

DECIMALS = 6
COMPARISON = [
    "metric",
    "model",
    "other",
    "difference",
    "low",
    "high",
    "effect",
    "p",
    "corrected",
    "sign",
]
_MARKDOWN = re.compile(r"[\\|`]|\](?=[(\[:])|!(?=\[)")
"""What ends a table's cell or begins code, a link or a picture."""


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """`leaderboard_table` as it is; empty fields where there is no number."""
    with path.open("w", encoding="utf-8", newline="") as file:
        _rounded(table).to_csv(file, index=False, lineterminator="\n")


def write_comparisons(path: Path, run: RunData) -> None:
    """Every pair of competitors under every metric as CSV: model minus other, its 95 % interval,
    Hedges' g, and p values.

    ``corrected`` is Holm's, for all pairs under the metric; ``sign`` is 1 or -1 where the pair is
    told apart by it, 0 where it is not.
    """
    rows = [
        {
            "metric": spec.name,
            "model": model,
            "other": other,
            "difference": found.difference.mean,
            "low": found.difference.low,
            "high": found.difference.high,
            "effect": found.effect,
            "p": found.p,
            "corrected": found.corrected,
            "sign": found.sign,
        }
        for spec in run.metrics
        for (model, other), found in competitors_compared(run, spec.name).items()
    ]
    write_csv(
        path,
        pd.DataFrame(rows, columns=COMPARISON).astype(dict.fromkeys(COMPARISON[3:-1], "Float64")),
    )


def write_json(path: Path, run: RunData, table: pd.DataFrame) -> None:
    """Everything on the page but the pictures."""
    record = {
        "suite": asdict(run.suite),
        "prompts_per_subject": run.prompts_per_subject,
        "statistics": {
            "interval": CONFIDENCE,
            "resamples": RESAMPLES,
            "seed": SEED,
            "individuals": len(set(run.subject_of.values())),
        },
        "metrics": {spec.name: asdict(spec) for spec in run.metrics},
        "scales": {name: _plain(asdict(scale)) for name, scale in scales_of(run, table).items()},
        "leaderboard": _records(table),
        "differences": _records(paired_table(run)),
        "checks": [
            {**asdict(check), **_plain(asdict(found))} for check, found in check_references(run)
        ],
        "failures": [asdict(failure) for failure in failures(run)],
        "runs": list(run.manifests),
    }
    path.write_text(
        json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
    )


def write_markdown(
    path: Path,
    run: RunData,
    table: pd.DataFrame,
    columns: tuple[Column, ...],
    rows: list[Row],
    references: list[Row],
    primary: str | None,
) -> None:
    """The tables for a README: mean [low, high], reference rows below; the same on the scale of the
    reference rows; then costs."""
    heads = [f"{column.title} {column.arrow}".rstrip() for column in columns] + [
        f"{title}, {unit}" for _, title, unit, _ in COSTS
    ]
    lines = [
        f"# Suite {run.suite.name} {run.suite.version}",
        "",
        "| Rank | Model | Clips | " + " | ".join(heads) + " |",
        "|---:|---|---:|" + "---:|" * len(heads),
        *(_markdown_row(row, str(row.rank or formatting.NOTHING)) for row in rows),
        *(_markdown_row(row, "ref.") for row in references),
        "",
        _markdown_legend(run, columns[0].title if primary else None),
    ]
    lines += _markdown_scaled(columns, rows)
    lines += _markdown_costs(run, table)
    lost = failures(run)
    if lost:
        titles = {model.name: model.title for model in run.models}
        lines += ["", "No number for:", ""]
        lines += [
            f"- {markdown_cell(titles[f.model])}, {f.what}: {formatting.count(len(f.items), 'item')}: {markdown_cell(f.reason)}"
            for f in lost
        ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _markdown_scaled(columns: tuple[Column, ...], rows: list[Row]) -> list[str]:
    """The competitors on the scale from floor to ceiling; nothing where no metric has one."""
    places = [place for place, column in enumerate(columns) if not column.scale.why]
    if not places or not rows:
        return []
    heads = [columns[place].title for place in places]
    return [
        "",
        "On the scale of the reference rows:",
        "",
        "| Model | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(heads),
        *(
            "| "
            + " | ".join(
                map(
                    markdown_cell,
                    [row.title, *(_scaled_cell(row.cells[place]) for place in places)],
                )
            )
            + " |"
            for row in rows
        ),
        "",
        " ".join(f"{column.title}: {markdown_cell(column.scale_says)}" for column in columns),
    ]


def _scaled_cell(cell: Cell) -> str:
    return (
        f"{cell.scaled_text} [{cell.scaled_interval.replace(' to ', ', ')}]"
        if cell.scaled_interval
        else cell.scaled_text
    )


def _markdown_costs(run: RunData, table: pd.DataFrame) -> list[str]:
    columns = cost_columns(table)
    if not columns:
        return []
    rows = [
        [
            row.title,
            *(f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row.cells),
        ]
        for row in cost_rows(table, columns)
    ]
    return [
        "",
        "| Model | " + " | ".join(f"{column.title}, {column.unit}" for column in columns) + " |",
        "|---|" + "---:|" * len(columns),
        *("| " + " | ".join(map(markdown_cell, row)) + " |" for row in rows),
        "",
        cost_note(run.manifests),
    ]


def _markdown_row(row: Row, rank: str) -> str:
    title = f"{row.title} ({row.role})" if row.role else row.title
    scores = [
        f"{cell.text} [{cell.interval.replace(' to ', ', ')}]" if cell.interval else cell.text
        for cell in row.cells
    ]
    scores = [
        f"{score} ({cell.note})" if cell.note else score
        for score, cell in zip(scores, row.cells, strict=True)
    ]
    cells = [
        rank,
        title,
        f"{row.sampled} of {row.items}",
        *scores,
        *(text for _, text in row.costs),
    ]
    return "| " + " | ".join(markdown_cell(cell) for cell in cells) + " |"


def _markdown_legend(run: RunData, primary: str | None) -> str:
    """`primary`: title of the metric that ranks."""
    individuals = len(set(run.subject_of.values()))
    ranks = (
        f"Rank by {primary}: one more than the number of models clearly better. " if primary else ""
    )
    specs = ", ".join(f"{spec.title} {spec.id}" for spec in run.metrics)
    part = formatting.restriction(run.prompts_per_subject).capitalize()
    note = " ".join(
        filter(
            None,
            [
                part and f"{part}.",
                interval_note(individuals),
                formatting.untrained_note(run.metrics),
            ],
        )
    )
    return (
        f"{ranks}Mean over scored clips [95 % interval, bootstrap over {formatting.count(individuals, 'individual')}]. "
        f"{note + ' ' if note else ''}Suite digest {run.suite.digest[:12]}; metric specs: {specs}."
    )


def markdown_cell(text: str) -> str:
    """Text that can break neither a Markdown table nor the page it is shown in."""
    text = text.replace("<", "&lt;")
    return " ".join(_MARKDOWN.sub(r"\\\g<0>", text).split())


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    floats = table.select_dtypes("Float64").columns
    return table.assign(**{name: table[name].round(DECIMALS) for name in floats})


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [_plain(record) for record in _rounded(table).to_dict("records")]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Python's own numbers, rounded; None where there is none."""
    return {key: _plain_value(value) for key, value in record.items()}


def _plain_value(value: Any) -> Any:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    if pd.api.types.is_bool(value):
        return bool(value)
    if pd.api.types.is_integer(value):
        return int(value)
    return round(float(value), DECIMALS) if pd.api.types.is_float(value) else value


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


def write_scores_js(path: Path, run: RunData) -> None:
    """Write a script that sets ``window.vbbenchScores`` and does nothing else; the same run gives
    the same bytes.

    Its fields:
        version: 1.
        models, metrics: names, as the run lists them.
        ids, texts, classOf, subjectOf: one an item, as the run lists them: its id, its prompt, and
            which of ``classes`` and ``subjects`` it is of.
        classes, subjects: names in the order of their first item.
        decimals: a value v stands for v / 10**decimals.
        values: [model][metric][item], null where there is no score.
    """
    path.write_text(f"window.{GLOBAL} = {script_json(score_record(run))};\n", "utf-8")


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
