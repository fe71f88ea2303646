"""Which subjects of a copy of the dataset take part, what they are called, and what they are asked
for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.videos.photographs import COUNTS, FILE, write_copy
from vbbench.data.dreambooth import LIVING, FoundSubjects, find_subjects, word_of
from vbbench.data.dreambooth_file import read_prompt_file
from vbbench.data.world.captions import VOCABULARY
from vbbench.errors import InputError, UsageError


def find(
    copy: tuple[Path, Path], scale: str = "sd14", wanted: tuple[str, ...] = ()
) -> FoundSubjects:
    return find_subjects(copy[0], read_prompt_file(copy[1]), scale, wanted)


def test_live_subjects_and_objects_have_their_own_prompts(tmp_path: Path) -> None:
    found = find(write_copy(tmp_path))
    assert [subject.name for subject in found.subjects] == [
        "cat2",
        "rex",
        "rc_car",
        "vase",
    ]  # the file's order
    texts = {subject.name: [text for text, _ in subject.prompts] for subject in found.subjects}
    assert texts["rex"] == ["a dog in a box", "a dog wearing a hat"]
    assert texts["vase"] == ["a vase in a box", "a shiny vase", "a vase under water"]
    assert texts["rc_car"][1] == "a shiny toy"
    assert found.without_folder == ("owl_plushie",)
    assert found.without_word == found.passed_over == ()


def test_the_datasets_nine_live_subjects_are_its_cats_and_dogs() -> None:
    """The classes of the dataset, by hand; the paper counts 21 objects and 9 live subjects."""
    classes = (
        *("backpack",) * 2, *("stuffed animal",) * 3, "bowl", "can", "candle", *("cat",) * 2, "clock", *("sneaker",) * 2, *("dog",) * 7,
        *("toy",) * 5, "boot", "glasses", "cartoon", "teapot", "vase",
    )  # fmt: skip
    assert (len(classes), sum(name in LIVING for name in classes)) == (30, 9)


def test_photographs_stand_in_natural_order_and_other_files_are_passed_over(tmp_path: Path) -> None:
    copy = write_copy(tmp_path)
    (copy[0] / "rex" / "notes.txt").write_text("a good dog")
    (copy[0] / "rex" / ".DS_Store").write_text("")
    (copy[0] / "README.md").write_text("not a folder")
    found = find(copy, wanted=("rex",))
    assert [path.name for path in found.subjects[0].photographs] == ["8.png", "9.png", "10.png"]
    assert found.passed_over == ("rex/notes.txt",)
    assert found.without_folder == ()  # the others were left out on purpose


@pytest.mark.parametrize(
    ("name", "class_name", "word"),
    [
        ("dog6", "dog", "dog"),
        ("rc_car", "toy", "car"),
        ("rc_car", "toy car", "car"),
        ("bear_plushie", "stuffed animal", "bear"),
        ("brown-bear2", "plushie", None),  # bear2 is no word
        ("plushie", "stuffed bear", "bear"),
        ("backpack_dog", "backpack", None),
        ("dog_house", "house", None),
        ("wolf_plushie", "stuffed animal", None),
        ("robot_toy", "toy", None),
    ],
)
def test_the_miniatures_word(name: str, class_name: str, word: str | None) -> None:
    assert word_of(name, class_name, "mini") == word
    assert word_of(name, class_name, "sd14") == class_name


def test_at_mini_prompts_are_in_its_words_and_strangers_are_left_out_by_name(
    tmp_path: Path,
) -> None:
    found = find(write_copy(tmp_path), "mini")
    assert {subject.name: subject.word for subject in found.subjects} == {
        "cat2": "cat",
        "rex": "dog",
        "rc_car": "car",
    }
    assert found.without_word == ("vase",)
    texts = dict(found.subjects[2].prompts)
    assert texts["a car on the beach"] == "beach"
    assert len(texts) == 8
    assert {word for text in texts for word in text.split()} <= set(VOCABULARY)


def test_what_does_not_go_together_is_told(tmp_path: Path) -> None:
    photographs, file = copy = write_copy(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        find((tmp_path / "none", file))
    with pytest.raises(InputError, match=r"prompts\.txt is a file, not a folder"):
        find((file, file))
    with pytest.raises(InputError, match="holds no folders"):
        find((photographs / "rex", file))
    with pytest.raises(UsageError, match="no folder of the subject 'rexx': did you mean 'rex'"):
        find(copy, wanted=("rexx",))
    with pytest.raises(InputError, match="no subject is left: the miniature has no word for vase"):
        find(copy, "mini", ("vase",))
    (photographs / "stranger").mkdir()
    with pytest.raises(
        InputError, match=r"says no class for stranger: add a line like 'stranger,dog'"
    ):
        find(copy)
    assert len(find(copy, wanted=tuple(COUNTS)).subjects) == 4
    (photographs / "stranger").rename(photographs / "a stranger")
    with pytest.raises(InputError, match="a name that cannot name a subject"):
        find(copy)


def test_a_folder_without_photographs_and_a_kind_without_prompts_are_told(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "one", text=FILE.partition("Live Subject")[0])
    with pytest.raises(
        InputError,
        match=r"no prompts under Live Subject Prompts, and cat2 \(cat\) is a live subject",
    ):
        find(copy)
    assert len(find(copy, wanted=("vase",)).subjects) == 1
    copy = write_copy(tmp_path / "two", {"rex": 0, "vase": 1})
    with pytest.raises(InputError, match=r"rex holds no photographs"):
        find(copy)
