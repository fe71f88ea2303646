"""``vbbench new``, and the model of one's own that README.md shows."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.media.videos import h264
from tests.models.test_pipeline import PARAMS as TINY
from tests.results.synthetic import FakeRun, build
from tests.results.synthetic import items as synthetic_items
from vbbench import cli
from vbbench.cli.new import TEMPLATES, title_of
from vbbench.data.suites import load_suite
from vbbench.models.base import VideoModel
from vbbench.models.pipeline import OWN_SCHEDULER, check_arguments
from vbbench.models.recipes import CARD_KEYS, build_model, load_recipe
from vbbench.networks.weights.pretrained import sources
from vbbench.types import PromptItem, PromptSuite, SamplingParams

PARAMS = replace(TINY, num_frames=8, size=64, fps=8)
MOST_LINES = 30
KINDS = {"entry": [], "command": ["--command"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, here: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What the command writes; what it says is left to be read."""
    assert cli.main(["new", "my-method", *KINDS[request.param]]) == 0
    return here / "my-method"


@pytest.fixture(scope="module")
def items() -> tuple[PromptItem, ...]:
    return load_suite("mini").items


def run(folder: str, suite: PromptSuite, out: Path) -> int:
    words = [
        "run",
        "--models",
        folder,
        "--suite",
        str(suite.root),
        "--out",
        str(out),
        "--no-references",
        "--threads",
        "1",
    ]
    return cli.main([*words, "--metrics", "motion", "--no-report"])


def test_what_is_written_runs_to_a_row_of_the_leaderboard(
    made: Path, make_suite: Callable[..., PromptSuite], capsys: pytest.CaptureFixture[str]
) -> None:
    told = capsys.readouterr().out
    assert "vbbench run --models videobooth,./my-method" in told
    assert sorted(path.name for path in made.iterdir()) == sorted(
        re.findall(r"my-method/(\S+\.\w+)", told)
    )
    assert run("./my-method", make_suite(), made.parent / "run") == 0
    out = capsys.readouterr().out
    assert "My method" in out
    assert "6/6" in out
    manifest = json.loads((made.parent / "run" / "manifest.json").read_text())
    assert list(manifest["models"]) == ["my-method"]


def test_template_is_a_sound_model(made: Path, items: tuple[PromptItem, ...]) -> None:
    recipe = load_recipe(made)
    assert (recipe.name, recipe.title) == ("my-method", "My method")
    assert sorted(recipe.card) == sorted(CARD_KEYS)
    model = build_model(recipe, "mini", "cpu")
    assert isinstance(model, VideoModel)
    together = model.generate(items[:4], PARAMS)
    for item, video in zip(items[:4], together, strict=True):
        assert video.frames.shape == (8, 64, 64, 3)
        assert (video.frames.dtype, video.fps) == (np.uint8, 8)
        assert np.ptp(video.frames) > 100
        np.testing.assert_array_equal(model.generate([item], PARAMS)[0].frames, video.frames)
        others = model.generate([replace(item, seed=item.seed + n) for n in (1, 2, 3)], PARAMS)
        assert any(not np.array_equal(other.frames, video.frames) for other in others)


def test_template_does_what_the_text_says(here: Path, items: tuple[PromptItem, ...]) -> None:
    assert cli.main(["new", "my-method"]) == 0
    model = build_model(load_recipe(here / "my-method"), "mini", "cpu")

    def frames(text: str) -> np.ndarray:
        return model.generate([replace(items[0], text=text)], PARAMS)[0].frames

    def place(frame: np.ndarray) -> np.ndarray:
        """Mean row and column, and number of pixels, of whatever is not the ground."""
        rows, columns = np.nonzero((frame != frame[0, 0]).any(axis=-1))
        return np.array([rows.mean(), columns.mean(), len(rows)])

    first, last = (place(frames("a bear walking right on the grass")[t]) for t in (0, -1))
    assert last[1] > first[1] + 10
    first, last = (place(frames("a bear walking left on the grass")[t]) for t in (0, -1))
    assert last[1] < first[1] - 10
    first, last = (place(frames("a bear coming closer in the snow")[t]) for t in (0, -1))
    assert last[2] > 1.5 * first[2]
    jump = [place(frame)[0] for frame in frames("a bear jumping at night")]
    assert max(jump) - min(jump) > 8
    assert (
        frames("a bear standing in the snow")[0, 0, 0].tolist()
        != frames("a bear standing at night")[0, 0, 0].tolist()
    )


def test_its_code_is_short() -> None:
    for path in TEMPLATES.glob("*/*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES, path


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("My_Method", "a model cannot be called 'My_Method': its name must be of a-z"),
        ("my method", "a model cannot be called 'my method'"),
        ("-x", "unrecognized arguments|required|expected"),
        ("videobooth", "there is a model or group 'videobooth' already"),
        ("baselines", "there is a model or group 'baselines' already"),
        ("there", "there is there already"),
        ("file", "file is there already"),
        ("link", "link is there already"),
        ("", "a model cannot be called"),
    ],
)
def test_wrong_names_are_a_sentence_and_write_nothing(
    here: Path, folder: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "there").mkdir()
    (here / "file").write_text("mine")
    (here / "link").symlink_to("nowhere")
    before = sorted(os.listdir(here))
    if folder == "":
        here.rename(here.with_name("Here"))  # the folder one is in
        os.chdir(here.with_name("Here"))
        here = here.with_name("Here")
    assert cli.main(["new", folder]) == 2
    error = capsys.readouterr().err
    assert re.search(told, error), error
    assert len(error.splitlines()) == 1
    assert sorted(os.listdir(here)) == before
    assert (here / "file").read_text() == "mine"


def test_folders_above_are_made(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", "models/of mine/x-1"]) == 0
    assert "--models videobooth,'./models/of mine/x-1'" in capsys.readouterr().out
    assert load_recipe(here / "models" / "of mine" / "x-1").name == "x-1"
    assert sorted(os.listdir(here / "models" / "of mine")) == ["x-1"]


def test_a_disk_that_refuses_is_a_sentence_and_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    assert cli.main(["new", "my-method"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    ("name", "title"), [("my-method", "My method"), ("a_b.c", "A b.c"), ("x", "X")]
)
def test_titles(name: str, title: str) -> None:
    assert title_of(name) == title


README = Path(__file__).parents[2] / "README.md"


def readme() -> str:
    """README.md of the checkout; of an installed package, what its metadata keep of it."""
    if README.is_file():
        return README.read_text("utf-8")
    return importlib.metadata.metadata("vbbench").get_payload()  # type: ignore[return-value]


def shown(mark: str) -> str:
    """The lines of the first fenced block after ``<!-- mark -->`` in README.md."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\s*```\w*\n(.*?)\n```", readme(), re.DOTALL)
    assert found, f"README.md has no block after <!-- {mark} -->"
    return found[1] + "\n"


class TestReadme:
    """What README.md shows is run as it stands there."""

    def test_shows_what_the_command_writes(self, here: Path) -> None:
        assert cli.main(["new", "my-method"]) == 0
        assert shown("own-model: method.py") == (here / "my-method" / "method.py").read_text(
            "utf-8"
        )
        assert len(shown("own-model: method.py").splitlines()) <= MOST_LINES

    def test_its_lines_yield_a_row_in_a_leaderboard(
        self, here: Path, make_suite: Callable[..., PromptSuite], capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / "my-method").mkdir()
        for name in ("recipe.toml", "method.py"):
            (here / "my-method" / name).write_text(shown(f"own-model: {name}"))
        assert run("./my-method", make_suite(), here / "run") == 0
        out = capsys.readouterr().out
        assert "My method" in out
        assert "6/6" in out

    def test_its_program_yields_one_too(
        self, here: Path, make_suite: Callable[..., PromptSuite], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["new", "my-program", "--command"]) == 0
        known = load_recipe(here / "my-program")
        assert tomllib.loads(shown("own-model: command"))["command"] == list(known.command)
        assert run("./my-program", make_suite(), here / "run") == 0
        assert "My program" in capsys.readouterr().out

    def test_its_python_runs(
        self,
        here: Path,
        make_suite: Callable[..., PromptSuite],
        recipe_folder: Callable[[str], Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """With a small suite and quick models, and a run folder that is there already."""
        models = {"videobooth": ("VideoBooth", ()), "elite": ("ELITE", ())}
        scored = FakeRun(synthetic_items(9), lambda model, item, metric: 0.5, models)
        folder = build(here / "runs" / "mini", scored, videos=False)
        record = ["gate", "record", str(folder), "--who", "Ada", "--why", "first"]
        assert cli.main([*record, "--out", "scores.json"]) == 0
        h264(here / "a.mp4")
        (here / "b.mp4").write_text("no video")
        Image.new("RGB", (64, 64), "white").save(here / "dog.png")
        code = shown("from-python")
        names = {
            '"videobooth,baselines"': f'"{recipe_folder("noise")}"',
            'suite="mini"': f'suite="{make_suite(metrics=["motion"]).root}"',
        }
        for name, small in names.items():
            assert code.count(name) == 1
            code = code.replace(name, small)
        found: dict[str, Any] = {}
        exec(compile(code, "README.md", "exec"), found)
        assert found["run"].failures.empty
        assert list(found["found"].scores["value"].notna()) == [True, True, False, False]
        assert list(found["found"].failures["item"]) == ["0002-subject-1"]
        assert found["gate"].ok

    def test_its_pipeline_is_understood(self) -> None:
        import diffusers

        table = tomllib.loads(shown("own-model: pipeline"))
        settings = {**table["scales"]["sd14"], "scale": "sd14"}
        check_arguments(
            getattr(diffusers, settings["pipeline"]), settings["arguments"], "README.md"
        )
        assert sources(settings)["pipeline"].folder == "svd"
        assert settings["sampling"]["scheduler"] == OWN_SCHEDULER


def test_params_are_the_bundled_suites() -> None:
    """What the templates are looked at with above."""
    suite = load_suite("mini")
    assert isinstance(PARAMS, SamplingParams)
    assert (PARAMS.num_frames, PARAMS.size, PARAMS.fps) == (suite.num_frames, suite.size, suite.fps)
