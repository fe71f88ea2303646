"""The gate's findings as files: JSON for programs, JUnit XML for CI, Markdown for a CI summary, and
the page.

The same inputs give the same bytes.
"""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vbbench.report.gate.page import write_page
from vbbench.report.gate.rows import (
    Row,
    counts,
    counts_in_words,
    headline,
    meaning,
    moved_in_words,
    numbers_in_words,
    rows_of,
)
from vbbench.results.gate.check import Held
from vbbench.results.gate.compare import FAILS, MISSING, PASSES
from vbbench.results.gate.scores import Recording
from vbbench.results.run_data import RunData

FORMAT = 1
MOST_ROWS, MOST_DETAILS, MOST_ITEMS, LONGEST = 80, 40, 5, 300
"""Of the Markdown: rows of its table, rows told at length (of either sort), items a row, letters a
text."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_TEXT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"
)
"""Control letters, and those that turn the direction of all that follows."""


def write_outputs(held: Held, folder: Path, old: RunData | None = None) -> Path:
    """Write gate.json, gate.xml, gate.md and the page with its pictures; what was written there
    before is replaced.

    Args:
        folder: made if it is not there; other files in it are left alone.
        old: the run that was recorded, for its videos.
    Returns:
        The path of the page, index.html.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(held, folder, old)
    write_junit(held, folder)
    write_markdown(held, folder)
    return write_page(held, folder, old)


def write_json(held: Held, folder: Path, old: RunData | None = None) -> None:
    """Write gate.json: everything on the page but the pictures; rows as they were compared."""
    outcome, run, recording = held.outcome, held.run, held.recording
    now = {spec.name: spec.id for spec in run.metrics}
    record = {
        "format": FORMAT,
        "verdict": headline(outcome),
        "exit_code": outcome.exit_code,
        "meaning": meaning(outcome.exit_code),
        "counts": counts(outcome),
        "not_counting": sum(not verdict.counts for verdict in outcome.verdicts),
        "suite": asdict(run.suite),
        "against": held.against.as_posix(),
        "recorded": dict(recording.facts),
        "runs": _manifest_facts(run),
        "old_runs": _manifest_facts(old) if old else [],
        "specs": {
            name: {"then": spec.id, "now": now.get(name)}
            for name, spec in recording.metrics.items()
        },
        "noise": {
            "conditions": list(recording.conditions),
            "metrics": {name: asdict(noise) for name, noise in recording.noise.items()},
        },
        "tolerances": asdict(held.tolerances),
        "verdicts": [asdict(verdict) for verdict in outcome.verdicts],
    }
    text = json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False)
    _write(folder / "gate.json", f"{text}\n")


def write_junit(held: Held, folder: Path) -> None:
    """Write gate.xml, JUnit XML: a suite a model, a case a metric. Drifted and slower fail, what is
    missing is an error, what does not count skipped."""
    run, recording = held.run, held.recording
    rows = rows_of(held.outcome, recording)
    root = ET.Element(
        "testsuites", name=_xml(f"vbbench gate, suite {run.suite.name} {run.suite.version}")
    )
    names = [name for name in recording.models if any(row.verdict.model == name for row in rows)]
    for name in names:
        suite = ET.SubElement(root, "testsuite", name=_xml(name))
        for row in rows:
            if row.verdict.model == name:
                _junit_case(suite, row, classname=_xml(f"vbbench.{run.suite.name}.{name}"))
        _count_cases(suite)
    _count_cases(root)
    ET.indent(root)
    xml = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    (folder / "gate.xml").write_bytes(xml + b"\n")


def _junit_case(suite: ET.Element, row: Row, *, classname: str) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=classname, name=_xml(row.verdict.metric), time="0"
    )
    kind = row.verdict.kind
    if row.verdict.counts and kind in PASSES:
        return
    tag = "skipped" if not row.verdict.counts else "failure" if kind in FAILS else "error"
    message = f"{row.model}, {row.metric}: {kind}: {row.verdict.sentence}"
    found = ET.SubElement(case, tag, message=_xml(message))
    if tag != "skipped":
        found.set("type", kind)
    moved = moved_in_words(row.verdict, len(row.verdict.moved))
    lines = [
        message,
        numbers_in_words(row),
        *(["Moved most:", *(f"  {text}" for text in moved)] if moved else []),
    ]
    found.text = _xml("\n".join(filter(None, lines)))


def _count_cases(element: ET.Element) -> None:
    element.set("tests", str(len(list(element.iter("testcase")))))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(len(list(element.iter(tag)))))


def write_markdown(held: Held, folder: Path) -> None:
    """Write gate.md, a summary of at most about 200 lines: the verdict, the table, then what fails and what is
    missing at length."""
    outcome, suite = held.outcome, held.run.suite
    rows = rows_of(outcome, held.recording)
    against = _md(held.against.as_posix())
    recorded = _recorded_in_words(held.recording)
    lines = [
        f"## Gate: {headline(outcome)}",
        "",
        f"{counts_in_words(outcome)} Exit code {outcome.exit_code}: {meaning(outcome.exit_code)}",
        "",
        f"Suite {_md(suite.name)} {_md(suite.version)} against {against}{recorded}.",
        "",
        "| Model | Metric | Verdict | Then | Now | Change [95 % interval] | Tolerance |",
        "|---|---|---|---:|---:|---:|---:|",
        *(_markdown_row(row) for row in rows[:MOST_ROWS]),
        *_more(len(rows) - MOST_ROWS, "row"),
    ]
    counted = [row for row in rows if row.verdict.counts]
    lines += _markdown_details("What fails", [row for row in counted if row.verdict.kind in FAILS])
    lines += _markdown_details(
        "What is missing", [row for row in counted if row.verdict.kind in MISSING]
    )
    _write(folder / "gate.md", "\n".join(lines) + "\n")


def _recorded_in_words(recording: Recording) -> str:
    """``, recorded 2025-01-02 by A at commit 0123abc: why``."""
    told = [
        (before, _md(recording.facts.get(key)))
        for key, before in (
            ("when", " "),
            ("who", " by "),
            ("commit", " at commit "),
            ("why", ": "),
        )
    ]
    facts = "".join(f"{before}{text}" for before, text in told if text)
    return f", recorded{facts}" if facts else ""


def _markdown_row(row: Row) -> str:
    change = f"{row.change} [{row.interval.replace(' to ', ', ')}]" if row.interval else row.change
    kind = (
        f"**{row.verdict.kind}**"
        if row.verdict.counts and row.verdict.kind in FAILS
        else str(row.verdict.kind)
    )
    verdict = kind if row.verdict.counts else f"{kind} (does not count)"
    return (
        "| "
        + " | ".join(
            [_md(row.model), _md(row.metric), verdict, row.old, row.new, change, row.tolerance]
        )
        + " |"
    )


def _markdown_details(title: str, rows: list[Row]) -> list[str]:
    if not rows:
        return []
    lines = ["", f"### {title}", ""]
    for row in rows[:MOST_DETAILS]:
        moved = moved_in_words(row.verdict, MOST_ITEMS)
        told = f" Moved most: {'; '.join(map(_md, moved))}." if moved else ""
        lines.append(
            f"- **{_md(row.model)}, {_md(row.metric)}**, {row.verdict.kind}: {_md(row.verdict.sentence)}.{told}"
        )
    return lines + _more(len(rows) - MOST_DETAILS, "row")


def _more(left: int, noun: str) -> list[str]:
    """The sentence below a list that was cut."""
    return (
        ["", f"{left} more {noun if left == 1 else f'{noun}s'}: see gate.json."] if left > 0 else []
    )


def _manifest_facts(run: RunData) -> list[dict[str, Any]]:
    return [
        {
            key: manifest.get(key)
            for key in ("created", "commit", "vbbench", "command", "environment")
        }
        for manifest in run.manifests
    ]


def _md(text: Any) -> str:
    """Any text on one line, cut where it is long, so that it can neither break a table nor become a
    link, picture, mention or markup."""
    told = _NOT_TEXT.sub(" ", "" if text is None else str(text))
    told = told if len(told) <= LONGEST else f"{told[: LONGEST - 1]}…"
    told = re.sub(r"([\\`*_{}\[\]()#!|~$])", r"\\\1", told)
    for char, safe in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("@", "@\N{ZERO WIDTH SPACE}"),
        ("://", ":\\//"),
    ):
        told = told.replace(char, safe)
    return told.strip()


def _xml(text: str) -> str:
    """The text without what XML 1.0 forbids."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _finite(value: Any) -> Any:
    """The record with None for numbers that JSON has not."""
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    path.write_bytes(
        text.encode("utf-8", "replace")
    )  # half a letter, which JSON can hold and files cannot, becomes "?"
