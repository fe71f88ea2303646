"""Options of ``run`` and ``sample`` that say how a model is evaluated, through the whole program at
tiny scale sd14."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.tiny_sd14 import sd14_weights_root
from vbbench import cli
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.media.video import read_video
from vbbench.models import memory
from vbbench.models import memory_notes as cli_memory
from vbbench.models.latent_video import LatentVideoModel
from vbbench.types import PromptSuite

__all__ = ["sd14_weights_root"]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def sd14(sd14_weights_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny weights, which may be damaged."""
    shutil.copytree(sd14_weights_root, tmp_path / "weights")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights" / "sd14"


@pytest.fixture
def sample(tmp_path: Path, sd14: Path) -> Callable[..., int]:
    """``vbbench sample`` of a few small steps."""
    picture = np.full((40, 40, 3), 255, np.uint8)
    picture[10:30, 10:30] = (200, 40, 40)
    Image.fromarray(picture).save(tmp_path / "dog.png")
    words = [
        "sample",
        "--scale",
        "sd14",
        "--image",
        str(tmp_path / "dog.png"),
        "--text",
        "a dog on the beach",
        "--subject",
        "dog",
    ]
    words += [
        "--steps",
        "2",
        "--num-frames",
        "2",
        "--out",
        str(tmp_path / "out.mp4"),
        "--threads",
        "1",
    ]
    return lambda *more: cli.main([*words, *more])


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--dtype", "bfloat16"),
        ("--offload",),
        ("--scheduler", "faithful"),
        ("--scheduler", "unipc"),
    ],
)
def test_sample_takes_them(
    sample: Callable[..., int], more: tuple[str, ...], tmp_path: Path
) -> None:
    assert sample(*more) == 0
    assert read_video(tmp_path / "out.mkv").frames.shape == (2, 256, 256, 3)


def test_what_sample_is_asked_reaches_the_model(
    sample: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.dtype, bool, str]] = []
    generate = LatentVideoModel.generate

    def spy(self: LatentVideoModel, items: object, params: object) -> object:
        seen.append((self.dtype, self.memory.offload, params.scheduler))
        return generate(self, items, params)

    monkeypatch.setattr(LatentVideoModel, "generate", spy)
    assert sample("--dtype", "float16", "--offload", "--scheduler", "faithful") == 0
    assert sample() == 0
    assert seen == [(torch.float16, True, "faithful"), (torch.float32, False, "ddim")]


def test_a_clip_that_will_not_fit_is_told_before_it_is_made(
    sample: Callable[..., int], capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 1e8)
    assert sample() == 0
    assert "Note: videobooth will not fit: it needs about 1.0 GB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--scheduler", "plms"), "there is no scheduler 'plms'; there are ddpm, ddim"),
        (
            ("--scheduler", "faithful", "--steps", "1"),
            "the scheduler 'faithful' takes 2 to 1000 steps, not 1",
        ),
        (
            ("--scale", "mini", "--scheduler", "faithful"),
            "for networks that predict noise on its linear schedule",
        ),
        (("--model", "still-image", "--dtype", "float32"), ""),
        (("--scale", "mini", "--num-frames", "9"), "this network knows 8 frames at most, not 9."),
        (("--dtype", "fp16"), "argument --dtype: invalid choice: 'fp16'"),
        (("--num-frames", "0"), "argument --num-frames: must be at least 1"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    sample: Callable[..., int],
    words: tuple[str, ...],
    sentence: str,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "mini" in words:
        monkeypatch.delenv(WEIGHTS_VARIABLE)
    code = sample(*words)
    err = capsys.readouterr().err
    assert code == (2 if sentence else 0), err
    assert sentence in err
    assert "Traceback" not in err


def test_truncated_weights_are_a_sentence(
    sample: Callable[..., int], sd14: Path, capsys: Said
) -> None:
    """Through the card's digest, and where the card has been made to fit, through the file
    itself."""
    from vbbench.core.digests import file_digest

    path = sd14 / "base.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert sample() == 2
    assert "are damaged or were changed" in capsys.readouterr().err
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": file_digest(path)}))
    assert sample() == 2
    err = capsys.readouterr().err
    assert "base.safetensors are damaged and cannot be read" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("base", "codec"),
        ("codec", "base"),
        ("videobooth", "image-encoder"),
        ("image-encoder", "videobooth"),
    ],
)
def test_weights_that_belong_to_another_key_are_a_sentence(
    sample: Callable[..., int], sd14: Path, file: str, content: str, capsys: Said
) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(sd14 / f"{content}{suffix}", sd14 / f"{file}{suffix}")
    assert sample() == 2
    err = capsys.readouterr().err
    assert f"{file}" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_run_tells_what_memory_its_models_need(
    sd14: Path,
    tiny_suite: PromptSuite,
    tmp_path: Path,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [
        "run",
        "--suite",
        str(tiny_suite.root),
        "--out",
        str(tmp_path / "run"),
        "--no-references",
        "--scale",
        "sd14",
        "--threads",
        "1",
    ]
    words += [
        "--models",
        "videobooth,text-to-video,textual-inversion",
        "--dry-run",
        "--device",
        "cpu",
    ]
    assert cli.main([*words, "--dtype", "bfloat16"]) == 0
    said = capsys.readouterr()
    assert "Memory of videobooth: about 1.0 GB (weights 0.0 GB" in said.out
    assert "Memory of text-to-video: about" in said.out
    assert "--dtype and --offload are not for textual-inversion" in said.err
    monkeypatch.setattr(memory, "free_memory", lambda device: 1e8)
    assert cli.main(words) == 0
    assert "Note: text-to-video will not fit" in capsys.readouterr().err
    assert list(cli_memory.memory_estimates([], "mini", "cpu")) == []


def test_a_run_names_scheduler_and_dtype_and_knows_its_jobs_by_them(
    sd14: Path, tiny_suite: PromptSuite, tmp_path: Path, capsys: Said
) -> None:
    words = [
        "run",
        "--suite",
        str(tiny_suite.root),
        "--out",
        str(tmp_path / "run"),
        "--no-references",
        "--scale",
        "sd14",
        "--threads",
        "1",
    ]
    words += [
        "--models",
        "text-to-video",
        "--no-report",
        "--steps",
        "2",
        "--metrics",
        "motion",
        "--prompts-per-subject",
        "1",
    ]
    assert cli.main([*words, "--scheduler", "faithful", "--dtype", "bfloat16"]) == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())["models"][
        "text-to-video"
    ]
    assert manifest["params"]["scheduler"] == "faithful"
    assert manifest["settings"]["dtype"] == "bfloat16"
    capsys.readouterr()
    assert cli.main([*words, "--scheduler", "faithful", "--dtype", "bfloat16", "--offload"]) == 0
    assert "All 3 jobs of this plan are done" in capsys.readouterr().err
    for other in (("--scheduler", "faithful"), ("--dtype", "bfloat16")):
        assert cli.main([*words, *other, "--dry-run"]) == 0
        assert "3 jobs, about" in capsys.readouterr().out
    assert cli.main([*words, "--scheduler", "plms"]) == 2
    assert "there is no scheduler 'plms'" in capsys.readouterr().err


def test_an_item_that_goes_bad_fails_alone(
    sd14: Path,
    tiny_suite: PromptSuite,
    tmp_path: Path,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The noise of one item is spoiled; its batch is made without it."""
    bad = tiny_suite.items[1]
    original = LatentVideoModel.noise

    def spoiled(self: LatentVideoModel, generator: torch.Generator, params: object) -> torch.Tensor:
        noise = original(self, generator, params)
        return noise * float("inf") if generator.initial_seed() == bad.seed else noise

    monkeypatch.setattr(LatentVideoModel, "noise", spoiled)
    words = [
        "run",
        "--suite",
        str(tiny_suite.root),
        "--out",
        str(tmp_path / "run"),
        "--no-references",
        "--scale",
        "sd14",
        "--threads",
        "1",
    ]
    words += [
        "--models",
        "text-to-video",
        "--no-report",
        "--steps",
        "2",
        "--batch-size",
        "3",
        "--metrics",
        "motion",
    ]
    assert cli.main(words) == 3
    assert "1 videos failed" in capsys.readouterr().err
    jobs = [json.loads(line) for line in (tmp_path / "run" / "jobs.jsonl").read_text().splitlines()]
    failed = [job for job in jobs if job.get("reason")]
    assert [job["item_id"] for job in failed] == [bad.id]
    assert (
        f"sampling of item {bad.id}: the latents are no longer finite after step 1 of 2 (timestep 999)"
        in failed[0]["reason"]
    )
    assert (
        len({job["item_id"] for job in jobs if not job.get("reason")}) == len(tiny_suite.items) - 1
    )
