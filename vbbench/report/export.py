"""The leaderboard as files for programs and papers: CSV, JSON, Markdown and LaTeX.

Numbers are rounded to 6 decimals, so that equal runs give equal bytes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from vbbench.results import formatting
from vbbench.results.analysis import Results
from vbbench.results.statistics import CONFIDENCE, RESAMPLES, SEED
from vbbench.results.tables import COSTS, Cell, Column, Row

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


def write_csv(results: Results, folder: Path) -> None:
    """Write leaderboard.csv: the table as it is, with empty fields where there is no number."""
    _write_table(results.table, folder / "leaderboard.csv")


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        _rounded(table).to_csv(file, index=False, lineterminator="\n")


def write_comparisons(results: Results, folder: Path) -> None:
    """Write comparisons.csv, every pair of competitors under every metric: model minus other, its
    95 % interval, Hedges' g, and p values.

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
        for spec in results.run.metrics
        for (model, other), found in results.compared[spec.name].items()
    ]
    table = pd.DataFrame(rows, columns=COMPARISON)
    numbers = dict.fromkeys(COMPARISON[3:-1], "Float64")
    _write_table(table.astype(numbers), folder / "comparisons.csv")


def write_json(results: Results, folder: Path) -> None:
    """Write leaderboard.json: everything on the page but the pictures."""
    run = results.run
    record = {
        "suite": asdict(run.suite),
        "prompts_per_subject": run.prompts_per_subject,
        "statistics": {
            "interval": CONFIDENCE,
            "resamples": RESAMPLES,
            "seed": SEED,
            "individuals": results.individuals,
        },
        "metrics": {spec.name: asdict(spec) for spec in run.metrics},
        "scales": {name: _plain(asdict(scale)) for name, scale in results.scales.items()},
        "leaderboard": _records(results.table),
        "differences": _records(results.paired),
        "checks": [{**asdict(check), **_plain(asdict(found))} for check, found in results.checks],
        "failures": [asdict(failure) for failure in results.failures],
        "runs": list(run.manifests),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "leaderboard.json").write_text(f"{text}\n", "utf-8")


def write_markdown(results: Results, folder: Path) -> None:
    """Write leaderboard.md, the tables for a README: mean [low, high], reference rows below; the
    same on the scale of the reference rows; then costs."""
    run = results.run
    heads = [f"{column.title} {column.arrow}".rstrip() for column in results.columns]
    heads += [f"{title}, {unit}" for _, title, unit, _ in COSTS]
    lines = [
        f"# Suite {run.suite.name} {run.suite.version}",
        "",
        "| Rank | Model | Clips | " + " | ".join(heads) + " |",
        "|---:|---|---:|" + "---:|" * len(heads),
        *(_markdown_row(row, str(row.rank or formatting.NOTHING)) for row in results.rows),
        *(_markdown_row(row, "ref.") for row in results.references),
        "",
        _markdown_legend(results),
    ]
    lines += _markdown_scaled(results.columns, results.rows)
    lines += _markdown_costs(results)
    if results.failures:
        lines += ["", "No number for:", ""]
    titles = {model.name: model.title for model in run.models}
    for failure in results.failures:
        title, reason = markdown_cell(titles[failure.model]), markdown_cell(failure.reason)
        items = formatting.count(len(failure.items), "item")
        lines.append(f"- {title}, {failure.what}: {items}: {reason}")
    (folder / "leaderboard.md").write_text("\n".join(lines) + "\n", "utf-8")


def _markdown_scaled(columns: tuple[Column, ...], rows: tuple[Row, ...]) -> list[str]:
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


def _markdown_costs(results: Results) -> list[str]:
    columns = results.cost_columns
    if not columns:
        return []
    rows = [
        [
            row.title,
            *(f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row.cells),
        ]
        for row in results.cost_rows
    ]
    return [
        "",
        "| Model | " + " | ".join(f"{column.title}, {column.unit}" for column in columns) + " |",
        "|---|" + "---:|" * len(columns),
        *("| " + " | ".join(map(markdown_cell, row)) + " |" for row in rows),
        "",
        results.cost_note,
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


def _markdown_legend(results: Results) -> str:
    run = results.run
    ranks = ""
    if results.primary:
        ranks = (
            f"Rank by {results.columns[0].title}: "
            "one more than the number of models clearly better. "
        )
    specs = ", ".join(f"{spec.title} {spec.id}" for spec in run.metrics)
    part = formatting.restriction(run.prompts_per_subject).capitalize()
    notes = [
        part and f"{part}.",
        results.few_individuals,
        formatting.untrained_note(run.metrics),
    ]
    note = "".join(f"{text} " for text in notes if text)
    people = formatting.count(results.individuals, "individual")
    return (
        f"{ranks}Mean over scored clips [95 % interval, bootstrap over {people}]. "
        f"{note}Suite digest {run.suite.digest[:12]}; metric specs: {specs}."
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


# The table for papers, in LaTeX.

SECONDS = ("fit_seconds", "sample_seconds")
LAST_LETTER = 0x17F
"""Fonts of LaTeX know Latin letters up to here; it stops at letters that they do not know, so those
are written as a question mark."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # after \\ a bracket would be a length
    "]": "{]}",
    "`": r"\textasciigrave{}",
    formatting.MINUS: "$-$",
    formatting.DASH: "--",
    formatting.NOTHING: "--",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
}


def write_latex(results: Results, folder: Path) -> None:
    r"""Write leaderboard.tex, a ``table*`` for ``\input{leaderboard}`` in a document that uses
    booktabs.

    Means with their 95 % intervals in small type below, arrows for the direction, in bold whoever
    nobody is clearly better than, a little space between rank groups, reference rows below a rule.
    """
    text = "\n".join(_latex_lines(results)) + "\n"
    (folder / "leaderboard.tex").write_text(text, "utf-8")


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it stands: no commands, no end of a cell or line; letters that it
    cannot set become question marks."""
    return "".join(_LATEX.get(char) or _letter(char) for char in " ".join(text.split()))


def _letter(char: str) -> str:
    # Control characters, and marks that turn the direction of writing.
    if unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    return char if ord(char) <= LAST_LETTER else "?"


def _latex_lines(results: Results) -> Iterator[str]:
    run = results.run
    suite = run.suite
    heads = [
        "",
        "Model",
        *(_latex_head(column) for column in results.columns),
        _latex_stack("Fit", "s"),
        _latex_stack("Clip", "s"),
    ]
    name, version, digest = map(latex_text, (suite.name, suite.version, suite.digest[:12]))
    specs = ", ".join(f"{spec.name} {spec.id}" for spec in run.metrics)
    yield f"% Suite {name} {version}, digest {digest}."
    yield r"% Needs \usepackage{booktabs}."
    yield f"% Metric specs: {latex_text(specs)}."
    yield from (
        r"\begin{table*}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{_latex_caption(results)}}}",
    )
    yield rf"\label{{tab:{_latex_label(run.suite.name)}}}"
    yield rf"\begin{{tabular}}{{@{{}}rl{'c' * len(results.columns)}rr@{{}}}}"
    yield r"\toprule"
    yield _latex_line(heads)
    yield r"\midrule"
    yield from _latex_rows(results.rows)
    if results.references:
        yield r"\midrule"
        yield from (
            _latex_line(
                ["", rf"\emph{{{latex_text(row.title)}}}", *_latex_numbers(row, bold=False)]
            )
            for row in results.references
        )
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table*}")


def _latex_rows(rows: Sequence[Row]) -> Iterator[str]:
    for place, row in enumerate(rows):
        if place and row.rank != rows[place - 1].rank:
            yield r"\addlinespace"
        rank = "--" if row.rank is None else str(row.rank)
        yield _latex_line([rank, latex_text(row.title), *_latex_numbers(row, bold=True)])


def _latex_numbers(row: Row, *, bold: bool) -> list[str]:
    costs = dict(zip(SECONDS, (text for _, text in row.costs), strict=False))
    return [
        *(_latex_cell(cell, bold=bold and cell.rank == 1) for cell in row.cells),
        *(latex_text(costs[name]) for name in SECONDS),
    ]


def _latex_cell(cell: Cell, *, bold: bool) -> str:
    text = latex_text(cell.text)
    text = rf"\textbf{{{text}}}" if bold else text
    small = [latex_text(f"[{cell.interval.replace(' to ', ', ')}]")] if cell.interval else []
    small += [latex_text(cell.note)] if cell.note and cell.value is not None else []
    return _latex_stack(text, *small)


def _latex_stack(text: str, *small: str) -> str:
    """The text, and lines of small letters below it."""
    return (
        r"\\".join([rf"\shortstack{{{text}", *(rf"{{\tiny {line}}}" for line in small)]) + "}"
        if small
        else text
    )


def _latex_head(column: Column) -> str:
    first, _, rest = latex_text(column.title).partition(" ")
    arrow = latex_text(column.arrow)
    head = rf"\shortstack{{{first}\\{rest} {arrow}}}" if rest else f"{first} {arrow}"
    return head if arrow else head.replace(" }", "}").rstrip()


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_caption(results: Results) -> str:
    run = results.run
    prompts = formatting.count(len(run.items), "prompt")
    people = formatting.count(results.individuals, "individual")
    part = formatting.restriction(run.prompts_per_subject)
    told = f"Suite {run.suite.name} {run.suite.version}: {prompts} of {people}"
    told += f", {part}." if part else "."
    told += " Means over scored clips, 95 % intervals over individuals."
    if results.primary:
        title = results.columns[0].title
        told += f" Ranks by {title}: one more than the number of models clearly better;"
    notes = [results.few_individuals, formatting.untrained_note(run.metrics)]
    told += f" bold: nobody is clearly better. {' '.join(filter(None, notes))}"
    return latex_text(told.strip())


def _latex_label(name: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in name)
