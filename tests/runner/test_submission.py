"""Which file answers which item."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vbbench.errors import InputError
from vbbench.runner.submission import match_folder, safe_name
from vbbench.types import PromptSuite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x")


def sources(submission: object) -> dict[str, str | None]:
    return {given.item.id: given.source and given.source.name for given in submission.given}


def test_names_are_item_ids_whatever_their_suffix_and_its_case(
    folder: Path, tiny_suite: PromptSuite
) -> None:
    fill(
        folder,
        "cat-0-beach.mp4",
        "cat-0-road.WebM",
        "dog-0-beach.gif",
        "dog-0-road.AVI",
        "dog-1-road.m4v",
        ".DS_Store",
    )
    (folder / "dog-1-beach").mkdir()
    submission = match_folder(folder, tiny_suite, "mini")
    assert sources(submission) == {
        "cat-0-beach": "cat-0-beach.mp4",
        "cat-0-road": "cat-0-road.WebM",
        "dog-0-beach": "dog-0-beach.gif",
        "dog-0-road": "dog-0-road.AVI",
        "dog-1-beach": "dog-1-beach",
        "dog-1-road": "dog-1-road.m4v",
    }
    assert [given.item for given in submission.given] == list(tiny_suite.items)
    assert submission.notes == ()


def test_missing_and_doubled_videos_are_reasons(folder: Path, tiny_suite: PromptSuite) -> None:
    fill(folder, "cat-0-beach.mp4", "cat-0-road.mp4", "cat-0-road.gif", "dog-0-beach.txt")
    (folder / "dog-1-road.mp4").mkdir()  # a folder's whole name is the item's id
    reasons = {
        given.item.id: given.reason for given in match_folder(folder, tiny_suite, "mini").given
    }
    assert reasons["cat-0-beach"] is None
    assert (
        reasons["cat-0-road"] == "there are 2 videos for this item: cat-0-road.gif, cat-0-road.mp4."
    )
    assert reasons["dog-0-road"] == f"there is no video for this item: dog-0-road.* in {folder}."
    assert reasons["dog-0-beach"].startswith(
        f"there is no video for this item: dog-0-beach.* in {folder} (dog-0-beach.txt: known are .mp4,"
    )
    assert "dog-1-road.mp4: known are" in reasons["dog-1-road"]


def test_strangers_are_told_in_one_line_with_what_they_may_be_meant_for(
    folder: Path, tiny_suite: PromptSuite
) -> None:
    fill(
        folder,
        "cat-0-beach.mp4",
        "Dog-0-Beach.mp4",
        "dog-0-roda.mp4",
        "a cat on the road.mp4",
        "notes.txt",
        "x1.mp4",
        "x2.mp4",
    )
    (note,) = match_folder(folder, tiny_suite, "mini").notes
    assert note.startswith(f"6 names in {folder} are no item of the suite tiny and left out: ")
    assert (
        "Dog-0-Beach.mp4 (did you mean dog-0-beach?), dog-0-roda.mp4 (did you mean dog-0-road?)"
        in note
    )
    assert note.endswith(" and 1 more.")
    assert "\n" not in note


def test_texts_are_never_read_from_names(folder: Path, tiny_suite: PromptSuite) -> None:
    fill(folder, "cat-0-beach.mp4", f"{tiny_suite.items[1].text}.mp4")
    assert sources(match_folder(folder, tiny_suite, "mini"))["cat-0-road"] is None


@pytest.mark.parametrize("names", [(), ("dog-0-baech.mp4",)])
def test_folder_without_any_match_is_told(
    folder: Path, tiny_suite: PromptSuite, names: tuple[str, ...]
) -> None:
    fill(folder, *names)
    with pytest.raises(
        InputError,
        match=r"is called like an item of the suite tiny, whose first video would be cat-0-beach\.mp4\.",
    ) as caught:
        match_folder(folder, tiny_suite, "mini")
    assert ("did you mean dog-0-beach?" in str(caught.value)) == bool(names)


def test_what_is_no_folder_is_told(folder: Path, tiny_suite: PromptSuite) -> None:
    fill(folder, "a")
    with pytest.raises(InputError, match="is a file, not a folder of videos"):
        match_folder(folder / "a", tiny_suite, "mini")
    with pytest.raises(InputError, match="there is no folder"):
        match_folder(folder / "b", tiny_suite, "mini")


def test_links_are_followed_and_those_that_lead_out_are_told(
    folder: Path, tiny_suite: PromptSuite
) -> None:
    fill(folder, "cat-0-beach.mp4")
    fill(folder.parent, "elsewhere.mp4")
    (folder / "cat-0-road.mp4").symlink_to("cat-0-beach.mp4")
    (folder / "dog-0-beach.mp4").symlink_to("../elsewhere.mp4")
    (folder / "dog-0-road.mp4").symlink_to("dog-0-road.mp4")  # to itself
    submission = match_folder(folder, tiny_suite, "mini")
    assert len([given for given in submission.given if given.source]) == 4
    assert submission.notes == (
        f"1 of the videos are links out of {folder}, which were followed: dog-0-beach.mp4.",
    )
    shutil.copytree(folder.parent, folder.parent.parent / "copy", symlinks=True)
    os.symlink(folder, folder.parent / "link")  # the folder itself may be one
    assert len(match_folder(folder.parent / "link", tiny_suite, "mini").notes) == 1


HOSTILE = [
    "../x",
    "a/b",
    "",
    ".hidden",
    "-rf",
    'quo"te',
    "\U0001f436",
    "שלום",
    "\u202eabc",
    "a\nb",
    "x" * 300,
    "NUL\0",
    "\udcff",
    "a b",
    "a-b ",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_safe_and_stay_different(name: str) -> None:
    safe = safe_name(name)
    assert safe == safe_name(safe) == safe_name(name)
    assert safe != name
    assert len(safe) <= 64
    assert Path("x") / safe == Path("x", *Path(safe).parts)
    assert not safe.startswith((".", "-"))
    assert safe_name(name + "x") != safe


def test_safe_names_stay_as_they_are() -> None:
    assert [safe_name(name) for name in ("a", "dog-0003", "My_Model.v2")] == [
        "a",
        "dog-0003",
        "My_Model.v2",
    ]
    assert len({safe_name(name) for name in HOSTILE}) == len(HOSTILE)
