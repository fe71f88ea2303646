"""Suites: what is read, what is refused, what the seeds are."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vbbench.core.digests import file_digest
from vbbench.data import suite as suites
from vbbench.data.suites import load_suite
from vbbench.errors import InputError, SuiteError, UsageError
from vbbench.types import PromptSuite


def test_suite_comes_back_as_it_was_written(tiny_suite: PromptSuite) -> None:
    assert (
        tiny_suite.name,
        tiny_suite.version,
        tiny_suite.num_frames,
        tiny_suite.size,
        tiny_suite.fps,
    ) == ("tiny", "1", 3, 16, 4)
    assert [subject.id for subject in tiny_suite.subjects] == ["cat-0", "dog-0", "dog-1"]
    item = tiny_suite.items[3]
    assert (item.id, item.text, item.subject_word, item.scene, item.motion) == (
        "dog-0-road",
        "a dog on the road",
        "dog",
        "road",
        None,
    )
    assert item.image == tiny_suite.root / "images" / "dog-0.png"
    assert item.subject.clips == (tiny_suite.root / "fit" / "dog-0.mkv",)


def test_seeds_follow_from_suite_seed_item_and_picture(tiny_suite: PromptSuite) -> None:
    item = tiny_suite.items[0]
    expected = int.from_bytes(hashlib.sha256(b"7:cat-0-beach").digest()[:8], "big") % 2**63
    assert item.seed == expected
    picture = file_digest(item.image)
    assert (
        item.image_seed
        == int.from_bytes(hashlib.sha256(f"7:{picture}".encode()).digest()[:8], "big") % 2**63
    )
    assert len({item.seed for item in tiny_suite.items}) == 6
    assert len({item.image_seed for item in tiny_suite.items}) == 3


def test_digest_is_of_content_not_of_layout(tiny_suite: PromptSuite) -> None:
    path = tiny_suite.root / "items.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_bytes("\r\n".join(json.dumps(dict(reversed(row.items()))) for row in rows).encode())
    assert load_suite(tiny_suite.root).digest == tiny_suite.digest


@pytest.mark.parametrize("name", ["images/cat-0.png", "fit/dog-1.mkv"])
def test_changed_file_is_noticed(tiny_suite: PromptSuite, name: str) -> None:
    with (tiny_suite.root / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(SuiteError, match="is not the one that was recorded"):
        load_suite(tiny_suite.root)


def test_changed_setting_is_noticed(tiny_suite: PromptSuite) -> None:
    path = tiny_suite.root / "suite.toml"
    path.write_text(path.read_text().replace("seed = 7", "seed = 8"))
    with pytest.raises(SuiteError, match="is not the one that was recorded"):
        load_suite(tiny_suite.root)


def rewrite(suite: PromptSuite, name: str, change: Callable[[dict], object]) -> None:
    path = suite.root / name
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows[1])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("items.jsonl", lambda row: row.pop("text"), "'cat-0-road' in .* lacks text"),
        ("items.jsonl", lambda row: row.update(id="cat-0-beach"), "stands there twice"),
        ("items.jsonl", lambda row: row.update(id="../evil"), "cannot name a file"),
        ("items.jsonl", lambda row: row.update(colour="red"), "unknown colour"),
        ("items.jsonl", lambda row: row.update(image="images/none.png"), "which does not exist"),
        (
            "items.jsonl",
            lambda row: row.update(reference_video="../../secret.mkv"),
            "does not lie inside",
        ),
        ("items.jsonl", lambda row: row.update(other_video="/etc/passwd"), "does not lie inside"),
        ("subjects.jsonl", lambda row: row.update(clips=["../x.mkv"]), "does not lie inside"),
    ],
)
def test_wrong_rows_are_told(
    tiny_suite: PromptSuite, name: str, change: Callable[[dict], object], message: str
) -> None:
    rewrite(tiny_suite, name, change)
    with pytest.raises(SuiteError, match=message):
        load_suite(tiny_suite.root)


def write_again(
    suite: PromptSuite,
    change_item: Callable[[dict], object] = bool,
    change_subject: Callable[[dict], object] = bool,
) -> None:
    """Write the suite anew with a change, so that the digest is right and the content wrong."""
    rows = {
        n: [json.loads(line) for line in (suite.root / f"{n}.jsonl").read_text().splitlines()]
        for n in ("subjects", "items")
    }
    change_item(rows["items"][1])
    change_subject(rows["subjects"][0])
    settings = {key: getattr(suite, key) for key in suites.SETTINGS} | {
        "metrics": list(suite.metrics)
    }
    suites.write(suite.root, settings, rows["subjects"], rows["items"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(subject_word="dog"), "'dog', which is not a word of its text"),
        (lambda row: row.update(subject_word="ca"), "'ca', which is not a word of its text"),
        (lambda row: row.update(subject="cow-0"), "subjects.jsonl lacks: 'cow-0'"),
        (lambda row: row.update(image="images/dog-0.png"), "differ in class or image"),
    ],
)
def test_items_that_contradict_themselves_are_told(
    tiny_suite: PromptSuite, change: Callable[[dict], object], message: str
) -> None:
    with pytest.raises(SuiteError, match=message):
        write_again(tiny_suite, change)


def test_clips_need_captions(tiny_suite: PromptSuite) -> None:
    with pytest.raises(SuiteError, match="1 clips but 0 captions"):
        write_again(tiny_suite, change_subject=lambda row: row.update(captions=[]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "16"}, "needs the setting size"),
        ({"num_frames": 0}, "at least one frame"),
        ({"name": "a/b"}, "cannot name a folder"),
        ({"frames": 3}, "unknown settings: frames"),
        ({"metrics": [3]}, "not names"),
    ],
)
def test_wrong_settings_are_told(
    make_suite: Callable[..., PromptSuite], settings: dict, message: str
) -> None:
    with pytest.raises(SuiteError, match=message):
        make_suite(**settings)


def test_missing_and_broken_folders_are_told(tiny_suite: PromptSuite, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no suite 'minni'"):
        load_suite("minni")
    with pytest.raises(SuiteError, match="has no suite.toml"):
        load_suite(tmp_path)
    shutil.copytree(tiny_suite.root, tmp_path / "broken")
    (tmp_path / "broken" / "items.jsonl").write_text("{oops\n")
    with pytest.raises(SuiteError, match="line 1 of .* is not a JSON object"):
        load_suite(str(tmp_path / "broken"))
    (tmp_path / "broken" / "items.jsonl").write_text("\n")
    with pytest.raises(SuiteError, match="is empty"):
        load_suite(tmp_path / "broken")
    (tmp_path / "broken" / "suite.toml").write_text("name = ")
    with pytest.raises(SuiteError, match=r"suite\.toml cannot be read"):
        load_suite(tmp_path / "broken")


@pytest.mark.parametrize(
    ("text", "word", "there"),
    [
        ("a cat on the beach", "cat", True),
        ("A Cat!", "cat", True),
        ("the teddy bear sits", "teddy bear", True),
        ("concatenate", "cat", False),
        ("a cat", "", False),
        ("a c.t", "c.t", True),
        ("a cat", "c.t", False),
    ],
)
def test_subject_word_is_a_word_of_the_text(text: str, word: str, there: bool) -> None:
    assert suites.has_word(text, word) is there


def test_single_item_of_a_users_picture(tiny_suite: PromptSuite) -> None:
    picture = tiny_suite.items[0].image
    item = suites.single_item(picture, "a cat on the beach", "cat", seed=3)
    assert (item.image, item.subject.class_name) == (picture, "cat")
    assert suites.single_item(picture, "a cat on the beach", "cat", seed=4).seed != item.seed
    with pytest.raises(InputError, match="'dog' is not a word of the text 'a cat on the beach'"):
        suites.single_item(picture, "a cat on the beach", "dog", seed=3)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("subjects.jsonl", "clips", 3),
        ("subjects.jsonl", "clips", [3]),
        ("subjects.jsonl", "captions", 3),
        ("subjects.jsonl", "world", [1]),
        ("items.jsonl", "scene", 3),
    ],
)
def test_values_of_the_wrong_kind_are_told(
    tiny_suite: PromptSuite, name: str, key: str, value: object
) -> None:
    rewrite(tiny_suite, name, lambda row: row.update({key: value}))
    with pytest.raises(SuiteError, match=f"has {key} that cannot be understood"):
        load_suite(tiny_suite.root)


def test_text_that_is_no_unicode_is_told(tiny_suite: PromptSuite) -> None:
    rewrite(tiny_suite, "items.jsonl", lambda row: row.update(text=row["text"] + " \ud800"))
    with pytest.raises(SuiteError, match="half of a surrogate pair"):
        load_suite(tiny_suite.root)


def test_name_with_a_zero_byte_is_refused(tiny_suite: PromptSuite) -> None:
    rewrite(tiny_suite, "items.jsonl", lambda row: row.update(reference_video="a\0b"))
    with pytest.raises(SuiteError, match="does not lie inside"):
        load_suite(tiny_suite.root)


def test_line_separators_inside_of_a_text_end_no_row(
    tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    root = tmp_path / "separated"
    shutil.copytree(tiny_suite.root, root)
    subjects, items = (
        [json.loads(line) for line in (root / name).read_text().splitlines()]
        for name in ("subjects.jsonl", "items.jsonl")
    )
    items[0]["text"] += "\u2028\x85"
    settings = {key: getattr(tiny_suite, key) for key in suites.SETTINGS} | {
        "metrics": list(tiny_suite.metrics)
    }
    suites.write(root, settings, subjects, items)
    assert load_suite(root).items[0].text == items[0]["text"]
