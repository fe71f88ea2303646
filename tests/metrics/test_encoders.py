"""Encoders: how frames are prepared, that one is loaded once, and what damaged weights say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vbbench.errors import InputError, UsageError, WeightsError
from vbbench.metrics import encoders
from vbbench.metrics.configs import ENCODERS, EncoderConfig, encoder_config
from vbbench.metrics.segmenter import DETAIL, FIRST_MARKING, NUM_SEGMENTS, decode
from vbbench.weights_io import load_weights, save_weights

NOISE = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(64, 64), (97, 131), (140, 90), (40, 33)])
def test_preprocessing_is_pillows_resize_then_crop_then_mean_and_std(shape: tuple[int, int]) -> None:
    config = EncoderConfig("clip", "x", "x", 48, 40, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    frame = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    got = encoders.preprocess(frame[None], config)
    short = min(shape)
    height, width = (round(side * 48 / short) for side in shape)
    resized = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - 40) // 2, (width - 40) // 2
    expected = (resized[top : top + 40, left : left + 40] / 255 - np.array(config.mean)) / np.array(config.std)
    assert got.shape == (1, 3, 40, 40)
    np.testing.assert_allclose(got[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_frames_of_the_right_size_are_not_touched() -> None:
    config = encoder_config("clip", "mini")
    assert (encoders.resize_and_crop(NOISE, config) == NOISE).all()


def test_read_only_frames_are_taken_and_left_alone() -> None:
    config = encoder_config("clip", "mini")
    frames = np.broadcast_to(NOISE[0], NOISE.shape)
    torch.testing.assert_close(encoders.preprocess(frames, config)[3], encoders.preprocess(NOISE[:1], config)[0])
    assert not frames.flags.writeable


@pytest.mark.parametrize(("name", "width"), [("clip", 128), ("dino", 128), ("segmenter", NUM_SEGMENTS)])
def test_embeddings_do_not_depend_on_their_neighbours(untrained, name: str, width: int) -> None:
    encoder = encoders.get_encoder(name)
    together = encoder.embed_frames(NOISE)
    apart = torch.cat([encoder.embed_frames(frame[None]) for frame in NOISE])
    assert together.shape == (5, width)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_an_encoder_is_loaded_once(untrained, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    monkeypatch.setattr(encoders, "load_weights", lambda path: loads.append(path) or load_weights(path))
    assert encoders.get_encoder("dino", "mini", "cpu") is encoders.get_encoder("dino", "mini", "cpu")
    assert len(loads) == 1


def test_only_clip_reads_text(untrained) -> None:
    assert encoders.get_encoder("clip").embed_text(["a dog", "a red dog on the beach"]).shape == (2, 128)
    with pytest.raises(InputError, match="'zebra'"):
        encoders.get_encoder("clip").embed_text(["a zebra"])
    with pytest.raises(UsageError, match="reads no text"):
        encoders.get_encoder("dino").embed_text(["a dog"])


def test_wrong_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'clip'"):
        encoders.get_encoder("clipp")
    with pytest.raises(UsageError, match="mini, sd14"):
        encoders.get_encoder("clip", "huge")
    with pytest.raises(UsageError, match="no encoder 'segmenter' at scale sd14"):
        encoders.get_encoder("segmenter", "sd14")


@pytest.mark.parametrize("name", ENCODERS["sd14"])
def test_real_encoders_are_named_but_not_there_yet(name: str) -> None:
    with pytest.raises(WeightsError, match="miniature"):
        encoders.get_encoder(name, "sd14")


def test_weights_that_do_not_fit_are_a_sentence(untrained) -> None:
    tensors, card = load_weights(untrained / "dino.safetensors")
    config = encoder_config("dino", "mini")
    for broken in ({}, {k: v for k, v in tensors.items() if "norm" not in k}, {k: v.flatten()[:1] for k, v in tensors.items()}):
        with pytest.raises(WeightsError, match="do not fit"):
            encoders.from_weights(config, broken, card)
    with pytest.raises(WeightsError, match="do not fit"):
        encoders.from_weights(config, tensors, {})


def test_missing_and_damaged_weights_are_told(tmp_path, untrained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="vbbench train clip"):
        encoders.get_encoder("clip")
    tensors, card = load_weights(untrained / "clip.safetensors")
    path = tmp_path / "mini" / "clip.safetensors"
    save_weights(path, tensors, card)
    path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    with pytest.raises(WeightsError, match="damaged"):
        encoders.get_encoder("clip")


def test_a_marking_of_doubtful_kind_is_still_a_marking() -> None:
    logits = torch.full((1, NUM_SEGMENTS, 1, 3), -9.0)
    logits[0, 1, 0, 0] = 3.0  # surely base
    logits[0, 1, 0, 1] = 1.0  # base is the likeliest of all segments, but the kinds together are likelier
    logits[0, FIRST_MARKING : FIRST_MARKING + 3, 0, 1] = torch.tensor([0.5, 0.7, 0.6])
    logits[0, DETAIL, 0, 2] = 2.0
    assert decode(logits).tolist() == [[[1, FIRST_MARKING + 1, DETAIL]]]
