"""Files and folders are there whole or not at all, and nothing is left over."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vbbench.core import files
from vbbench.core.digests import sha256_of
from vbbench.core.files import (
    atomic_file,
    atomic_folder,
    clear_temporary,
    copy_whole,
    is_temporary,
    temporary_path,
    write_atomic,
    write_once,
)
from vbbench.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestWriteAtomic:
    @pytest.mark.parametrize("content", ["ä\r\nb\n", b"\xff\0", ""])
    def test_bytes_and_texts_as_they_are(self, tmp_path: Path, content: str | bytes) -> None:
        path = tmp_path / "new" / "a.json"
        write_atomic(path, "before")
        write_atomic(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
        assert names(path.parent) == ["a.json"]

    def test_it_is_as_readable_as_any_new_file(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            write_atomic(tmp_path / "a", "a")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640

    def test_the_longest_name_will_do(self, tmp_path: Path) -> None:
        path = tmp_path / ("ä" * 127)
        write_atomic(path, "a")
        assert names(tmp_path) == [path.name]

    def test_a_link_is_replaced_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "other").write_text("other")
        (tmp_path / "a").symlink_to(tmp_path / "other")
        write_atomic(tmp_path / "a", "a")
        assert (tmp_path / "other").read_text() == "other"
        assert not (tmp_path / "a").is_symlink()

    def test_a_text_that_is_no_unicode_changes_nothing(self, tmp_path: Path) -> None:
        write_atomic(tmp_path / "a", "before")
        with pytest.raises(UnicodeEncodeError):
            write_atomic(tmp_path / "a", "\udcff")
        assert (tmp_path / "a").read_text() == "before"
        assert names(tmp_path) == ["a"]

    def test_a_link_under_the_temporary_name_is_not_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trap = tmp_path / ".a.tmp"
        trap.symlink_to(tmp_path / "stolen")
        monkeypatch.setattr(files, "temporary_path", lambda path, suffix="": trap)
        with pytest.raises(FileExistsError):
            write_atomic(tmp_path / "a", "a")
        assert names(tmp_path) == [".a.tmp"]


class TestWriteOnce:
    def test_the_first_one_wins(self, tmp_path: Path) -> None:
        path = tmp_path / "records" / "a.json"
        assert write_once(path, "first")
        assert not write_once(path, "second")
        assert path.read_text() == "first"
        assert names(path.parent) == ["a.json"]


class TestAtomicFile:
    def test_writers_that_go_by_the_suffix_or_replace_the_file(self, tmp_path: Path) -> None:
        with atomic_file(tmp_path / "a.mkv", suffix=".mkv") as partial:
            assert (partial.parent, partial.suffix) == (tmp_path, ".mkv")
            assert is_temporary(partial)
            mode = partial.stat().st_mode
            partial.unlink()
            partial.touch(mode=0o600)
        assert (tmp_path / "a.mkv").stat().st_mode == mode

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError, SystemExit])
    def test_on_failure_what_was_there_stays(
        self, tmp_path: Path, kind: type[BaseException]
    ) -> None:
        (tmp_path / "a").write_text("before")

        def write_half() -> None:
            with atomic_file(tmp_path / "a") as partial:
                partial.write_text("half")
                raise kind

        with pytest.raises(kind):
            write_half()
        assert (tmp_path / "a").read_text() == "before"
        assert names(tmp_path) == ["a"]


class TestAtomicFolder:
    def test_it_is_filled_beside_its_place(self, tmp_path: Path) -> None:
        with atomic_folder(tmp_path / "new" / "a") as partial:
            (partial / "x").touch()
            assert not (tmp_path / "new" / "a").exists()
        assert names(tmp_path / "new" / "a") == ["x"]
        assert names(tmp_path / "new") == ["a"]

    def test_one_that_is_there_stays_unless_it_may_be_replaced(self, tmp_path: Path) -> None:
        write_atomic(tmp_path / "a" / "old", "")
        with pytest.raises(FileExistsError) as caught, atomic_folder(tmp_path / "a"):
            pass
        assert caught.value.filename == str(tmp_path / "a")
        assert names(tmp_path / "a") == ["old"]
        with atomic_folder(tmp_path / "a", replace=True) as partial:
            (partial / "new").touch()
        assert names(tmp_path / "a") == ["new"]
        assert names(tmp_path) == ["a"]

    @pytest.mark.parametrize("replace", [False, True])
    def test_on_failure_what_was_there_stays(self, tmp_path: Path, replace: bool) -> None:
        write_atomic(tmp_path / "a" / "old", "")
        with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a", replace=replace):
            raise KeyboardInterrupt
        assert names(tmp_path / "a") == ["old"]
        assert names(tmp_path) == ["a"]

    def test_what_was_there_comes_back_if_the_new_one_cannot_be_put_there(
        self, tmp_path: Path
    ) -> None:
        write_atomic(tmp_path / "a" / "old", "")
        with (
            pytest.raises(FileNotFoundError),
            atomic_folder(tmp_path / "a", replace=True) as partial,
        ):
            partial.rmdir()
        assert names(tmp_path / "a") == ["old"]


class TestCopyWhole:
    def test_a_copy_has_the_digest_that_was_seen(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"a")
        copy_whole(tmp_path / "a", tmp_path / "new" / "b", sha256_of("a"))
        with pytest.raises(InputError, match="was changed"):
            copy_whole(tmp_path / "a", tmp_path / "new" / "c", sha256_of("b"))
        assert names(tmp_path / "new") == ["b"]


class TestLeftOvers:
    def test_only_temporary_names_are_removed(self, tmp_path: Path) -> None:
        (tmp_path / ".a.tmp").touch()
        (tmp_path / ".lock").touch()
        temporary_path(tmp_path / "a").touch()
        temporary_path(tmp_path / "b.mkv", ".mkv").touch()
        left = temporary_path(tmp_path / "folder")
        write_atomic(left / "inner", "")
        clear_temporary(tmp_path)
        assert names(tmp_path) == [".a.tmp", ".lock"]

    def test_those_of_one_file_alone(self, tmp_path: Path) -> None:
        temporary_path(tmp_path / "a").touch()
        other = temporary_path(tmp_path / "ab")
        other.touch()
        clear_temporary(tmp_path, of=tmp_path / "a")
        assert names(tmp_path) == [other.name]
