"""Parts of a model are on the device one at a time, and nothing that they compute changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.models.tiny import VIDEOBOOTH, seeded
from tests.models.tiny_sd14 import CODEC
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.errors import RecipeError
from vbbench.models.elite.model import Elite
from vbbench.models.latent_video import LatentVideoModel
from vbbench.models.text_to_video import TextToVideo
from vbbench.models.videobooth.model import VideoBooth
from vbbench.networks.placement import Memory, Offload, apply_memory, memory_of, parts_of
from vbbench.networks.sampling.speed import Speed
from vbbench.networks.vae import VaeCodec
from vbbench.types import PromptItem, SamplingParams

PARAMS = SamplingParams(
    num_frames=2, size=64, fps=8, num_inference_steps=2, guidance_scale=4.0, scheduler="ddim"
)
NAMES = {"codec": "codec", "base": "base", "image-encoder": "image-encoder", "elite": "elite"}
MODELS = {
    "text-to-video": (TextToVideo, {}),
    "videobooth": (VideoBooth, {"stage": "fine", "null_text": "None"}),
    "elite": (Elite, {"lambda": 0.6}),
}


@pytest.fixture(autouse=True)
def _sd14(sd14_weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(sd14_weights_root))


def build(name: str, device: str = "cpu", **changes: Any) -> LatentVideoModel:
    cls, own = MODELS[name]
    weights = {
        **NAMES,
        "videobooth": next(name for name, stage in VIDEOBOOTH.items() if stage == "fine"),
    }
    return cls(
        {"scale": "sd14", "weights": weights, **own, **changes}, device=device, folder=Path()
    )


@pytest.mark.parametrize("name", MODELS)
def test_what_is_offloaded_gives_the_same_videos_from_one_part_at_a_time(
    name: str, items: Sequence[PromptItem]
) -> None:
    """The waiting weights are spoiled here, so that whatever is used without having been brought
    shows."""
    plain, model = build(name), build(name)
    parts = parts_of(model.network, model.base, model.codec)
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == sum(
        p.numel() for whole in (model.network, model.codec) for p in whole.parameters()
    )
    good: dict[int, Tensor] = {}
    for part in parts.values():
        for tensor in [*part.parameters(), *part.buffers()]:
            if tensor.is_floating_point():
                spoiled = torch.full_like(tensor.data, float("nan"))
                good[spoiled.data_ptr()] = tensor.data
                tensor.data = spoiled
    brought: list[str] = []
    offload = Offload(parts, lambda tensor: good.get(tensor.data_ptr(), tensor).clone())
    bring = offload.bring
    offload.bring = lambda part: (
        brought.append(part) if offload.here != part else None,
        bring(part),
    )[1]  # type: ignore[method-assign]
    model._offload = offload
    for _ in range(2):  # the second time as the first
        for one, other in zip(
            plain.generate(items[:2], PARAMS), model.generate(items[:2], PARAMS), strict=True
        ):
            np.testing.assert_array_equal(one.frames, other.frames)
        assert offload.here is None
        assert all(tensor.isnan().all() for part in parts.values() for tensor in part.parameters())
    half = brought[: len(brought) // 2]
    assert half == brought[len(brought) // 2 :]
    assert set(half) >= {"text encoder", "UNet", "autoencoder"}
    assert half.count("UNet") == 1  # for the whole loop
    assert half[-2:] == ["UNet", "autoencoder"]


def test_nothing_stays_on_the_device_after_a_failure(
    items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("videobooth", memory={"offload": True})
    assert model._offload is not None

    def fail(*_: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(model.codec.vae.decoder, "forward", fail)
    with pytest.raises(RuntimeError, match="no more"):
        model.generate(items[:1], PARAMS)
    assert model._offload.here is None


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_on_a_gpu_the_largest_part_is_all_that_is_there(
    name: str, items: Sequence[PromptItem]
) -> None:
    plain = build(name, "cuda").generate(items[:2], PARAMS)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    model = build(name, "cuda", memory={"offload": True})
    assert torch.cuda.memory_allocated() == before
    for one, other in zip(plain, model.generate(items[:2], PARAMS), strict=True):
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1
    assert {p.device.type for p in model.network.parameters()} == {"cpu"}


def test_modules_that_are_called_by_themselves_are_brought_too() -> None:
    layer = nn.Sequential(nn.Linear(2, 2))
    offload = Offload({"only": layer}, torch.clone)
    with offload.session():
        layer[0](torch.zeros(1, 2))
        assert offload.here == "only"
    assert offload.here is None


def test_the_autoencoder_decodes_frames_one_by_one_or_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with seeded(0):
        codec = VaeCodec(CODEC).eval()
    latents = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    batches: list[int] = []
    decode = codec.vae.decode
    monkeypatch.setattr(
        codec.vae, "decode", lambda frames: (batches.append(len(frames)), decode(frames))[1]
    )
    with torch.no_grad():
        one_by_one = codec.decode(latents)
        apply_memory(codec, Memory(vae_slicing=False, vae_tiling=True))
        torch.testing.assert_close(codec.decode(latents), one_by_one, atol=1e-5, rtol=1e-4)
    assert batches == [1, 1, 1, 3]
    assert codec.vae.use_tiling


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"offload": 1}, r"\[memory\] offload must be of type bool, not 1"),
        (
            {"tiling": True},
            r"\[memory\] has no setting 'tiling'; there are offload, vae_slicing, vae_tiling",
        ),
        (True, r"\[memory\] has no setting 'memory'"),
    ],
)
def test_wrong_tables_are_told(table: object, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        memory_of({"memory": table})


def test_offloading_excludes_what_holds_on_to_places() -> None:
    assert memory_of({}) == Memory()
    assert memory_of({"memory": {"offload": True}}, Speed()).offload
    with pytest.raises(RecipeError, match="cuda_graph exclude each other"):
        memory_of({"memory": {"offload": True}}, Speed(cuda_graph=True))
