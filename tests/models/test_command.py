"""Programs as models: what they are told, and what becomes of those that crash, hang or leave
something else than a video."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.runner.stubs import MeanScorer
from tests.runner.test_execute import Runner
from vbbench.core.process import TAIL_CHARACTERS, run_process
from vbbench.errors import CommandError, RecipeError
from vbbench.media.video import read_video
from vbbench.metrics.encoders.setting import Setting
from vbbench.models.command import CommandModel
from vbbench.models.recipes import build_model, load_recipe, scale_settings
from vbbench.results.aggregate import failures, load_run
from vbbench.runner.hashing import code_digest
from vbbench.runner.plan import sampling_params
from vbbench.runner.scoring import MetricScorer
from vbbench.types import PromptSuite, SamplingParams, Video

RECIPE = """
name = "program"
title = "Program"
command = ["{python}", "generate.py", "an argument; $HOME"]

[scales.mini]
timeout_seconds = TIMEOUT
strength = 3

[scales.mini.sampling]
batch_size = 2
"""
# what an honest program does, in the tests' own words: a colour from the seed, in pictures
HONEST = """
import json, os, pathlib, random, sys
from PIL import Image

jobs = json.loads(pathlib.Path(sys.argv[-1]).read_text())
params = jobs["params"]
T, S = params["num_frames"], params["size"]

def draw(item, T=T, S=S):
    folder = pathlib.Path(item["output"])
    folder.mkdir()
    colour = tuple(random.Random(item["seed"]).randbytes(3))
    for t in range(T):
        Image.new("RGB", (S, S), colour).save(folder / f"{t}.png")

for item in jobs["items"]:
    if item["id"] == "dog-0-beach":
        MISDEED
    else:
        draw(item)
"""
PARAMS = SamplingParams(
    num_frames=3,
    size=16,
    fps=4,
    num_inference_steps=5,
    guidance_scale=2.0,
    scheduler="ddim",
    batch_size=2,
)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe folder whose program does something of its own with the item dog-0-beach."""

    def make(misdeed: str = "draw(item)", timeout: float = 60) -> Path:
        folder = tmp_path / "program"
        folder.mkdir(exist_ok=True)
        (folder / "recipe.toml").write_text(RECIPE.replace("TIMEOUT", str(timeout)))
        (folder / "generate.py").write_text(HONEST.replace("MISDEED", misdeed))
        return folder

    return make


@pytest.fixture
def runner(tiny_suite: PromptSuite, tmp_path: Path) -> Runner:
    return Runner(tiny_suite, tmp_path / "run")


def made(folder: Path) -> CommandModel:
    model = build_model(load_recipe(folder), "mini", "cpu")
    assert isinstance(model, CommandModel)
    return model


def test_videos_are_the_programs_whatever_the_company(
    program: Callable[..., Path], tiny_suite: PromptSuite
) -> None:
    model = made(program())
    items = tiny_suite.items[:3]
    together = model.generate(items, PARAMS)
    for item, video in zip(items, together, strict=True):
        colour = list(random.Random(item.seed).randbytes(3))
        assert video.fps == PARAMS.fps
        np.testing.assert_array_equal(video.frames, np.broadcast_to(colour, (3, 16, 16, 3)))
        np.testing.assert_array_equal(model.generate([item], PARAMS)[0].frames, video.frames)
    assert model.process_memory_mb is not None
    assert 5 < model.process_memory_mb < 5000


def test_what_a_program_is_told(
    program: Callable[..., Path], tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    folder = program("draw(item)")
    told = tmp_path / "told.json"
    with (folder / "generate.py").open("a") as file:
        file.write(
            f"\npathlib.Path({str(told)!r}).write_text(json.dumps([sys.argv[1:], os.getcwd(), sys.executable, jobs]))\n"
        )
    item = tiny_suite.items[0]
    made(folder).generate([item], PARAMS)
    words, where, python, jobs = json.loads(told.read_text())
    assert words[0] == "an argument; $HOME"  # no shell has looked at it
    assert Path(words[1]).name == "jobs.json"
    assert not Path(words[1]).exists()  # nothing is left behind
    assert (Path(where), python) == (folder, sys.executable)
    output = Path(jobs["items"][0].pop("output"))
    assert not output.parent.exists()
    assert jobs == {
        "protocol": 1,
        "scale": "mini",
        "device": "cpu",
        "settings": {"timeout_seconds": 60, "strength": 3, "sampling": {"batch_size": 2}},
        "params": {
            "num_frames": 3,
            "size": 16,
            "fps": 4,
            "num_inference_steps": 5,
            "guidance_scale": 2.0,
            "scheduler": "ddim",
        },
        "items": [
            {
                "id": item.id,
                "text": item.text,
                "subject_word": item.subject_word,
                "class": item.subject.class_name,
                "image": str(item.image),
                "seed": item.seed,
                "image_seed": item.image_seed,
            }
        ],
    }


@pytest.mark.parametrize("suffix", [".mkv", ".gif", ".mp4"])
def test_files_of_video_are_read(
    program: Callable[..., Path], tiny_suite: PromptSuite, suffix: str
) -> None:
    codec, pixels = {
        ".mkv": ("ffv1", "bgr0"),
        ".gif": ("gif", "rgb8"),
        ".mp4": ("libx264", "yuv420p"),
    }[suffix]
    write = f"""
        import av
        import numpy as np
        with av.open(item["output"] + {suffix!r}, "w") as container:
            stream = container.add_stream({codec!r}, rate=4)
            stream.width = stream.height = S
            stream.pix_fmt = {pixels!r}
            for t in range(T):
                grey = np.full((S, S, 3), 60 * t + 50, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode())
"""
    item = next(item for item in tiny_suite.items if item.id == "dog-0-beach")
    (video,) = made(program(write.strip())).generate([item], PARAMS)
    means = video.frames.reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(means, [50, 110, 170], atol=0 if suffix == ".mkv" else 20)


def test_a_program_in_the_folder_is_started_without_a_python(
    program: Callable[..., Path], tiny_suite: PromptSuite
) -> None:
    folder = program()
    (folder / "run.sh").write_text(f'#!/bin/sh\nexec {sys.executable} generate.py "$1"\n')
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(
        text.replace('["{python}", "generate.py", "an argument; $HOME"]', '["./run.sh"]')
    )
    with pytest.raises(
        CommandError, match=r"'\./run\.sh' cannot be started in .*: Permission denied\."
    ):
        made(folder).generate(tiny_suite.items[:1], PARAMS)
    (folder / "run.sh").chmod(0o755)
    assert len(made(folder).generate(tiny_suite.items[:1], PARAMS)) == 1


MISDEEDS = {
    "crash": (
        "raise KeyError('no such dog')",
        r"ended with exit code 1; the last it wrote is: KeyError: 'no such dog'\.",
    ),
    "silent crash": (
        "os._exit(7)",
        r"ended with exit code 7; it wrote nothing to standard error\.",
    ),
    "killed": ("os.kill(os.getpid(), 9)", r"was killed by signal 9;"),
    "nothing": ("pass", r"the command left no video:"),
    "too few frames": (
        "draw(item, T=2)",
        r"the video has 2 frames of 16 x 16 pixels; 3 of 16 x 16 are asked for\.",
    ),
    "wrong size": (
        "draw(item, S=24)",
        r"has 3 frames of 24 x 24 pixels; 3 of 16 x 16 are asked for\.",
    ),
    "garbage": (
        "open(item['output'] + '.mp4', 'wb').write(bytes(range(256)) * 9)",
        r"of no use: 0\.mp4 is not a video that can be read",
    ),
    "empty": ("open(item['output'] + '.mkv', 'wb').close()", r"of no use: 0\.mkv is empty"),
    "empty folder": ("os.mkdir(item['output'])", r"of no use: .* holds no picture"),
    "two": (
        "draw(item); open(item['output'] + '.gif', 'w').close()",
        r"left 2 videos for one item: a folder, \.gif\.",
    ),
    "link out": (
        "os.symlink(item['image'], item['output'] + '.mkv')",
        r"is a link that leads out of the folder for videos",
    ),
    "pictures out": (
        "os.mkdir(item['output']); os.symlink(item['image'], item['output'] + '/0.png')",
        r"is a link that leads out",
    ),
    "link to nothing": (
        "os.symlink('nothing', item['output'] + '.mkv')",
        r"of no use: 0\.mkv is a link to nothing",
    ),
}


@pytest.mark.parametrize("name", MISDEEDS)
def test_what_goes_wrong_is_a_row_with_a_reason_and_takes_no_other_with_it(
    runner: Runner, program: Callable[..., Path], name: str
) -> None:
    misdeed, reason = MISDEEDS[name]
    summary, _ = runner.run(program(misdeed), scorer=MetricScorer(["motion"], Setting(), "cpu"))
    assert (summary.done, summary.failed, summary.complete) == (5, 1, False)
    run = load_run(runner.root)
    assert len(run.values("program", "motion")) == 5
    (failure,) = failures(run)
    assert (failure.model, failure.items) == ("program", ("dog-0-beach",))
    assert re.search(reason, failure.reason), failure.reason
    assert tempfile.gettempdir() not in failure.reason
    (row,) = [row for row in runner.records("scores.jsonl") if row["item_id"] == "dog-0-beach"]
    assert (row["value"], row["reason"]) == (None, failure.reason)


def test_a_program_that_hangs_is_stopped_with_all_it_started(
    runner: Runner, program: Callable[..., Path], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    hang = f"""
        import subprocess, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
        with open({str(pids)!r}, "a") as file:
            print(os.getpid(), child.pid, file=file)
        print("loading weights", file=sys.stderr, flush=True)
        time.sleep(600)
"""
    started = time.monotonic()
    summary, _ = runner.run(program(hang.strip(), timeout=2))
    assert (summary.done, summary.failed) == (5, 1)
    assert time.monotonic() - started < 40
    (failed,) = [record for record in runner.records() if record["status"] == "failed"]
    assert (
        "was stopped: it took longer than 2 seconds; the last it wrote is: loading weights."
        in failed["reason"]
    )
    for pid in map(int, pids.read_text().split()):
        assert gone(pid), pid


def gone(pid: int) -> bool:
    """Whether nothing of a process but perhaps its entry in the table is left, within a few
    seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_what_a_program_leaves_running_is_ended_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, file=open({str(pid)!r}, 'w'))"
    assert run_process([sys.executable, "-c", code], tmp_path, 60).code == 0
    assert gone(int(pid.read_text()))


def test_ctrl_c_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"

    def interrupt() -> None:
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            run_process([sys.executable, "-c", code], tmp_path, 60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert gone(int(pid.read_text()))


def test_a_program_that_is_not_there_is_a_sentence(
    runner: Runner, program: Callable[..., Path]
) -> None:
    folder = program()
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(recipe.replace('"{python}"', '"no-such-program"'))
    assert runner.run(folder)[0].failed == 6
    reason = runner.records()[0]["reason"]
    assert "no-such-program" in reason
    assert reason.endswith("No such file or directory.")
    assert "details" not in runner.records()[0]["facts"]


def test_secrets_are_kept_out_of_reasons_and_files(
    runner: Runner, program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    monkeypatch.setenv("NOISE_PASSWORD", "hf_abcdefghijkl")  # one secret may begin like another
    failed = "print(os.environ, 'https://ada:lovelace@example.org/x', file=sys.stderr); sys.exit('bad token ' + os.environ['NOISE_PASSWORD'])"
    runner.run(program(failed))
    (record,) = [record for record in runner.records() if record["status"] == "failed"]
    assert record["reason"].endswith("the last it wrote is: bad token .")
    details = (runner.root / record["facts"]["details"]).read_text()
    assert "HF_TOKEN" in details
    for secret in ("hf_abc", "ijkl", "lovelace"):
        assert secret not in details + record["reason"]


def test_endless_words_are_cut_and_block_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.stderr.write('x' * 3_000_000 + 'end'); sys.stdout.write('y' * 3_000_000)"
    )
    ended = run_process([sys.executable, "-c", code], tmp_path, 60)
    assert ended.code == 0
    assert len(ended.tail) == TAIL_CHARACTERS
    assert ended.tail.endswith("xend")
    assert len(ended.last_line) <= 300


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Program"', 'title = "Program"\nentry = "x.py:Y"', "has both entry and command"),
        ('title = "Program"', 'title = "Program"\nfitted = true', "has both command and fitted"),
        (
            'command = ["{python}", "generate.py", "an argument; $HOME"]',
            "",
            "lacks entry, the class that makes the videos, or command",
        ),
        (
            '["{python}", "generate.py", "an argument; $HOME"]',
            '"python3 generate.py"',
            "command in .* must be a list",
        ),
        ('["{python}", "generate.py", "an argument; $HOME"]', "[]", "must be a list of words"),
        ('"an argument; $HOME"', "3", "must be a list of words"),
        ("strength = 3", 'command = ["x"]', "stands above all tables"),
    ],
)
def test_wrong_recipes_are_told(
    program: Callable[..., Path], old: str, new: str, message: str
) -> None:
    folder = program()
    text = (folder / "recipe.toml").read_text()
    assert old in text
    (folder / "recipe.toml").write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_recipe(folder)


@pytest.mark.parametrize("timeout", ["0", "-1", "true", '"long"', "inf", "nan"])
def test_wrong_timeouts_are_told(program: Callable[..., Path], timeout: str) -> None:
    with pytest.raises(
        RecipeError, match="timeout_seconds in .*must be a number of seconds above 0"
    ):
        made(program(timeout=timeout))  # type: ignore[arg-type]


def test_command_and_files_are_what_a_model_is(
    runner: Runner, program: Callable[..., Path]
) -> None:
    folder = program()
    runner.run(folder)
    assert runner.run(folder)[1] == 0
    (folder / "generate.py").write_text(
        (folder / "generate.py").read_text() + "\nprint('a word')\n"
    )
    assert runner.run(folder)[1] == 6
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace("an argument", "another argument"))
    assert runner.run(folder)[1] == 6
    (folder / "README.md").write_text("words")
    assert runner.run(folder)[1] == 0
    settings = json.loads((runner.root / "manifest.json").read_text())["models"]["program"][
        "settings"
    ]
    assert settings["command"] == ["{python}", "generate.py", "another argument; $HOME"]


def test_a_program_may_be_of_another_python(program: Callable[..., Path]) -> None:
    folder = program()
    (folder / "old.py").write_text("print 'Python 2'\n")
    assert code_digest(load_recipe(folder))


def test_its_rows_stand_in_the_run(
    runner: Runner, program: Callable[..., Path], tiny_suite: PromptSuite
) -> None:
    recipe = load_recipe(program())
    assert (recipe.entry, recipe.fitted) == ("vbbench.models.command:CommandModel", False)
    assert sampling_params(recipe, "mini", num_frames=3, size=16, fps=4).batch_size == 2
    assert scale_settings(recipe, "mini")["command"] == list(recipe.command)
    summary, _ = runner.run(recipe.folder, scorer=MeanScorer())
    assert summary.complete
    for record in runner.records():
        video: Video = read_video(runner.root / record["file"])
        assert video.frames.shape == (3, 16, 16, 3)
        assert record["peak_memory_mb"] > 5
