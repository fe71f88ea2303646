"""`vbbench data build`: the layout, reasons, resuming after a kill, workers."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.data.videos.clips import contents, iou, rendered, write_captions
from tests.media.videos import cut, h264
from vbbench.cli import main
from vbbench.data.videos.colour_motion import ColourMotion
from vbbench.data.videos.layout import cut_out, read_instances, read_mask
from vbbench.data.videos.loader import examples
from vbbench.errors import UsageError
from vbbench.media.pictures import load_picture
from vbbench.media.video import read_start


def command(clips: Path, out: Path, *more: str) -> list[str]:
    return [
        "data",
        "build",
        "--videos",
        str(clips / "videos"),
        "--captions",
        str(clips / "captions.csv"),
        "--out",
        str(out),
        *more,
    ]


def records(out: Path) -> dict[str, dict]:
    return {
        record["videoid"]: record
        for record in map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    }


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_every_clip_has_a_record_and_files_in_the_released_layout(clips: Path, built: Path) -> None:
    captions = table(clips / "captions.csv")
    assert list(records(built)) == [row["videoid"] for row in captions]
    kept = [record for record in records(built).values() if record["status"] == "kept"]
    assert len(kept) >= len(captions) - 2
    for record in kept:
        folder = built / record["class"] / record["videoid"]
        rows = table(built / f"{record['class']}.csv")
        assert {"videoid": record["videoid"], "page_dir": "p", "name": record["name"]} in rows
        (entry,) = json.loads((folder / "mask.json").read_text())
        assert entry.keys() == {"value", "label", "logit", "box"}
        (instance,) = read_instances(folder)
        frame = read_start(next((clips / "videos" / "p").glob(f"{record['videoid']}.*")))[0]
        prompt = load_picture(folder / "prompt_1.png")
        assert np.array_equal(prompt, cut_out(frame, read_mask(instance.mask), instance.box))
        assert prompt.shape[0] == prompt.shape[1]
    first = records(built)["c000"]
    assert iou(read_mask(built / first["class"] / "c000" / "mask_1.png"), rendered(0)[2]) >= 0.8
    assert load_picture(built / "contact-sheet.png").shape[1] > 500


def test_loader_gives_every_subject(clips: Path, built: Path) -> None:
    found = list(examples(built, clips / "videos"))
    assert sorted(one.videoid for one in found) == sorted(
        key for key, record in records(built).items() if record["status"] == "kept"
    )
    assert found[0].video.is_file()
    assert found[0].image_prompt().shape[2] == 3
    assert {one.class_name for one in examples(built, clips / "videos", classes=["car"])} == {"car"}
    splits = [
        list(examples(built, clips / "videos", split=split)) for split in ("train", "heldout")
    ]
    assert sum(map(len, splits)) == len(found)
    faults: list[str] = []
    assert list(examples(built, clips, on_fault=faults.append)) == []
    assert len(faults) == len(found)
    with pytest.raises(UsageError, match="did you mean 'car'"):
        list(examples(built, clips, classes=["cra"]))


def test_two_workers_make_the_same_files(clips: Path, built: Path, tmp_path: Path) -> None:
    assert main(command(clips, tmp_path / "out", "--workers", "2")) == 0
    assert contents(tmp_path / "out") == contents(built)


def test_killed_and_resumed_it_makes_the_same_files(
    clips: Path, built: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "vbbench", *command(clips, out, "--workers", "2")],
        env=subprocess_environment,
    )
    progress, end = out / "progress.jsonl", time.monotonic() + 60
    while (
        not (progress.is_file() and progress.read_bytes().count(b"\n") >= 2)
        and time.monotonic() < end
    ):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.jsonl").exists()
    done = progress.read_text().splitlines()
    assert 2 <= len(done) < 12
    with progress.open("a") as file:
        file.write('{"videoid": "c0')  # as if it had been killed in the middle of a line
    stamp = {
        name: (out / name).stat().st_mtime_ns
        for name in contents(out)
        if name.endswith("prompt_1.png")
    }
    assert main(command(clips, out)) == 0
    assert contents(out) == contents(built)
    kept = [record for record in map(json.loads, done) if record["status"] == "kept"]
    for record in kept:  # were not made again
        name = f"{record['class']}/{record['videoid']}/prompt_1.png"
        assert (out / name).stat().st_mtime_ns == stamp[name]


def test_interrupted_it_says_how_to_go_on(
    clips: Path,
    built: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find, calls = ColourMotion.find, iter(range(3))

    def stopped(self: ColourMotion, frames: np.ndarray, noun: str) -> object:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return find(self, frames, noun)

    with monkeypatch.context() as patch:
        patch.setattr(ColourMotion, "find", stopped)
        assert main(command(clips, tmp_path / "out")) == 130
    assert "Run the same command again to go on" in capsys.readouterr().err
    assert len((tmp_path / "out" / "progress.jsonl").read_text().splitlines()) == 3
    assert main(command(clips, tmp_path / "out")) == 0
    assert contents(tmp_path / "out") == contents(built)


def test_a_clip_at_which_the_segmenter_fails_is_tried_again(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = write_captions(tmp_path / "captions.csv", [("c001", "p", "a car")])
    words = [
        "data",
        "build",
        "--videos",
        str(clips / "videos"),
        "--captions",
        str(captions),
        "--out",
        str(tmp_path / "out"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(ColourMotion, "find", lambda *_: 1 / 0)
        assert main(words) == 3
    assert records(tmp_path / "out")["c001"]["reason"] == "ZeroDivisionError: division by zero"
    assert main(words) == 0
    assert records(tmp_path / "out")["c001"]["status"] == "kept"


def test_only_one_process_writes(
    clips: Path, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (built / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(command(clips, built)) == 2
    assert "another process is writing" in capsys.readouterr().err


def test_reasons_and_what_comes_later(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(clips / "videos" / "p", videos)
    cut(videos / "c001.mp4", 0.3)
    h264(videos / "plain.mp4")
    rows = [
        ("c000", "a hot dog"),
        ("c001", "a car"),
        ("c003", "a red car"),
        ("nowhere", "a dog"),
        ("c005", "the car stops"),
    ]
    captions = write_captions(tmp_path / "captions.csv", rows, ("id", "caption"))
    words = [
        "data",
        "build",
        "--videos",
        str(videos),
        "--captions",
        str(captions),
        "--out",
        str(out),
    ]
    assert main(words) == 3
    assert "2 of 5 clips could not be judged" in capsys.readouterr().err
    kinds = {name: record.get("kind", "kept") for name, record in records(out).items()}
    assert kinds == {
        "c000": "no noun",
        "c001": "unreadable video",
        "c003": "kept",
        "nowhere": "no video",
        "c005": "kept",
    }
    assert str(tmp_path) not in (out / "manifest.jsonl").read_text()
    shutil.copy(clips / "videos" / "p" / "c001.mp4", videos / "c001.mp4")
    shutil.copy(clips / "videos" / "p" / "c007.mp4", videos / "nowhere.mp4")
    shutil.rmtree(out / "car" / "c003")
    assert main(words) == 0
    assert {record["status"] for name, record in records(out).items() if name != "c000"} == {"kept"}
    assert (out / "car" / "c003" / "mask.json").is_file()


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [("--min-score", "1.1", "low score"), ("--min-share", "0.9", "too small"), ("--max-share", "0.01", "too large"),
     ("--min-side", "500", "too small"), ("--min-piece", "1.1", "fragments")],
)  # fmt: skip
def test_filters(clips: Path, tmp_path: Path, option: str, value: str, kind: str) -> None:
    captions = write_captions(tmp_path / "captions.csv", [("c001", "p", "a car")])
    words = [
        "data",
        "build",
        "--videos",
        str(clips / "videos"),
        "--captions",
        str(captions),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*words, option, value]) == 0
    assert records(tmp_path / "out")["c001"]["kind"] == kind


def test_wrong_input_is_a_sentence(
    clips: Path, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(words: list[str]) -> str:
        assert main(words) == 2
        return capsys.readouterr().err.splitlines()[-1]

    out = tmp_path / "out"
    assert "there is no segmenter 'colour'" in told(command(clips, out, "--segmenter", "colour"))
    assert "cannot be made with sam" in told(command(clips, out, "--sam", "x"))
    assert "built with other settings (filters)" in told(
        command(clips, built, "--min-score", "0.1")
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    assert "holds notes.txt" in told(command(clips, tmp_path / "other"))
    for rows, sentence in (
        ([("a/b", "p", "a dog")], "line 2: the videoid 'a/b' cannot name a folder"),
        ([("a", "p", "x"), ("a", "p", "y")], "line 3: the videoid 'a' stands in line 2 too"),
        ([("a", "p")], "it has 2 cells"),
        ([], "holds no row"),
    ):
        words = command(clips, out)
        words[words.index("--captions") + 1] = str(write_captions(tmp_path / "captions.csv", rows))
        assert sentence in told(words)
    words = command(clips, built)
    words[words.index("--captions") + 1] = str(
        write_captions(tmp_path / "captions.csv", [("c000", "p", "a dog")])
    )
    assert "stands otherwise in the captions now" in told(words)
