"""``dtype``: what is in it, what is not, and that nothing is read in float32 first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.tiny import VIDEOBOOTH
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.errors import InputError, RecipeError
from vbbench.models.elite.model import Elite
from vbbench.models.latent_video import LatentVideoModel
from vbbench.models.text_to_video import TextToVideo
from vbbench.models.videobooth.model import VideoBooth
from vbbench.networks import loading
from vbbench.networks.precision import dtype_of
from vbbench.types import PromptItem, SamplingParams, Video

PARAMS = SamplingParams(
    num_frames=2,
    size=64,
    fps=8,
    num_inference_steps=3,
    guidance_scale=3.0,
    scheduler="ddim",
    batch_size=2,
)
NAMES = {"codec": "codec", "base": "base", "image-encoder": "image-encoder", "elite": "elite"}
MODELS = {
    "text-to-video": (TextToVideo, {}),
    "videobooth": (VideoBooth, {"stage": "fine", "null_text": "None"}),
    "elite": (Elite, {"lambda": 0.6}),
}
HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.fixture(autouse=True)
def _sd14(sd14_weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(sd14_weights_root))


def build(name: str, **changes: Any) -> LatentVideoModel:
    cls, own = MODELS[name]
    weights = {
        **NAMES,
        "videobooth": next(name for name, stage in VIDEOBOOTH.items() if stage == "fine"),
    }
    return cls({"scale": "sd14", "weights": weights, **own, **changes}, device="cpu", folder=Path())


def off(one: Sequence[Video], other: Sequence[Video]) -> float:
    """Root mean square difference in grey levels."""
    return float(
        np.sqrt(
            np.mean(
                [
                    np.square(a.frames.astype(float) - b.frames)
                    for a, b in zip(one, other, strict=True)
                ]
            )
        )
    )


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", MODELS)
def test_networks_are_in_it_and_latents_and_autoencoder_are_not(
    name: str, dtype: str, items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, plain, seen = build(name, dtype=dtype), build(name), []
    assert {tensor.dtype for tensor in model.network.parameters()} == {HALVES[dtype]}
    assert {tensor.dtype for tensor in model.codec.parameters()} == {torch.float32}
    decode = model.codec.decode
    monkeypatch.setattr(
        model.codec, "decode", lambda latents: (seen.append(latents), decode(latents))[1]
    )
    videos = model.generate(items[:2], PARAMS)
    assert seen[0].dtype == torch.float32
    assert off(videos, model.generate(items[:2], PARAMS)) == 0
    assert 0 < off(videos, plain.generate(items[:2], PARAMS)) < 8
    (alone,) = model.generate(items[1:2], PARAMS)
    assert off([alone], videos[1:]) < 4  # rounding may depend on the batch; the noise does not


@pytest.mark.parametrize("scheduler", ["faithful", "dpmsolver++", "unipc", "euler", "ddpm"])
def test_every_scheduler_computes_in_float32(scheduler: str, items: Sequence[PromptItem]) -> None:
    params = replace(PARAMS, scheduler=scheduler)
    half, plain = build("videobooth", dtype="bfloat16"), build("videobooth")
    assert off(half.generate(items[:1], params), plain.generate(items[:1], params)) < 8


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_weights_are_read_straight_into_it(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is what the network holds, not a copy of it; it is the files' float16, rounded
    once."""
    read: dict[str, dict[str, Tensor]] = {}
    original = loading.load_weights

    def spy(path: Path, **options: Any) -> Any:
        tensors, card = original(path, **options)
        read[path.stem] = dict(tensors)
        return tensors, card

    monkeypatch.setattr(loading, "load_weights", spy)
    model = build("text-to-video", dtype=dtype, speed={"channels_last": False})
    state = model.network.state_dict()
    assert {tensor.dtype for tensor in read["base"].values()} == {getattr(torch, dtype)}
    assert all(state[key].data_ptr() == tensor.data_ptr() for key, tensor in read["base"].items())
    halves, _ = original(Path(loading.paths.weights_path("base", "sd14")), dtype=torch.float16)
    assert all(
        torch.equal(state[key], tensor.to(state[key].dtype)) for key, tensor in halves.items()
    )
    assert state.keys() == halves.keys()


def test_position_numbers_that_are_in_no_file_are_there() -> None:
    lean, drawn = (
        loading.load_image_encoder("image-encoder", "sd14", dtype=dtype)
        for dtype in (torch.float32, None)
    )
    buffers = dict(drawn.named_buffers())
    assert buffers
    for name, buffer in lean.named_buffers():
        assert torch.equal(buffer, buffers[name])


def test_wrong_words_are_told() -> None:
    for word in ("fp16", 16, None):
        with pytest.raises(
            RecipeError,
            match=r"dtype in \[scales.sd14\] must be one of float32, float16, bfloat16, not",
        ):
            dtype_of({"scale": "sd14", "dtype": word})
    assert dtype_of({"scale": "sd14"}) == torch.float32


def test_a_fitted_model_refuses(items: Sequence[PromptItem]) -> None:
    class Fitted(TextToVideo):
        def fit(self) -> None: ...

    for change in ({"dtype": "bfloat16"}, {"memory": {"offload": True}}):
        with pytest.raises(
            RecipeError,
            match="a model that is fitted can be neither offloaded nor of another dtype",
        ):
            Fitted({"scale": "sd14", "weights": NAMES, **change}, device="cpu", folder=Path())


def test_numbers_out_of_range_are_told_with_what_helps(items: Sequence[PromptItem]) -> None:
    model = build("text-to-video", dtype="float16")
    with torch.no_grad():
        model.network.unet.conv_out.bias[0] = float("inf")
    with pytest.raises(
        InputError,
        match=rf"item {items[0].id}: .* after step 1 of 3 .*float16 ends at 65504: try bfloat16",
    ):
        model.generate(items[:1], PARAMS)
