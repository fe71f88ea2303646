"""``vbbench score`` from end to end, with the shipped encoders on tiny videos."""

from __future__ import annotations

import csv
import errno
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.media.videos import encode, gif, gradient, h264, pictures, spoil_file, spoil_folder
from vbbench import cli
from vbbench.data.suites import load_suite
from vbbench.results.aggregate import load_run, merge_runs
from vbbench.runner import submission as intake
from vbbench.types import PromptSuite

BAD_FILES = (
    "missing",
    "empty",
    "text",
    "sound",
    "pipe",
    "link to nothing",
    "cut webm",
    "cut gif",
    "damaged",
    "changing size",
    "vast",
)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def videos(tmp_path: Path, tiny_suite: PromptSuite) -> Path:
    """A lossless video at the suite's rate for each item."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for number, item in enumerate(tiny_suite.items):
        encode(folder / f"{item.id}.mkv", gradient(3, 16, 16 + number), "ffv1", "bgr0", 4)
    return folder


@pytest.fixture
def command(videos: Path, tiny_suite: PromptSuite, tmp_path: Path) -> list[str]:
    """Scores without encoders, which is quick."""
    out = ["--out", str(tmp_path / "run"), "--metrics", "motion", "--no-report", "--threads", "1"]
    return ["score", "--videos", str(videos), "--suite", str(tiny_suite.root), *out]


def test_bad_videos_are_records_with_reasons_and_the_good_ones_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = load_suite("mini")
    folder, ids = tmp_path / "bad", iter(item.id for item in suite.items)
    folder.mkdir()
    for kind in BAD_FILES:
        spoil_file(folder / f"{next(ids)}.mp4", kind)
    doubled = next(ids)
    for suffix in (".mp4", ".mov"):
        h264(folder / f"{doubled}{suffix}")
    h264(folder / f"{next(ids)}.mp4", 1)
    h264(folder / f"{next(ids)}.mp4", 9)
    spoil_folder(folder / next(ids), "text")
    good = [next(ids), next(ids), next(ids)]
    h264(folder / f"{good[0]}.MP4", 8, 8, 40, 72)
    gif(folder / f"{good[1]}.gif", gradient(8), 80)
    pictures(folder / good[2], gradient(8, 64, 64))

    code = cli.main(
        [
            "score",
            "--videos",
            str(folder),
            "--suite",
            "mini",
            "--out",
            str(tmp_path / "run"),
            "--title",
            "Bad ones",
        ]
    )
    captured = capsys.readouterr()
    assert code == 3
    assert "Traceback" not in captured.err
    assert (
        captured.err.splitlines()[-1]
        == "vbbench: the scores are incomplete: 15 of 18 items lack a video or a score."
    )
    assert captured.err.count("No video of ") == 15
    jobs = {job["item_id"]: job for job in read(tmp_path / "run" / "jobs.jsonl")}
    assert set(jobs) == {item.id for item in suite.items}
    failed = {item: job["reason"] for item, job in jobs.items() if job["status"] == "failed"}
    kinds = {re.sub(r"\S*(bad/|-0000-)\S*|[0-9.]+", "#", reason) for reason in failed.values()}
    assert len(failed) == 15
    assert len(kinds) >= 14  # whatever the names and numbers in it
    assert [item for item, job in jobs.items() if job["status"] == "done"] == sorted(good)
    run = load_run(tmp_path / "run")
    assert {spec.name for spec in run.metrics} == set(suite.metrics)
    for spec in run.metrics:
        assert set(run.values("bad", spec.name)) == set(good), spec.name
        assert (spec.storage, spec.fps, spec.num_frames) == ("lossy", None, 8)
    assert "Bad ones" in (tmp_path / "run" / "report" / "index.html").read_text()
    assert (
        "lossy are 2 of 3 videos (gif, h264); another rate than 8 frames a second have 1 of 3 (12.5)."
        in captured.err
    )


def test_scores_stand_beside_those_of_a_run(
    command: list[str],
    tiny_suite: PromptSuite,
    recipe_folder: Callable,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = [
        "run",
        "--models",
        str(recipe_folder("noise")),
        "--suite",
        str(tiny_suite.root),
        "--no-references",
        "--metrics",
        "motion",
    ]
    assert cli.main([*model, "--out", str(tmp_path / "model"), "--no-report"]) == 0
    assert cli.main(command) == 0
    assert "Note:" not in capsys.readouterr().err
    assert (
        cli.main(
            [
                "report",
                str(tmp_path / "model"),
                str(tmp_path / "run"),
                "--out",
                str(tmp_path / "page"),
            ]
        )
        == 0
    )
    merged = merge_runs([load_run(tmp_path / name) for name in ("model", "run")])
    assert [model.name for model in merged.models] == ["noise", "mine"]
    assert len(merged.values("mine", "motion")) == 6
    keys = [
        set(json.loads((tmp_path / name / "manifest.json").read_text())["models"].popitem()[1])
        for name in ("model", "run")
    ]
    assert keys[0] == keys[1]
    assert "fit s" in capsys.readouterr().out


def test_lossy_scores_do_not(
    command: list[str], videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 0
    shutil.copytree(videos, tmp_path / "other")
    (tmp_path / "other" / "cat-0-road.mkv").unlink()
    h264(tmp_path / "other" / "cat-0-road.mp4", 3, 4, 16, 16)
    second = [
        str(tmp_path / "other")
        if word == str(videos)
        else word.replace(f"{tmp_path}/run", f"{tmp_path}/run2")
        for word in command
    ]
    assert cli.main(second) == 0
    assert (
        "Note: not comparable with runs of the suite tiny: lossy are 1 of 6 videos (h264)."
        in capsys.readouterr().err
    )
    assert cli.main(["report", str(tmp_path / "run"), str(tmp_path / "run2")]) == 3
    assert "differ in storage (lossless and lossy)" in capsys.readouterr().err


def test_same_command_again_does_only_what_has_changed(
    command: list[str], videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in videos.iterdir()}
    assert cli.main(command) == 0
    scores = (tmp_path / "run" / "scores.jsonl").read_bytes()
    assert cli.main(command) == 0
    assert "scoring" not in capsys.readouterr().err.split("reading")[-1]
    assert (tmp_path / "run" / "scores.jsonl").read_bytes() == scores
    assert {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in videos.iterdir()
    } == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "run", "suite"]
    (videos / "cat-0-road.mkv").unlink()
    assert cli.main(command) == 3
    assert (
        "No video of cat-0-road: there is no video for this item: cat-0-road.* in"
        in capsys.readouterr().err
    )


def write_manifest(folder: Path, *rows: tuple[str, ...]) -> Path:
    with (folder / "my prompts.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("video", "image", "text", "subject", "class"), *rows])
    return folder / "my prompts.csv"


def test_manifest_is_scored_whatever_stands_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    h264(tmp_path / "a.mp4", 8, 10)
    gif(tmp_path / "\U0001f436.gif", gradient(8), 100)
    Image.new("RGB", (60, 40), "red").save(tmp_path / "rex.png")
    Image.new("RGBA", (30, 50), (0, 0, 200, 128)).save(tmp_path / "mia.webp")
    manifest = write_manifest(
        tmp_path,
        ("a.mp4", "rex.png", "a dog running right on the beach", 'Rex "the" \U0001f436', "dog"),
        ("\U0001f436.gif", "rex.png", "a dog standing\nin the snow", 'Rex "the" \U0001f436', "dog"),
        (str(tmp_path / "a.mp4"), "mia.webp", "a cat, in the forest", "\u202eMia", "cat"),
        ("a.mp4", "mia.webp", "x" * 2000, "../../etc/passwd", ""),
        ("../none.mp4", "rex.png", "a dog", "Rex 2", "dog"),
        ("a.mp4", "a.mp4", "a dog", "Rex 2", "dog"),
    )
    command = ["score", "--manifest", str(manifest), "--out", "run"]
    assert cli.main(command) == 3
    captured = capsys.readouterr()
    assert "the miniature encoders have only seen the miniature world" in captured.err
    assert "there is no video" in captured.err
    assert "a.mp4 is not a picture that can be read" in captured.err
    assert max(map(len, captured.err.splitlines())) < 500
    run = load_run(tmp_path / "run")
    assert [len(run.values(run.models[0].name, metric.name)) for metric in run.metrics] == [
        3,
        4,
        4,
        4,
        4,
    ]
    assert {(metric.num_frames, metric.fps, metric.storage) for metric in run.metrics} == {
        (8, 10.0, "lossy")
    }
    assert len(set(run.subject_of.values())) == 4
    assert run.models[0].name.startswith("my-prompts-")
    assert run.suite.num_frames == 8
    page = (tmp_path / "run" / "report" / "index.html").read_text("utf-8")
    assert "a <mark>cat</mark>, in the forest" in page

    # a second model's videos for the same prompts: the suite lies in the run folder
    shutil.copytree(tmp_path / "run" / "videos" / run.models[0].name, tmp_path / "second")
    (tmp_path / "second" / next(item.id + ".mp4" for item in run.items[4:])).write_bytes(
        (tmp_path / "a.mp4").read_bytes()
    )
    again = ["score", "--videos", "second", "--suite", "run/suite", "--out", "run2", "--no-report"]
    assert cli.main(again) == 3
    assert len(merge_runs([run, load_run(tmp_path / "run2")]).models) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "either --videos DIR with --suite NAME, or --manifest FILE is needed."),
        (
            ["--videos", "mine", "--manifest", "m.csv"],
            "either --videos DIR with --suite NAME, or --manifest FILE is needed.",
        ),
        (["--videos", "mine"], "--videos needs --suite NAME."),
        (
            ["--manifest", "m.csv", "--suite", "mini"],
            "--suite goes with --videos; a manifest brings its own prompts.",
        ),
        (["--manifest", "m.csv"], "there is no manifest m.csv."),
        (["--videos", "none", "--suite", "mini"], "there is no folder none."),
        (["--videos", "mine", "--suite", "minii"], "there is no suite 'minii'"),
        (
            ["--videos", "mine", "--suite", "mini"],
            "nothing in mine is called like an item of the suite mini, whose first video would be",
        ),
        (
            ["--videos", "mine", "--suite", "suite", "--name", "../x"],
            "--name '../x' cannot name a folder",
        ),
        (
            ["--videos", "mine", "--suite", "suite", "--metrics", "motoin"],
            "there is no metric 'motoin'. Did you mean 'motion'?",
        ),
        (
            ["--videos", "mine", "--suite", "suite", "--metrics", "motion", "--scale", "maxi"],
            "there is no scale 'maxi'",
        ),
        (
            ["--videos", "mine", "--suite", "suite", "--fps", "0"],
            "argument --fps: must be above 0 and at most 1000, not 0; `vbbench score --help` tells more.",
        ),
        (
            ["--videos", "mine", "--suite", "suite", "--frames", "0"],
            "argument --frames: must be at least 1, not 0",
        ),
        (
            ["--videos", "mine", "--suite", "suite", "--metrics", "motion", "--out", "suite"],
            "suite is not a run folder and not empty",
        ),
        (
            [
                "--videos",
                "mine",
                "--suite",
                "suite",
                "--metrics",
                "motion",
                "--out",
                "mine/cat-0-road.mkv",
            ],
            "mine/cat-0-road.mkv is a file",
        ),
    ],
)
def test_wrong_words_are_told_before_anything_is_made(
    videos: Path,
    words: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(videos.parent)
    assert cli.main(["score", *words]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"vbbench: {sentence}")
    assert sorted(path.name for path in videos.parent.iterdir()) == ["mine", "suite"]


def test_ctrl_c_keeps_what_is_done(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[str] = []
    take = intake._take

    def stop(store: object, name: str, entry: object, terms: object) -> bool:
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(entry.item.id)
        return take(store, name, entry, terms)

    with monkeypatch.context() as patch:
        patch.setattr(intake, "_take", stop)
        assert cli.main(command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"vbbench: stopped; all that is done is kept in {tmp_path / 'run'}. Run the same command again to go on."
    )
    assert len(read(tmp_path / "run" / "jobs.jsonl")) == 3
    assert cli.main(["report", str(tmp_path / "run")]) == 0  # shows what is there: no metric yet
    copies = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "videos" / "mine").iterdir()
    }
    assert cli.main(command) == 0
    assert all(path.stat().st_mtime_ns == before for path, before in copies.items())


def test_full_disk_is_a_sentence_and_the_next_run_goes_on(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patch:
        patch.setattr("vbbench.core.files.shutil.copyfile", full)
        assert cli.main(command) == 2
    assert capsys.readouterr().err.endswith(": No space left on device.\n")
    assert not list((tmp_path / "run" / "videos").rglob("*.*"))
    assert cli.main(command) == 0


@pytest.mark.parametrize("title", ["[/x] <b>&'\"", "\udcff", "\u202e\U0001f436", "x" * 2000])
def test_title_may_be_anything(
    command: list[str], tmp_path: Path, title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([word for word in [*command, "--title", title] if word != "--no-report"]) == 0
    assert "Traceback" not in capsys.readouterr().err
    assert load_run(tmp_path / "run").models[0].title == title.replace("\udcff", "?")


def test_run_folder_of_a_model_is_left_alone(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 0
    assert cli.main([*command, "--name", "other"]) == 2
    assert (
        f"the run folder {tmp_path / 'run'} holds mine, not given videos called other"
        in capsys.readouterr().err
    )


def test_folders_of_pictures_take_the_rate_they_are_told(
    videos: Path, tiny_suite: PromptSuite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in list(videos.iterdir()):
        path.unlink()
        pictures(path.with_suffix(""), gradient(3, 16, 16))
    values = {}
    for fps in ("4", "8"):
        out = ["--out", str(tmp_path / f"run{fps}"), "--metrics", "motion", "--no-report"]
        assert (
            cli.main(
                [
                    "score",
                    "--videos",
                    str(videos),
                    "--suite",
                    str(tiny_suite.root),
                    *out,
                    "--fps",
                    fps,
                ]
            )
            == 0
        )
        run = load_run(tmp_path / f"run{fps}")
        values[fps] = run.values("mine", "motion")["cat-0-road"]
        assert (run.metrics[0].fps, run.metrics[0].storage) == (
            4 if fps == "4" else None,
            "lossless",
        )
    assert values["8"] == pytest.approx(2 * values["4"])


def test_a_suite_folder_of_the_users_own_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    h264(tmp_path / "a.mp4", 8, 10)
    Image.new("RGB", (60, 40), "red").save(tmp_path / "rex.png")
    manifest = write_manifest(tmp_path, ("a.mp4", "rex.png", "a dog", "Rex", "dog"))
    (tmp_path / "mine" / "suite").mkdir(parents=True)
    (tmp_path / "mine" / "suite" / "thesis.txt").write_text("all of it")
    assert (
        cli.main(
            [
                "score",
                "--manifest",
                str(manifest),
                "--out",
                "mine",
                "--metrics",
                "motion",
                "--no-report",
            ]
        )
        == 2
    )
    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "mine" / "suite" / "thesis.txt").read_text() == "all of it"
