"""Records: there and back, and what is not one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.profiling.made import good_rows, record, row
from vbbench.errors import RunFolderError
from vbbench.profiling.record import best_peer
from vbbench.profiling.record_json import read_record, write_record


def test_there_and_back(tmp_path: Path) -> None:
    made = record()
    write_record(made, tmp_path / "a.json")
    assert read_record(tmp_path / "a.json") == made
    write_record(read_record(tmp_path / "a.json"), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_numbers_that_are_none_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_record(record([row("a", "b", float("nan"))]), tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def change(data: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    at: Any = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return data


@pytest.mark.parametrize(
    ("path", "to", "sentence"),
    [
        (("format",), "else", "is no profile"),
        (("version",), 7, "newer vbbench (format 7; this one knows 1): update vbbench"),
        (("version",), 0, "another version"),
        (("rows",), {}, "'rows' of the profile is no list"),
        (
            ("rows", 1, "median_seconds"),
            "fast",
            "'median_seconds' of 'rows' of the profile, number 1 is 'fast'",
        ),
        (("rows", 1, "median_seconds"), None, "'median_seconds'"),
        (("rows", 1, "median_seconds"), True, "'median_seconds'"),
        (("rows", 1, "exact"), 1, "'exact'"),
        (("rows", 1, "rounds"), 2.5, "'rounds'"),
        (("rows", 1, "facts"), [], "'facts'"),
        (("rows", 1, "more"), 1, "unknown 'more'"),
        (("checks", 0), "met", "is no object"),
        (("how", 0), 3, "'how'"),
    ],
)
def test_damage_is_told(tmp_path: Path, path: tuple[Any, ...], to: Any, sentence: str) -> None:
    write_record(record(), tmp_path / "a.json")
    data = change(json.loads((tmp_path / "a.json").read_text()), *path, to=to)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(RunFolderError) as caught:
        read_record(tmp_path / "a.json")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, '{"format": NaN}', "\udcff"])
def test_what_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunFolderError):
        read_record(tmp_path / "a.json")
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_record(tmp_path / "none.json")


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    write_record(record(), tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    del data["rows"][0]["case"]
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match="lacks 'case'"):
        read_record(tmp_path / "a.json")


def test_what_must_not_be_mixed_stands_apart() -> None:
    first = row("case", "a", 1.0)
    rows = [
        first,
        replace(first, exact=False),
        replace(first, dtype="bfloat16"),
        replace(first, grad=True),
        replace(first, variant="b"),
    ]
    sections = record(rows).sections()
    assert [len(mine) for mine in sections.values()] == [2, 1, 1, 1]
    assert not list(sections)[-1].exact
    others = [
        replace(first, variant="base", median_seconds=0.1, **how)
        for how in ({"exact": False}, {"dtype": "bfloat16"}, {"grad": True})
    ]
    assert best_peer([first, *others], first, "base") is None  # ratios stay within a section


def test_the_best_of_several_kernels_is_the_one_to_beat() -> None:
    ours = row("case", "merge", 1.0)
    rows = [
        ours,
        row("case", "concat", 3.0),
        row("case", "concat cudnn", 2.0),
        row("other", "concat", 0.1),
        row("case", "concatenated", 0.1),
    ]
    found = best_peer(rows, ours, "concat")
    assert found is not None
    assert found.variant == "concat cudnn"


def test_good_rows_are_good() -> None:
    assert record(good_rows()).exit_code == 0
