"""The dataset's file of prompts and classes: what is read, and what is refused with the number of
its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.videos.photographs import FILE
from vbbench.data.dreambooth_file import fill_in, read_prompt_file
from vbbench.errors import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "prompts.txt"
    path.write_text(text, encoding="utf-8")
    return path


def with_prompt(line: str) -> str:
    return f"Classes\ndog,dog\n\nObject Prompts\n\n{line}\n"


def test_the_file_is_read_as_it_stands_in_the_dataset(tmp_path: Path) -> None:
    file = read_prompt_file(write(tmp_path, FILE))
    assert list(file.classes.items()) == [
        ("cat2", "cat"),
        ("rex", "dog"),
        ("rc_car", "toy"),
        ("owl_plushie", "stuffed animal"),
        ("vase", "vase"),
    ]
    assert file.objects == ("a {class} in a box", "a shiny {class}", "a {class} under water")
    assert file.live == ("a {class} in a box", "a {class} wearing a hat")


def test_windows_line_ends_a_byte_order_mark_and_marks_of_headings_do_not_matter(
    tmp_path: Path,
) -> None:
    plain = read_prompt_file(write(tmp_path, FILE))
    text = (
        FILE.replace("Classes", "# Classes:")
        .replace("Object Prompts", "**object prompts**")
        .replace("subject_name", "# a remark\nname")
    )
    (tmp_path / "other.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    other = read_prompt_file(tmp_path / "other.txt")
    assert (other.classes, other.objects, other.live) == (plain.classes, plain.objects, plain.live)


@pytest.mark.parametrize(
    "line",
    [
        "a {0} {1} in the jungle",
        "a {} {} in the jungle",
        "a {1} in the jungle",
        "'a {0} {1} in the jungle',",
        '"a {0} {1} in the jungle".format(unique_token, class_token),',
        "'a {1} {0} in the jungle'.format(class_token, unique_token)",
        "'a {} in the jungle'.format(class_token),",
        "f'a {unique_token} {class_token} in the jungle',",
        "'a {unique_token} {class_token} in the jungle'",
    ],
)
def test_a_prompt_may_be_written_in_many_ways(tmp_path: Path, line: str) -> None:
    assert read_prompt_file(write(tmp_path, with_prompt(line))).objects == (
        "a {class} in the jungle",
    )


def test_quotes_inside_of_prompts_stay(tmp_path: Path) -> None:
    lines = "'a {0} {1} in a king\\'s hall',\n\"a {0} {1} in a queen's hall\","
    assert read_prompt_file(write(tmp_path, with_prompt(lines))).objects == (
        "a {class} in a king's hall",
        "a {class} in a queen's hall",
    )


def test_the_article_is_the_classes_own() -> None:
    assert fill_in("a {class} in the snow", "owl") == "an owl in the snow"
    assert fill_in("A {class} and a hat", "owl") == "An owl and a hat"
    assert fill_in("an {class} in a box", "stuffed animal") == "a stuffed animal in a box"
    assert fill_in("a red {class}", "owl") == "a red owl"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("'a dog in the jungle',", "it needs one place for the class"),
        ("'a {0} dog'.format(unique_token)", "it needs one place for the class"),
        ("'a {1} and a {1}',", "it needs one place for the class"),
        ("'a {0} {1} {2}',", r"\{2\} is neither unique_token nor class_token"),
        ("'a {0.__class__} {1}',", r"\{0.__class__\} is neither"),
        ("'a {0} {1'", "a brace is missing"),
        ("'a {0} {1} in the jungle", "one prompt a line is needed"),
        ("'a {0} {1}'.format(unique_token, open('x'))", "one prompt a line is needed"),
        ("'a {0} {1}'.format(other, class_token)", r"\{other\} is neither"),
        (
            "prompt_list = ['a {0} {1}'.format(unique_token, class_token),",
            "one prompt a line is needed",
        ),
        ("'a {0} {1}',\n'a {1}',", "line 7: the prompt 'a {class}' stands there twice"),
    ],
)
def test_what_is_no_prompt_is_told_with_its_line(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as told:
        read_prompt_file(write(tmp_path, with_prompt(line)))
    assert "prompts.txt, line " in str(told.value)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("../etc,dog", "line 3: a subject's folder and its class are needed"),
        ("a/b,dog", "line 3: a subject's folder and its class are needed"),
        ("dog2", "line 3: a subject's folder and its class are needed"),
        ("dog2,dog,brown", "line 3: a subject's folder and its class are needed"),
        ("dog2,", "line 3: '' is no class"),
        ("dog2,{0}", r"line 3: '\{0\}' is no class"),
        ("dog,cat", "line 3: the subject dog stands there twice"),
    ],
)
def test_what_is_no_class_is_told_with_its_line(tmp_path: Path, row: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_prompt_file(write(tmp_path, f"Classes\ndog,dog\n{row}\n\nObject Prompts\na {{1}}\n"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no subjects"),
        ("Classes\nsubject_name,class\n\nObject Prompts\na {1}\n", "names no subjects"),
        ("Classes\ndog,dog\n\nObject Prompts\nprompt_list = [\n]\n", "holds no prompts"),
        ("dog,dog\n", "line 1: 'dog,dog' stands under none of the headings"),
    ],
)
def test_a_file_without_subjects_or_prompts_is_told(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        read_prompt_file(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_prompt_file(tmp_path / "none.txt")
    with pytest.raises(InputError, match="is a folder"):
        read_prompt_file(tmp_path)
    (tmp_path / "bytes").write_bytes(b"Classes\n\xff\xfe")
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 8\)"):
        read_prompt_file(tmp_path / "bytes")
    (tmp_path / "large").write_bytes(b" " * (2 << 20))
    with pytest.raises(InputError, match="over 1 MB"):
        read_prompt_file(tmp_path / "large")
