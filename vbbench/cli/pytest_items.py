"""The gate's rows as pytest collects, runs and tells them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vbbench.errors import IncompleteError
from vbbench.report.gate.rows import moved_in_words, numbers_in_words
from vbbench.results.gate.compare import PASSES

if TYPE_CHECKING:
    from vbbench.report.gate.rows import Row

NOTHING_COUNTS = "no row counts: nothing in the run could be held against the recorded scores."


class Gate(pytest.Collector):
    """One run: a collector a model, and a test that fails where nothing could be compared."""

    def __init__(self, *, found: Sequence[Row] | IncompleteError, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.found = found

    def collect(self) -> Iterator[Refusal | Model]:
        """The models; those with something wrong first."""
        rows = () if isinstance(self.found, IncompleteError) else self.found
        if not any(row.verdict.counts for row in rows):
            reason = str(self.found) if isinstance(self.found, IncompleteError) else NOTHING_COUNTS
            yield Refusal.from_parent(self, name="comparison", reason=reason)
        for model in dict.fromkeys(row.verdict.model for row in rows):
            yield Model.from_parent(
                self, name=model, rows=[row for row in rows if row.verdict.model == model]
            )

    def tests(self) -> Iterator[pytest.Item]:
        """All tests of the run."""
        for node in self.collect():
            yield from node.collect() if isinstance(node, Model) else [node]


class Model(pytest.Collector):
    """One model of a run."""

    def __init__(self, *, rows: Sequence[Row], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def collect(self) -> Iterator[MetricRow]:
        """A test a row."""
        for row in self.rows:
            yield MetricRow.from_parent(self, name=row.verdict.metric, row=row)


class GateTest(pytest.Item):
    """A test that stands in no file."""

    def reportinfo(self) -> tuple[Path, None, str]:
        """What stands above its failure."""
        return self.path, None, f"row {self.nodeid}"


class MetricRow(GateTest):
    """One model and metric. Passes as *same* and *better*; is skipped where the row does not count;
    fails otherwise."""

    def __init__(self, *, row: Row, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.row = row

    def runtest(self) -> None:
        """Tells the verdict."""
        if self.row.verdict.kind in PASSES:
            return
        if not self.row.verdict.counts:
            pytest.skip(sentence(self.row))
        pytest.fail(describe(self.row), pytrace=False)


class Refusal(GateTest):
    """Fails: there is nothing that a verdict could be about."""

    def __init__(self, *, reason: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reason = reason

    def runtest(self) -> None:
        """Tells why."""
        pytest.fail(self.reason, pytrace=False)


def sentence(row: Row) -> str:
    """A row by the names that the command line knows, its verdict and why."""
    verdict = row.verdict
    return f"{verdict.model}, {verdict.metric}: {verdict.kind}: {verdict.sentence}"


def describe(row: Row) -> str:
    """A row with its means, interval and yardsticks, then the items that moved most, a line
    each."""
    moved = moved_in_words(row.verdict, len(row.verdict.moved))
    lines = [
        sentence(row),
        f"  {numbers_in_words(row)}",
        *(["  moved most:", *(f"    {text}" for text in moved)] if moved else []),
    ]
    return "\n".join(line for line in lines if line.strip())


def describe_all(rows: Sequence[Row]) -> str:
    """The rows that are not as recorded, each described."""
    counted = [row for row in rows if row.verdict.counts]
    wrong = [row for row in counted if row.verdict.kind not in PASSES]
    if not counted:
        return NOTHING_COUNTS
    return "\n".join(
        [f"{len(wrong)} of {len(counted)} rows are not as recorded", *map(describe, wrong)]
    )
