"""``vbbench run`` and ``vbbench sample`` from end to end, with models of the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vbbench import cli
from vbbench.core.environment import choose_device, usable_cores
from vbbench.errors import UsageError
from vbbench.media.video import read_video
from vbbench.types import PromptSuite

Folder = Callable[[str], Path]


@pytest.fixture
def command(tiny_suite: PromptSuite, recipe_folder: Folder, tmp_path: Path) -> list[str]:
    """A run of the tests' models without any metric."""
    models = f"{recipe_folder('noise')},{recipe_folder('tinted')}"
    return [
        "run",
        "--models",
        models,
        "--suite",
        str(tiny_suite.root),
        "--out",
        str(tmp_path / "run"),
        "--no-references",
        "--threads",
        "1",
    ]


def test_run_ends_in_a_leaderboard_and_a_report(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "Coloured noise" in out
    assert "6/6" in out
    assert "Costs, of a new subject and of a clip" in out
    assert "First clip" in out
    page = Path(out.split("Report: ")[1].strip())
    assert page.is_file()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert list(manifest["models"]) == ["noise", "tinted"]
    assert manifest["models"]["noise"]["params"]["num_inference_steps"] == 4
    assert manifest["suite"]["name"] == "tiny"
    environment = manifest["environment"]
    assert (environment["device"], environment["threads"]) == ("cpu", 1)
    assert environment["torch"]
    assert environment["slowness"] > 0

    assert cli.main([*command, "--no-report"]) == 0
    assert "All 15 jobs of this plan are done" in capsys.readouterr().err


def test_reference_rows_that_a_suite_has_no_videos_for_are_left_out_by_name(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.remove("--no-references")
    assert cli.main([*command, "--metrics", "motion", "--no-report"]) == 0
    told = capsys.readouterr().err
    assert (
        "Note: flicker, other-individual, real-video, shuffled-frames left out: not every item of the suite has its other video"
        in told
    )
    assert list(json.loads((tmp_path / "run" / "manifest.json").read_text())["models"]) == [
        "noise",
        "tinted",
        "still-image",
    ]


def test_reference_row_that_was_asked_for_fails_with_its_reason(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command[command.index("--models") + 1] = "real-video"
    assert cli.main([*command, "--metrics", "motion", "--no-report"]) == 3
    assert "has no real video" in (tmp_path / "run" / "jobs.jsonl").read_text()


def test_metric_without_encoder_is_scored(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--metrics", "motion", "--no-report"]) == 0
    assert "motion" in capsys.readouterr().out
    rows = [
        json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    ]
    values = {(row["model"], row["item_id"]): row["value"] for row in rows}
    assert len(values) == 12
    assert all(
        value == 0 for (model, _), value in values.items() if model == "tinted"
    )  # one colour does not move
    assert all(value > 0 for (model, _), value in values.items() if model == "noise")


def test_dry_run_prints_the_plan_and_writes_nothing(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "15 jobs, about" in out
    assert not (tmp_path / "run").exists()


def test_dry_run_knows_what_is_kept(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([*command, "--no-report"])
    capsys.readouterr()
    assert cli.main([*command, "--dry-run"]) == 0
    assert "0 jobs, about" in capsys.readouterr().out


def test_run_of_the_first_prompts_says_so_and_goes_on_with_the_rest(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.main([*command, "--metrics", "motion", "--prompts-per-subject", "1"]) == 0
    out = capsys.readouterr().out
    assert "first 1 prompt of each individual only" in out
    assert "3/3" in out
    page = (run / "report" / "index.html").read_text("utf-8")
    assert page.count("first 1 prompt of each individual only") == 2
    assert "not run yet" not in page
    assert "First 1 prompt of each individual only." in (
        run / "report" / "leaderboard.md"
    ).read_text("utf-8")
    first = {path: path.stat().st_mtime_ns for path in (run / "videos").rglob("*.mkv")}
    assert len(first) == 6
    assert cli.main([*command, "--metrics", "motion"]) == 0
    captured = capsys.readouterr()
    assert "6 jobs to do, 9 kept" in captured.err
    assert "6/6" in captured.out
    assert "each individual only" not in captured.out
    assert {path: path.stat().st_mtime_ns for path in first} == first
    # nothing that is there is hidden by a smaller plan later
    assert (
        cli.main([*command, "--metrics", "motion", "--no-report", "--prompts-per-subject", "1"])
        == 0
    )
    assert "6/6" in capsys.readouterr().out


def test_failures_beyond_the_planned_prompts_do_not_make_a_run_incomplete(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISE_FAILS", "cat-0-road")
    assert cli.main([*command, "--no-report"]) == 3
    assert cli.main([*command, "--no-report", "--prompts-per-subject", "1"]) == 0


def test_failed_item_is_exit_code_3(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOISE_FAILS", "cat-0-road dog-1-road")
    assert cli.main(command) == 3
    captured = capsys.readouterr()
    assert "4/6" in captured.out
    assert "the run is incomplete: 2 videos failed" in captured.err


def test_options_replace_the_recipes_sampling(command: list[str], tmp_path: Path) -> None:
    assert (
        cli.main([*command, "--steps", "2", "--guidance", "7", "--batch-size", "3", "--no-report"])
        == 0
    )
    models = json.loads((tmp_path / "run" / "manifest.json").read_text())["models"]
    params = models["noise"]["params"]
    assert (params["num_inference_steps"], params["guidance_scale"], params["batch_size"]) == (
        2,
        7.0,
        3,
    )
    assert models["tinted"]["params"]["num_inference_steps"] == 25


def test_run_of_another_suite_is_refused_and_left_alone(
    command: list[str],
    make_suite: Callable[..., PromptSuite],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main([*command, "--no-report"])
    before = (tmp_path / "run" / "jobs.jsonl").read_bytes()
    command[command.index("--suite") + 1] = str(make_suite("other", seed=1).root)
    capsys.readouterr()
    assert cli.main(command) == 2
    assert "belongs to suite tiny" in capsys.readouterr().err
    assert (tmp_path / "run" / "jobs.jsonl").read_bytes() == before


def test_unknown_suite_scale_and_device_are_told(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    place = command.index("--suite") + 1
    for words, sentence in (
        ([*command[:place], "no-such-suite"], "there is no suite 'no-such-suite'"),
        ([*command, "--scale", "sd15"], "the model 'noise' has no scale 'sd15'"),
        ([*command, "--device", "tpu"], "there is no device 'tpu'"),
        ([*command, "--metrics", "clip-imag"], "there is no metric 'clip-imag'"),
        ([*command, "--metrics", ","], "no metric was named"),
    ):
        assert cli.main(words) == 2
        assert sentence in capsys.readouterr().err


def test_device_is_chosen() -> None:
    assert choose_device("auto", "mini") == "cpu"
    assert choose_device("cpu", "sd14") == "cpu"
    with pytest.raises(UsageError, match="no device 'tpu'"):
        choose_device("tpu", "mini")
    assert usable_cores() >= 1


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.full((40, 60, 3), 255, np.uint8)
    pixels[10:30, 20:40] = (200, 120, 30)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


def sample_command(picture: Path, model: Path, **options: str) -> list[str]:
    words = {
        "image": str(picture),
        "text": "a cat on the beach",
        "subject": "cat",
        "model": str(model),
        "out": str(picture.parent / "out.mp4"),
    }
    return [
        "sample",
        *(word for key, value in (words | options).items() for word in (f"--{key}", value)),
    ]


def test_sample_writes_a_video_for_people_and_one_without_loss(
    picture: Path, recipe_folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = recipe_folder("noise")
    assert cli.main(sample_command(picture, noise)) == 0
    captured = capsys.readouterr()
    assert "Note: padded with white from 60 x 40 to a square." in captured.err
    assert "never photographs" in captured.err
    assert "has a background" not in captured.err
    lossless = read_video(picture.parent / "out.mkv").frames
    assert lossless.shape == (8, 64, 64, 3)
    assert read_video(picture.parent / "out.mp4").frames.shape == (8, 512, 512, 3)
    cli.main(sample_command(picture, noise, seed="1"))
    assert (read_video(picture.parent / "out.mkv").frames != lossless).any()


def test_sample_tells_of_a_background(
    picture: Path, recipe_folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 64), (90, 120, 60)).save(picture)
    assert cli.main(sample_command(picture, recipe_folder("noise"))) == 0
    assert "Note: the picture has a background" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"subject": "dog"},
            "the subject word 'dog' is not a word of the text 'a cat on the beach'.",
        ),
        ({"image": "missing.png"}, "there is no picture missing.png."),
        ({"out": "video.avi"}, "--out must end in .mp4 or .webm, not 'video.avi'."),
        ({"scale": "maxi"}, "there is no scale 'maxi'"),
        ({"image": "i" * 300}, "i"),
    ],
)
def test_bad_samples_are_told(
    picture: Path,
    recipe_folder: Folder,
    options: dict[str, str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(sample_command(picture, recipe_folder("noise"), **options)) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"vbbench: {sentence}")
    assert not (picture.parent / "out.mkv").exists()


def test_sample_into_a_folder_is_told_before_the_work(
    picture: Path, recipe_folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    (picture.parent / "folder.mp4").mkdir()
    assert (
        cli.main(
            sample_command(picture, recipe_folder("noise"), out=str(picture.parent / "folder.mp4"))
        )
        == 2
    )
    assert capsys.readouterr().err.endswith("folder.mp4 is a folder, not a file.\n")
    assert sorted(path.name for path in picture.parent.iterdir() if "folder" in path.name) == [
        "folder.mp4"
    ]


def test_fitted_models_do_not_sample_from_one_picture(
    picture: Path, recipe_folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(sample_command(picture, recipe_folder("tinted"))) == 2
    assert "must be fitted to several clips" in capsys.readouterr().err


def test_run_that_goes_on_keeps_its_threads(command: list[str], tmp_path: Path) -> None:
    manifest = tmp_path / "run" / "manifest.json"
    cli.main([*command, "--no-report"])
    without = [word for word in command if word not in ("--threads", "1")]
    cli.main([*without, "--no-report"])
    assert json.loads(manifest.read_text())["environment"]["threads"] == 1


def test_settings_that_json_cannot_hold_are_kept_as_text(
    command: list[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipes" / "dated" / "recipe.toml"
    recipe.parent.mkdir()
    for path in (tmp_path / "recipes" / "noise").iterdir():
        (recipe.parent / path.name).write_bytes(path.read_bytes())
    text = recipe.read_text().replace('name = "noise"', 'name = "dated"')
    recipe.write_text(text + "\n[scales.mini.extra]\nday = 2024-01-02\nnothing = nan\n")
    command[command.index("--models") + 1] = str(recipe.parent)
    assert cli.main(command) == 0
    settings = json.loads((tmp_path / "run" / "manifest.json").read_text())["models"]["dated"][
        "settings"
    ]
    assert settings["extra"] == {"day": "2024-01-02", "nothing": "nan"}
