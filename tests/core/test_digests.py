"""Digests stand in suites, cards and records: they must never come out otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from vbbench.core.digests import (
    file_digest,
    folder_digest,
    folder_files,
    json_digest,
    sha256_number,
    sha256_of,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_texts_and_bytes() -> None:
    assert sha256_of("abc") == sha256_of(b"abc") == ABC
    assert sha256_of("ä") == hashlib.sha256("ä".encode()).hexdigest()
    assert sha256_of("\udcff") == sha256_of(b"\xed\xb3\xbf")  # a name that is no UTF-8


def test_a_number_is_the_first_8_bytes() -> None:
    assert sha256_number("abc") == int.from_bytes(bytes.fromhex(ABC)[:8], "big")


def test_json_knows_no_order_of_keys_but_one_of_lists() -> None:
    assert json_digest({"b": [1, 2], "a": "ä"}) == json_digest({"a": "ä", "b": [1, 2]})
    assert json_digest({"b": [1, 2]}) != json_digest({"b": [2, 1]})
    assert json_digest({"a": "ä"}) == sha256_of('{"a": "ä"}')


def test_what_json_cannot_hold_is_refused_or_turned_into_what_it_can() -> None:
    with pytest.raises(TypeError):
        json_digest({"path": Path("a")})
    assert json_digest({"path": Path("a")}, default=str) == json_digest({"path": "a"})


def test_files(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == sha256_of(content)
    assert file_digest(str(tmp_path / "a")) == sha256_of(content)


def test_a_folder_is_names_and_contents_without_clutter(tmp_path: Path) -> None:
    for name in ("b.py", "inner/a.toml", ".hidden", "__pycache__/b.pyc", "tuning-1.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert folder_files(tmp_path) == [tmp_path / "b.py", tmp_path / "inner" / "a.toml"]
    lines = f"b.py\0{sha256_of('b.py')}\ninner/a.toml\0{sha256_of('inner/a.toml')}\n"
    assert folder_digest(tmp_path) == sha256_of(lines)
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert folder_digest(tmp_path) != sha256_of(lines)
