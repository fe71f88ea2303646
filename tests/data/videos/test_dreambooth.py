"""The suite that is made of a copy of the DreamBooth dataset, and the command that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.videos.photographs import COUNTS, picture, write_copy
from vbbench.cli import main
from vbbench.core.digests import file_digest
from vbbench.data import suite as suites
from vbbench.data.dreambooth import MadeSuite, make_suite, still_frame
from vbbench.data.suites import load_suite
from vbbench.data.videos.segmenters import Found
from vbbench.errors import InputError, UsageError
from vbbench.media.video import read_video
from vbbench.types import PromptSuite


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, Path]:
    return write_copy(tmp_path)


def made(copy: tuple[Path, Path], tmp_path: Path, **options: object) -> MadeSuite:
    return make_suite(tmp_path / "out" / "suite", *copy, **options)  # type: ignore[arg-type]


def test_every_prompt_of_every_subject_has_its_seeds(
    copy: tuple[Path, Path], tmp_path: Path
) -> None:
    suite = made(copy, tmp_path).suite
    assert (suite.name, suite.scale, suite.num_frames, suite.size, suite.fps) == (
        "dreambooth",
        "sd14",
        16,
        256,
        8,
    )
    assert len(suite.items) == 4 * (2 + 2 + 3 + 3)
    own = [item for item in suite.items if item.subject.id == "rex"]
    assert [(item.id, item.text) for item in own[:3]] == [
        ("rex-00-0", "a dog in a box"),
        ("rex-01-0", "a dog wearing a hat"),
        ("rex-00-1", "a dog in a box"),  # the next noise only after all prompts
    ]
    assert {item.subject_word for item in own} == {"dog"}
    assert len({item.seed for item in suite.items}) == len(suite.items)
    assert len({item.image_seed for item in own}) == 1
    assert len(made(copy, tmp_path / "fewer", seeds=2, wanted=["rex"]).suite.items) == 4


def test_all_photographs_are_references_once_and_the_first_is_the_image_prompt(
    copy: tuple[Path, Path], tmp_path: Path
) -> None:
    for subject in made(copy, tmp_path).suite.subjects:
        given = [copy[0] / subject.id / f"{8 + number}.png" for number in range(COUNTS[subject.id])]
        assert [file_digest(path) for path in (subject.image, *subject.references)] == [
            file_digest(path) for path in given
        ]


def test_fitted_models_get_the_photographs_as_clips_of_one_frame(
    copy: tuple[Path, Path], tmp_path: Path
) -> None:
    (rex,) = made(copy, tmp_path, scale="mini", wanted=["rex"]).suite.subjects
    assert rex.captions == ("a photo of a dog",) * 3
    for clip, name in zip(rex.clips, ("8.png", "9.png", "10.png"), strict=True):
        with Image.open(copy[0] / "rex" / name) as photograph:
            expected = np.asarray(photograph.resize((64, 64), Image.Resampling.LANCZOS))
        frames = read_video(clip).frames
        assert frames.shape == (1, 64, 64, 3)
        assert (frames[0] == expected).all()


def test_a_still_frame_is_the_middle_square() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    assert (still_frame(wide, 10) == 200).all()
    assert (still_frame(wide.transpose(1, 0, 2), 10) == 200).all()


def test_at_mini_the_suite_says_who_was_left_out_and_that_photographs_are_strange_to_it(
    copy: tuple[Path, Path], tmp_path: Path
) -> None:
    (copy[0] / "rex" / "notes.txt").touch()
    told = made(copy, tmp_path, scale="mini")
    assert (told.suite.name, told.suite.num_frames, told.suite.size) == ("dreambooth-mini", 8, 64)
    assert {item.text for item in told.suite.items if item.scene == "snow"} == {
        "a cat in the snow",
        "a dog in the snow",
        "a car in the snow",
    }
    assert "whole photographs" in told.suite.description
    assert "have only ever seen drawings" in told.suite.description
    assert "left out, for want of a word that the miniature knows: vase" in told.suite.description
    assert "for want of a folder of photographs: owl_plushie" in told.suite.description
    assert told.notes[-1] == "no pictures by their names, passed over: rex/notes.txt"
    assert all(note in told.suite.description for note in told.notes[:-1])


def test_the_same_copy_makes_the_same_suite(copy: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = made(copy, tmp_path).suite, made(copy, tmp_path / "again").suite
    assert first.digest == second.digest
    Image.fromarray(picture(99)).save(copy[0] / "rex" / "8.png")
    assert made(copy, tmp_path / "changed").suite.digest != first.digest


class Squares:
    """Finds the upper left quarter of pictures, but for those of vases and the darkest one."""

    name, num_frames = "squares", 1

    def __init__(self, refused: np.ndarray) -> None:
        self.refused, self.asked = refused, []  # type: ignore[var-annotated]

    def settings(self) -> dict[str, object]:
        return {}

    def find(self, frames_THWC: np.ndarray, noun: str) -> Sequence[Found]:
        self.asked.append(noun)
        mask = np.zeros(frames_THWC.shape[1:3], bool)
        if noun == "vase" or (frames_THWC[0] == self.refused).all():
            return []
        mask[4:20, 0:10] = True
        elsewhere = Found(mask, (30.0, 30.0, 40.0, 40.0), 0.9, noun)
        return [elsewhere, Found(mask, (0.0, 4.0, 10.0, 20.0), 0.5, noun)]


def test_a_segmenter_cuts_out_of_the_first_photograph_in_which_it_finds_the_subject(
    copy: tuple[Path, Path], tmp_path: Path
) -> None:
    segmenter = Squares(refused=picture(0))  # rex/8.png
    told = made(copy, tmp_path, segmenter=segmenter, wanted=["rex", "vase"])
    rex, vase = told.suite.subjects
    assert segmenter.asked == [
        "dog",
        "dog",
        "vase",
        "vase",
    ]  # not asked again once it has found something
    expected = np.full((16, 16, 3), 255, np.uint8)
    expected[:, 3:13] = picture(1)[4:20, 0:10]
    with Image.open(rex.image) as prompt:
        assert (np.asarray(prompt) == expected).all()
    given = [
        copy[0] / "rex" / name for name in ("8.png", "10.png")
    ]  # the one that was cut is not there twice
    assert [file_digest(path) for path in rex.references] == [file_digest(path) for path in given]
    assert len(rex.clips) == 3
    assert file_digest(vase.image) == file_digest(copy[0] / "vase" / "8.png")
    assert (
        "squares cut the image prompts out; squares found no subject in any photograph of vase"
        in told.suite.description
    )


def test_nothing_is_left_of_a_suite_that_could_not_be_made(
    copy: tuple[Path, Path], tmp_path: Path
) -> None:
    (copy[0] / "vase" / "8.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"8\.png is not a picture that can be read"):
        made(copy, tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_in_use_is_refused_and_kept(copy: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out" / "suite"
    out.mkdir(parents=True)
    made(copy, tmp_path, wanted=["vase"])  # an empty one will do
    before = load_suite(out).digest
    with pytest.raises(InputError, match=r"suite is in use: it holds fit\. Name a new folder"):
        made(copy, tmp_path)
    assert load_suite(out).digest == before
    with pytest.raises(InputError, match=r"prompts\.txt is a file, not a folder"):
        make_suite(copy[1], *copy)
    with pytest.raises(UsageError, match="no scale 'xl'"):
        make_suite(tmp_path / "new", *copy, scale="xl")


def test_a_folder_that_another_process_wrote_to_meanwhile_is_kept(
    copy: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "suite"
    write = suites.write

    def slowly(*arguments: object) -> str:
        out.mkdir()
        (out / "theirs").touch()
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(suites, "write", slowly)
    with pytest.raises(InputError, match="is in use: another process"):
        made(copy, tmp_path)
    assert [path.name for path in out.parent.rglob("*")] == ["suite", "theirs"]


def test_the_command_makes_a_suite_and_says_what_to_know(
    copy: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "data",
        "dreambooth",
        "--photographs",
        str(copy[0]),
        "--prompts",
        str(copy[1]),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*given, "--scale", "mini", "--seeds", "2"]) == 0
    told = capsys.readouterr()
    assert "3 subjects, 48 prompt items" in told.out
    assert f"vbbench run --suite {tmp_path / 'out'}" in told.out
    starts = (
        "the miniature's networks",
        "image prompts are whole photographs",
        "left out, for want of a word",
        "left out, for want of a folder",
    )
    for line, start in zip(told.err.splitlines(), starts, strict=True):
        assert line.startswith(f"Note: {start}")
    suite: PromptSuite = load_suite(tmp_path / "out")
    assert len(suite.items) == 48
    assert (
        main(
            [
                "run",
                "--suite",
                str(tmp_path / "out"),
                "--models",
                "textual-inversion,videobooth",
                "--no-references",
                "--dry-run",
            ]
        )
        == 0
    )
    assert "99 jobs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--sam", "folder"], "--sam is of grounded-sam: add --segmenter grounded-sam"),
        (["--segmenter", "grounded-sam"], "grounded-sam needs --detector"),
        (["--segmenter", "magic"], "invalid choice: 'magic'"),
        (["--subjects", "cat"], "no folder of the subject 'cat': did you mean 'cat2'"),
        (["--seeds", "0"], "must be at least 1"),
    ],
)
def test_wrong_words_are_told(
    copy: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    given = [
        "data",
        "dreambooth",
        "--photographs",
        str(copy[0]),
        "--prompts",
        str(copy[1]),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*given, *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_suites_name_says_how_to_make_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--suite", "dreambooth", "--dry-run"]) == 2
    assert "the suite 'dreambooth' is not bundled: " in capsys.readouterr().err
