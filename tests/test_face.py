"""`import vbbench`: what a notebook or a program does with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import vbbench
from tests.results.synthetic import FakeRun, build, items
from tests.test_imports import HEAVY, loaded_by
from vbbench import cli
from vbbench.errors import InputError, RunFolderError, UsageError
from vbbench.media.video import write_video_lossless
from vbbench.types import PromptSuite

FILES = Path(__file__).parent / "files"
MODELS = {
    "videobooth": ("VideoBooth", ()),
    "text-to-video": ("Text to <video>", ()),
    "still-image": ("Still image", ("references",)),
}
RISE = {"videobooth": 0.2, "text-to-video": 0.0, "still-image": 0.1}
COMPARED = ["clip-text", "dino", "temporal-consistency"]


def value(model: str, item: str, metric: str) -> float:
    place = int(item[1:])
    return 0.3 + 0.01 * place + RISE[model] * (1 + 0.1 * (place % 3))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A run folder of nine individuals, and its scores as a recording beside it."""
    folder = build(tmp_path / "runs" / "mini", FakeRun(items(9), value, MODELS), videos=False)
    words = ["gate", "record", str(folder), "--who", "Ada", "--why", "first"]
    assert cli.main([*words, "--out", str(tmp_path / "scores.json")]) == 0
    return folder


@pytest.fixture
def here(
    tmp_path: Path,
    recorded: Path,
    tiny_suite: PromptSuite,
    recipe_folder: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder to work in: suite/, recipes/, runs/mini, scores.json."""
    recipe_folder("noise")
    recipe_folder("tinted")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestNames:
    def test_import_loads_nothing_heavy(self) -> None:
        assert (
            loaded_by("import vbbench; dir(vbbench); vbbench.Video; vbbench.run") & {*HEAVY}
            == set()
        )

    def test_every_name_is_there_and_listed(self) -> None:
        for name in vbbench.__all__:
            assert getattr(vbbench, name) is not None
        assert set(vbbench.__all__) <= set(dir(vbbench))
        with pytest.raises(AttributeError, match="no attribute 'runs'"):
            _ = vbbench.runs

    def test_no_name_is_a_submodule_s(self) -> None:
        folder = Path(vbbench.__file__).parent
        submodules = {path.stem for path in folder.iterdir()}
        assert not submodules & set(vbbench.__all__)


class TestEachLineTwice:
    def test_in_this_session_with_the_plug_in(
        self, here: Path, pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]
    ) -> None:
        plugins = pytestconfig.pluginmanager
        assert plugins.has_plugin("vbbench") or plugins.has_plugin("vbbench.cli.pytest_plugin")
        capfd.readouterr()
        exec(compile((FILES / "face.py").read_text("utf-8"), "face.py", "exec"), {})
        assert capfd.readouterr() == ("", "")

    def test_in_a_script_after_every_submodule(
        self, here: Path, subprocess_environment: dict[str, str]
    ) -> None:
        self.passes([str(FILES / "face.py"), "--everything"], None, subprocess_environment)

    def test_from_standard_input(self, here: Path, subprocess_environment: dict[str, str]) -> None:
        self.passes(["-"], (FILES / "face.py").read_text("utf-8"), subprocess_environment)

    def passes(self, words: list[str], text: str | None, environment: dict[str, str]) -> None:
        done = subprocess.run(
            [sys.executable, *words],
            input=text,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_notebook_runs(here: Path, subprocess_environment: dict[str, str]) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(FILES / "face.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(here)}}
    )
    client.execute(env={**os.environ, **subprocess_environment})
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = {cell.source.splitlines()[-1]: str(cell.outputs) for cell in cells}
    (progress,) = [str(cell.outputs) for cell in cells if cell.source.startswith("run = ")]
    assert "scoring" in progress
    assert "<table>" in shown["run"]
    (compared,) = [text for line, text in shown.items() if ".compare(" in line]
    assert "difference" in compared
    assert "The gate is open" in shown["checked"]


class TestRun:
    def test_tables(self, here: Path) -> None:
        run = vbbench.run("./recipes/noise", suite=here / "suite", metrics=["motion"], threads=1)
        assert isinstance(run, vbbench.Run)
        assert run.folder == Path("runs/tiny")
        assert run.models == ["noise", "still-image"]
        assert run.metrics == ["motion"]
        assert list(run.table["model"]) == run.models
        assert list(run.scores.columns[:5]) == ["model", "item", "subject", "metric", "value"]
        assert len(run.scores) == 12
        assert run.table is run.table
        assert repr(run).startswith("<Run runs/tiny: suite tiny 1 at scale mini, 2 models")
        assert "Coloured noise" in run._repr_html_()

    def test_failed_videos_are_rows(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NOISE_FAILS", "cat-0-road")
        run = vbbench.run(
            Path("recipes/noise"), suite="suite", metrics="motion", references=False, out="mine"
        )
        (failure,) = run.failures.to_dict("records")
        assert (failure["model"], failure["item"], failure["what"]) == (
            "noise",
            "cat-0-road",
            "video",
        )
        assert "cannot draw cat-0-road" in failure["reason"]
        assert not failure["missing"]
        lost = run.scores[run.scores["value"].isna()]
        assert list(lost["item"]) == ["cat-0-road"]
        monkeypatch.delenv("NOISE_FAILS")
        again = vbbench.run(
            Path("recipes/noise"), suite="suite", metrics="motion", references=False, out="mine"
        )
        assert again.failures.empty
        assert len(run.failures) == 1  # as it was read

    def test_progress_is_told_on_stderr(
        self, here: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        vbbench.run("./recipes/noise", suite="suite", metrics="motion")
        told = capfd.readouterr()
        assert told.out == ""
        assert "left out: not every item of the suite has its other video" in told.err
        assert "12 jobs to do" in told.err
        assert "scoring: 12/12" in told.err

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ({"models": "no-such"}, "no model or group"),
            ({"suite": "no-such"}, "there is no suite"),
            ({"metrics": "moton"}, "there is no metric"),
            ({"metrics": []}, "no metric was named"),
            ({"prompts_per_subject": 0}, "prompts_per_subject must be"),
            ({"steps": 2.5}, "steps must be"),
            ({"guidance": float("nan")}, "guidance must be finite"),
            ({"threads": 5000}, "threads must be at most 1024"),
            ({"dtype": "float23"}, "did you mean 'float32'"),
            ({"device": "tpu"}, "there is no device"),
        ],
    )
    def test_wrong_words_are_errors(self, here: Path, words: dict, told: str) -> None:
        known = {"models": "./recipes/noise", "suite": "suite", "progress": False}
        with pytest.raises(UsageError, match=told):
            vbbench.run(**{**known, **words})
        assert not Path("runs/tiny").exists()


class TestLoadedRun:
    def test_comparison_is_the_leaderboards(self, recorded: Path) -> None:
        compared = vbbench.load_run(recorded).compare("videobooth", "text-to-video")
        assert list(compared["metric"]) == COMPARED
        first = compared.iloc[0]
        assert 0.2 <= first["low"] < first["difference"] < first["high"] <= 0.25
        assert first["effect"] > 1
        assert first["corrected"] >= first["p"]
        assert (first["items"], first["individuals"], first["better"]) == (9, 9, "videobooth")

    def test_the_other_way_round_it_is_the_negative(self, recorded: Path) -> None:
        run = vbbench.load_run(recorded)
        for other in ("text-to-video", "still-image"):
            there, back = run.compare("videobooth", other), run.compare(other, "videobooth")
            assert list(back["better"]) == ["videobooth"] * 3
            for ours, theirs in (("difference", "difference"), ("low", "high")):
                pd.testing.assert_series_equal(there[ours], -back[theirs], check_names=False)

    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (("videobooth", "videoboth"), "did you mean 'videobooth'"),
            (("videobooth", "videobooth"), "with itself"),
        ],
    )
    def test_wrong_models_are_errors(
        self, recorded: Path, names: tuple[str, str], told: str
    ) -> None:
        with pytest.raises(UsageError, match=told):
            vbbench.load_run(recorded).compare(*names)

    def test_shows_itself(self, recorded: Path) -> None:
        page = vbbench.load_run(recorded)._repr_html_()
        assert "Text to &lt;video&gt;" in page
        assert " ± " in page

    def test_another_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match="not a run folder"):
            vbbench.load_run(tmp_path)


class TestScore:
    @pytest.fixture
    def frames(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)

    @pytest.fixture
    def image(self) -> Image.Image:
        return Image.new("RGB", (16, 16), "white")

    def test_files_and_arrays_get_the_same_numbers(
        self, tmp_path: Path, frames: np.ndarray, image: Image.Image
    ) -> None:
        video = vbbench.Video(frames, 8)
        write_video_lossless(tmp_path / "a.mkv", video)
        image.save(tmp_path / "a.png")
        found = vbbench.score(
            [tmp_path / "a.mkv", str(tmp_path / "a.mkv"), frames, video],
            ["a dog"] * 4,
            [tmp_path / "a.png", str(tmp_path / "a.png"), image, image],
            metrics="motion",
            fps=8,
            name="mine",
            progress=False,
        )
        assert found.models == ["mine"]
        assert found.failures.empty
        assert found.scores["value"].nunique() == 1
        assert len(found.scores) == 4
        assert found.table["motion.scored"].iloc[0] == 4

    def test_bad_videos_are_rows_with_reasons(
        self, tmp_path: Path, frames: np.ndarray, image: Image.Image
    ) -> None:
        (tmp_path / "text.mp4").write_text("no video")
        bad = [frames[:1], frames.astype(float), frames[0], None, tmp_path / "text.mp4", "none.mp4"]
        found = vbbench.score(
            [*bad, frames],
            ["a dog"] * 7,
            [image] * 7,
            metrics="motion",
            progress=False,
        )
        assert list(found.scores["value"].notna()) == [False] * 6 + [True]
        reasons = dict(zip(found.failures["item"], found.failures["reason"], strict=True))
        reasons = [reasons[item] for item in sorted(reasons)]
        words = ("one frame", "float64", "(16, 16, 3)", "NoneType", "text.mp4", "none.mp4")
        for reason, word in zip(reasons, words, strict=True):
            assert word in reason

    def test_an_image_that_is_not_there_is_a_row_too(
        self, tmp_path: Path, frames: np.ndarray, image: Image.Image
    ) -> None:
        found = vbbench.score(
            [frames, frames],
            ["a dog", "a dog"],
            [tmp_path / "none.png", image],
            metrics="motion",
            progress=False,
        )
        assert list(found.scores["value"].notna()) == [False, True]
        assert "there is no picture" in found.failures["reason"].iloc[0]

    def test_equal_images_are_one_individual(self, frames: np.ndarray, image: Image.Image) -> None:
        lists = ([frames] * 3, ["a dog"] * 3, [image, Image.new("RGB", (16, 16), "red"), image])
        found = vbbench.score(*lists, metrics="motion", progress=False)
        assert list(found.scores["subject"]) == ["subject-1", "subject-2", "subject-1"]
        named = vbbench.score(
            *lists, subjects=["Rex", "Bo", "Al"], metrics="motion", progress=False
        )
        assert list(named.scores["subject"]) == ["Rex", "Bo", "Al"]

    def test_a_named_folder_is_kept_and_another_goes_with_the_object(
        self, tmp_path: Path, frames: np.ndarray, image: Image.Image
    ) -> None:
        lists = {"videos": [frames], "texts": ["a dog"], "images": [image]}
        kept = vbbench.score(**lists, metrics="motion", out=tmp_path / "kept", progress=False)
        assert kept.folder == tmp_path / "kept"
        again = vbbench.score(**lists, metrics="motion", out=tmp_path / "kept", progress=False)
        assert again.scores.equals(kept.scores)
        passing = vbbench.score(**lists, metrics="motion", progress=False)
        folder = passing.folder
        assert (folder / "manifest.json").is_file()
        del passing
        assert not folder.exists()

    @pytest.mark.parametrize(
        ("words", "kind", "told"),
        [
            ({"texts": ["a dog"]}, UsageError, "2 videos, 1 texts, 2 images"),
            ({"subjects": ["a"]}, UsageError, "1 subjects"),
            ({"videos": [], "texts": [], "images": []}, UsageError, "no video was given"),
            ({"videos": "a.mp4"}, UsageError, "videos must be a list"),
            ({"texts": ["a dog", " "]}, UsageError, "entry 2 of texts"),
            ({"images": [1, 2]}, InputError, "a path or a PIL image, not int"),
            ({"name": "a/b"}, UsageError, "cannot name a folder"),
            ({"metrics": "moton"}, UsageError, "there is no metric"),
            ({"fps": 0}, UsageError, "fps must be"),
            ({"frames": 0}, UsageError, "frames must be"),
        ],
    )
    def test_wrong_words_are_errors(
        self, frames: np.ndarray, image: Image.Image, words: dict, kind: type, told: str
    ) -> None:
        known = {"videos": [frames] * 2, "texts": ["a dog"] * 2, "images": [image] * 2}
        with pytest.raises(kind, match=told):
            vbbench.score(**{**known, "metrics": "motion", "progress": False, **words})


class TestGate:
    def test_verdicts(self, recorded: Path, tmp_path: Path) -> None:
        checked = vbbench.check_gate(vbbench.load_run(recorded), against=tmp_path / "scores.json")
        assert checked.ok
        assert checked.exit_code == 0
        counted = checked.verdicts[checked.verdicts["counts"]]
        assert set(counted["verdict"]) == {"same"}
        assert set(COMPARED) <= set(checked.verdicts["metric"])
        assert repr(checked).startswith("<GateCheck ok: ")

    def test_a_worse_run_is_not_ok(self, recorded: Path, tmp_path: Path) -> None:
        def worse(model: str, item: str, metric: str) -> float:
            return value(model, item, metric) - (0.1 if metric == "dino" else 0.0)

        new = build(tmp_path / "new", FakeRun(items(9), worse, MODELS), videos=False)
        checked = vbbench.check_gate(new, tmp_path / "scores.json", models="videobooth")
        assert not checked.ok
        assert checked.exit_code == 1
        drifted = checked.verdicts[checked.verdicts["verdict"] == "drifted"]
        assert list(drifted["metric"]) == ["dino"]
        assert drifted["change"].iloc[0] == pytest.approx(-0.1)
        assert "drifted" in checked._repr_html_()
