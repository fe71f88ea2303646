"""Suites that are rendered when first used: the same pixels everywhere, whole or not at all, one
rendering for all processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vbbench import cli
from vbbench.cli.log_lines import spoken
from vbbench.core import paths
from vbbench.core.files import temporary_path
from vbbench.data import pixels, rendered_suite, suite, suites
from vbbench.data.suites import load_suite
from vbbench.data.world import CLASSES, MOTIONS, SCENES
from vbbench.errors import SuiteError
from vbbench.media.video import read_video, write_video_lossless
from vbbench.types import PromptSuite, Video

SMALL = {"per_class": 1, "prompts": 1, "seed": 5, "split": "val"}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite.toml of two classes, as it is shipped, and an empty cache."""
    monkeypatch.setattr(rendered_suite, "CLASSES", ("cat", "tiger"))
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = tmp_path / "prompts" / "small"
    rendered_suite.render_whole(
        tmp_path / "once", {"name": "small", "version": "1", "rendered": SMALL}
    )
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "once" / "suite.toml", folder)
    monkeypatch.setattr(suites, "prompts_dir", lambda: folder.parent)
    return folder


def cached(suite_read: PromptSuite) -> Path:
    (folder,) = (
        path for path in (paths.cache_dir() / "suites").iterdir() if not path.name.startswith(".")
    )
    assert suite_read.root == folder
    return folder


@pytest.fixture(autouse=True)
def _spoken() -> Iterator[None]:
    with spoken():
        yield


def test_it_is_rendered_once_and_told(
    shipped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_suite("small")
    told = capsys.readouterr().err
    assert told.startswith("vbbench: the suite small is rendered once")
    assert str(cached(first)) in told
    assert (len(first.subjects), len(first.items)) == (2, 2)
    assert first.digest == suite.read_header(shipped)["digest"]
    monkeypatch.setattr(rendered_suite, "write_suite", None)  # a second rendering would fail
    monkeypatch.setattr(pixels, "_pixel_digest", None)  # so would a second decoding
    assert load_suite("small") == first
    assert load_suite(shipped) == first
    assert load_suite(first.root) == first
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("shipped")
def test_pixels_count_and_bytes_do_not() -> None:
    """Files of another encoder are the same suite, with the same seeds."""
    before = load_suite("small")
    picture, video = before.items[0].image, before.items[0].reference_video
    contents = [path.read_bytes() for path in (picture, video)]
    Image.fromarray(np.asarray(Image.open(picture))).save(picture, compress_level=1)
    video.write_bytes(video.read_bytes() + b"\0")
    assert [path.read_bytes() for path in (picture, video)] != contents
    assert load_suite("small") == before
    assert before.items[0].image_seed == suite.derive_seed(5, _pixels_of(picture))


def _pixels_of(picture: Path) -> str:
    from vbbench.media.video import video_digest

    return video_digest(Video(np.asarray(Image.open(picture).convert("RGB"))[None], fps=1))


@pytest.mark.parametrize("damage", ["pixel", "cut", "gone", "text"])
@pytest.mark.usefixtures("shipped")
def test_a_damaged_cache_is_rendered_anew(damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = load_suite("small")
    video = before.items[1].reference_video
    good = video.read_bytes()
    if damage == "pixel":
        frames = read_video(video).frames.copy()
        frames[3, 5, 7, 1] ^= 1
        write_video_lossless(video, Video(frames, rendered_suite.FPS))
    elif damage == "cut":
        video.write_bytes(good[: len(good) // 2])
    elif damage == "gone":
        video.unlink()
    else:
        rows = before.root / "items.jsonl"
        rows.write_text(rows.read_text().replace("a tiger", "a big tiger"))
    capsys.readouterr()
    assert load_suite("small") == before
    assert "is damaged and rendered anew" in capsys.readouterr().err
    assert video.read_bytes() == good
    assert [path.name for path in before.root.parent.iterdir() if path.is_dir()] == [
        before.root.name
    ]


@pytest.mark.usefixtures("shipped")
def test_an_interrupted_rendering_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rendered_suite, "_write_item", stop)
        with pytest.raises(KeyboardInterrupt):
            load_suite("small")
    folder = paths.cache_dir() / "suites"
    assert [path for path in folder.iterdir() if path.is_dir()] == []
    left = temporary_path(load_suite("small").root)  # what a kill leaves
    (left / "real").mkdir(parents=True)
    shutil.rmtree(load_suite("small").root)
    load_suite("small")
    assert [path.name[0] for path in folder.iterdir() if path.is_dir()] == ["s"]


def test_other_pixels_than_those_recorded_are_refused(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = rendered_suite.render_clip

    def off_by_one(*arguments: object) -> tuple[np.ndarray, np.ndarray]:
        frames, masks = draw(*arguments)
        frames[0, 0, 0, 0] ^= 1
        return frames, masks

    monkeypatch.setattr(rendered_suite, "render_clip", off_by_one)
    with pytest.raises(SuiteError, match=r"comes out differently here.*arithmetic of this machine"):
        load_suite("small")
    assert [path for path in (paths.cache_dir() / "suites").iterdir() if path.is_dir()] == []


@pytest.mark.usefixtures("shipped")
def test_a_cache_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(SuiteError, match="Set VBBENCH_CACHE to a folder that can be written to"):
        load_suite("small")


LOADS = """
import sys, time
from pathlib import Path
from vbbench.core.log import LOG
from vbbench.data import rendered_suite
from vbbench.data.suites import load_suite

folder, shipped = Path(sys.argv[1]), Path(sys.argv[2])
rendered_suite.CLASSES = ("cat", "tiger")
draw = rendered_suite._write_item

def wait_for(name):
    deadline = time.monotonic() + 60
    while not (folder / name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)

def write_item(*arguments):
    (folder / "drawing").touch()
    wait_for("waiting")
    return draw(*arguments)

def say(record):
    print(record.getMessage())
    if record.getMessage().startswith("another process is rendering"):
        (folder / "waiting").touch()
    return True

LOG.setLevel("INFO")
LOG.addFilter(say)
rendered_suite._write_item = write_item
if len(sys.argv) > 3:
    wait_for(sys.argv[3])
print(load_suite(shipped).digest)
"""


def test_two_processes_at_once_get_one_rendering(
    shipped: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    """The first one draws until the second one has found the door locked."""
    command = [sys.executable, "-c", LOADS, str(tmp_path), str(shipped)]
    processes = [
        subprocess.Popen(
            [*command, *more], env=subprocess_environment, stdout=subprocess.PIPE, text=True
        )
        for more in ([], ["drawing"])
    ]
    first, second = (process.communicate(timeout=120)[0].splitlines() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    digest = suite.read_header(shipped)["digest"]
    assert first[0].startswith("the suite small is rendered once")
    assert second[0].startswith("another process is rendering")
    assert (first[1:], second[1:]) == ([digest], [digest])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("per_class = 1", "per_class = 41", "cannot be rendered"),
        ('split = "val"', 'split = "tset"', "cannot be rendered"),
        ("seed = 5\nsplit", "seed = true\nsplit", "must say per_class"),
        ("per_class = 1", "per_klass = 1", "must say per_class"),
        ('version = "1"', 'version = "../1"', "cannot name a folder"),
    ],
)
def test_wrong_headers_are_told(shipped: Path, old: str, new: str, message: str) -> None:
    path = shipped / "suite.toml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(SuiteError, match=message):
        load_suite("small")


@pytest.mark.usefixtures("shipped")
def test_listing_suites_renders_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendered_suite, "CLASSES", CLASSES)
    assert cli.main(["suites"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "│ 9 │ 9 │ 8 of 64 px │" in re.sub(
        r" +", " ", out
    )  # of all nine classes: it counts without drawing
    assert "rendered" in out
    assert not paths.cache_dir().exists()


def test_the_command_writes_the_bundled_suite_anywhere(
    tmp_path: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--name",
        "small",
        "--per-class",
        "1",
        "--prompts",
        "1",
        "--seed",
        "5",
        "--split",
        "val",
    ]
    assert cli.main(["world", "suite", "--out", str(tmp_path / "new"), *arguments]) == 0
    assert "digest" in capsys.readouterr().out
    assert load_suite(tmp_path / "new").digest == load_suite("small").digest
    assert cli.main(["world", "suite", "--out", str(tmp_path / "new"), *arguments]) == 2
    assert "not empty" in capsys.readouterr().err
    assert cli.main(["world", "suite", "--out", str(tmp_path / "more"), "--per-class", "41"]) == 2
    assert not (tmp_path / "more").exists()


@pytest.fixture(scope="module")
def full() -> PromptSuite:
    return load_suite("mini-full")


def test_the_bundled_full_suite_is_what_the_code_makes(full: PromptSuite) -> None:
    """Loading holds what was rendered just now against the digest that is shipped."""
    assert full.root.is_relative_to(paths.cache_dir())
    assert [path.name for path in (paths.prompts_dir() / "mini-full").iterdir()] == ["suite.toml"]
    assert (len(full.subjects), len(full.items)) == (45, 180)
    assert Counter(subject.class_name for subject in full.subjects) == dict.fromkeys(CLASSES, 5)
    assert {subject.world["split"] for subject in full.subjects if subject.world} == {"test"}
    for words, asked in (
        (SCENES, [i.scene for i in full.items]),
        (MOTIONS, [i.motion for i in full.items]),
    ):
        counts = Counter(asked)
        assert set(counts) == set(words)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_subject_and_other_individual_are_never_another_items_subject(full: PromptSuite) -> None:
    indices = {subject.world["index"] for subject in full.subjects if subject.world}
    assert indices == set(range(5))
    assert not indices & {index + rendered_suite.OTHER_OFFSET for index in indices}


def test_other_instruction_sets_draw_the_same_pixels(tmp_path: Path) -> None:
    """NumPy without AVX2, AVX-512 and FMA: what an older processor runs."""
    program = (
        "import sys; from vbbench.data import rendered_suite; rendered_suite.CLASSES = ('cat', 'tiger')\n"
        "print(rendered_suite.render_whole(__import__('pathlib').Path(sys.argv[1]), "
        f"{{'name': 'small', 'version': '1', 'rendered': {SMALL!r}}}))"
    )
    features = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
    digests = set()
    for number, disabled in enumerate(("", features)):
        environment = {
            **os.environ,
            "NPY_DISABLE_CPU_FEATURES": disabled,
            "PYTHONPATH": str(Path(paths.__file__).parents[2]),
        }
        command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / str(number))]
        digests.add(
            subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True, timeout=120
            ).stdout.strip()
        )
    assert len(digests) == 1
    assert all(len(digest) == 64 for digest in digests)
