"""Latents of training data: encoded once, and the same numbers ever after."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models import tiny
from vbbench.data.world.pictures import TrainingData
from vbbench.networks.codec import PatchCodec, to_unit
from vbbench.training.latents import Latents


@pytest.fixture
def copied(data: TrainingData, tmp_path: Path) -> TrainingData:
    """The data in a folder of its own, in which nothing is encoded."""
    folder = shutil.copytree(
        data.folder, tmp_path / "data", ignore=shutil.ignore_patterns("latents-*")
    )
    return TrainingData(folder, data.variant)


@pytest.mark.parametrize("kind", ["stills", "clips", "prompts"])
def test_latents_are_those_of_the_pictures(copied: TrainingData, kind: str) -> None:
    codec = tiny.make_codec()
    stored = Latents(copied.val, codec, "cpu")(kind)
    frames = getattr(copied.val, kind).frames
    pixels = to_unit(torch.tensor(frames.reshape(-1, 1, *frames.shape[-3:])))
    expected = codec.encode(pixels)[:, :, 0].reshape(stored.shape)
    assert stored.dtype == np.float16
    torch.testing.assert_close(torch.tensor(stored).float(), expected, atol=1e-3, rtol=1e-3)


def test_they_are_computed_once_for_each_codec(
    copied: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = tiny.make_codec()
    first = np.array(Latents(copied.val, codec, "cpu")("stills"))
    monkeypatch.setattr(codec, "encode", None)
    assert np.array_equal(Latents(copied.val, codec, "cpu")("stills"), first)
    other = PatchCodec(tiny.PATCH, tiny.COMPONENTS)
    other.load_state_dict(codec.state_dict())
    other.scale *= 2
    assert np.allclose(
        Latents(copied.val, other, "cpu")("stills"), 2 * first.astype(np.float32), atol=1e-2
    )
