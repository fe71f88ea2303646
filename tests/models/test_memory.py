"""Estimates of memory: sizes that can be counted by hand, and sentences that help."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.models import memory as module
from vbbench.models.evaluation import asked
from vbbench.models.memory import MemoryEstimate, estimate_memory, free_memory, what_helps
from vbbench.models.registry import resolve_models
from vbbench.networks import loading
from vbbench.types import Recipe, SamplingParams

PARAMS = SamplingParams(
    num_frames=16, size=256, fps=8, num_inference_steps=50, guidance_scale=4.0, scheduler="ddim"
)


def recipe_of(name: str) -> Recipe:
    (recipe,) = resolve_models(name)
    return recipe


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))


@pytest.mark.usefixtures("no_weights")
def test_weights_are_the_published_numbers_of_parameters() -> None:
    """Text to video has the published UNet; nothing has to be on the disk."""
    told = estimate_memory(recipe_of("text-to-video"), "sd14", PARAMS, "cpu")
    assert told is not None
    assert told.weights["UNet"] == 4 * 1_042_210_564
    assert told.weights["autoencoder"] == 4 * 83_653_863
    assert told.weights["text encoder"] == 4 * 123_060_480
    half = estimate_memory(
        asked(recipe_of("text-to-video"), "sd14", dtype="bfloat16"), "sd14", PARAMS, "cpu"
    )
    assert half is not None
    assert half.weights["UNet"] == 2 * 1_042_210_564
    assert half.weights["autoencoder"] == 4 * 83_653_863
    assert half.denoising == told.denoising / 2
    assert half.decoding == told.decoding


@pytest.mark.usefixtures("no_weights")
def test_what_more_costs_more_and_what_is_spared_is_spared() -> None:
    recipe = recipe_of("videobooth")

    def total(recipe: Recipe = recipe, device: str = "cuda", **changes: int) -> float:
        told = estimate_memory(recipe, "sd14", replace(PARAMS, **changes), device)
        assert told is not None
        return told.total

    assert total(num_frames=4) < total() < total(batch_size=4) < total(batch_size=4, size=512)
    assert (
        total(device="cpu") - 1.0e9 < total() - 0.3e9
    )  # guidance's branches are one batch on a GPU
    assert total(asked(recipe, "sd14", dtype="float16")) < 0.65 * total()
    offloaded, both = (
        asked(recipe, "sd14", offload=True),
        asked(recipe, "sd14", dtype="bfloat16", offload=True),
    )
    assert total(both) < total(offloaded) < total()
    assert total(offloaded, device="cpu") == total(device="cpu")  # there is nowhere else to wait


def test_the_files_that_are_there_are_what_is_counted(
    sd14_weights_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(sd14_weights_root))
    told = estimate_memory(recipe_of("videobooth"), "sd14", PARAMS, "cpu")
    network = loading.load_videobooth("fine", "base", "image-encoder", "videobooth", "sd14")
    assert told is not None
    assert told.weights["UNet"] == 4 * sum(p.numel() for p in network.base.unet.parameters())
    assert sum(told.weights.values()) < 1e7


def test_models_of_other_kinds_are_not_estimated() -> None:
    assert estimate_memory(recipe_of("still-image"), "mini", PARAMS, "cpu") is None


@pytest.mark.usefixtures("no_weights")
def test_what_does_not_fit_is_told_with_what_helps() -> None:
    recipe, params = recipe_of("videobooth"), replace(PARAMS, batch_size=2)
    told = estimate_memory(recipe, "sd14", params, "cuda")
    assert told is not None
    assert what_helps(told, recipe, "sd14", params, "cuda", free=told.total) == ""
    sentence = what_helps(told, recipe, "sd14", params, "cuda", free=2e9)
    for words in (
        "videobooth will not fit: it needs about",
        "2.0 GB are free on the GPU",
        "--dtype bfloat16",
        "--offload",
        "--batch-size 1",
    ):
        assert words in sentence
    assert "--offload" not in what_helps(told, recipe, "sd14", params, "cpu", free=2e9)
    least = asked(recipe, "sd14", dtype="bfloat16", offload=True)
    few = replace(params, num_frames=1, batch_size=1)
    rest = estimate_memory(least, "sd14", few, "cuda")
    assert rest is not None
    assert "fewer frames need less" in what_helps(rest, least, "sd14", few, "cuda", free=1e9)


def test_the_most_at_once_is_one_part_where_parts_are_offloaded() -> None:
    told = MemoryEstimate(
        {"UNet": 40, "text encoder": 10, "autoencoder": 5}, 7, 60, 3, 1, offload=False
    )
    assert told.total == 55 + 60 + 3 + 1
    assert replace(told, offload=True).total == 5 + 60 + 3 + 1
    assert replace(told, offload=True, decoding=2).total == 40 + 7 + 3 + 1


def test_free_memory_is_what_the_container_has_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = free_memory("cpu")
    assert 1e8 < whole < 1e14
    for name, text in (("max", "3000000000"), ("current", "1000000000")):
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    monkeypatch.setattr(module, "CGROUP", tmp_path)
    assert free_memory("cpu") <= 2e9
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory("cpu") > 1e8


@pytest.mark.gpu
def test_free_memory_of_a_gpu() -> None:
    assert 0 < free_memory("cuda") <= torch.cuda.get_device_properties(0).total_memory
