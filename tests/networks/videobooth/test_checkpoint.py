"""Key names at the real size, conversion both ways, and what is said of weights that do not fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.parity.golden import Released, read_golden
from vbbench.errors import WeightsError
from vbbench.networks import checkpoint
from vbbench.networks.unet.coarse import Mapper
from vbbench.networks.unet.unet import UNetConfig, VideoUNet


def _meta_state(path: Path) -> dict[str, torch.Tensor]:
    rows = (line.split() for line in path.read_text().splitlines())
    return {
        key: torch.empty([int(size) for size in shape.split("x")], device="meta")
        for key, shape in rows
    }


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def test_real_size_has_the_released_keys_and_shapes(golden: Path) -> None:
    unet_state, mapper_state = (
        _meta_state(golden / "unet_keys.txt"),
        _meta_state(golden / "mapper_keys.txt"),
    )
    with torch.device("meta"):
        unet, mapper = VideoUNet(UNetConfig()), Mapper()
    assert _shapes(unet.state_dict()) == _shapes(unet_state)
    assert sum(p.numel() for p in unet.parameters()) == 1_042_210_564
    assert _shapes(mapper.state_dict()) == _shapes(checkpoint.mapper_from_released(mapper_state))
    assert _shapes(checkpoint.unet_from_released(unet_state, mapper_state, "coarse")) == _shapes(
        unet_state
    )
    unet.enable_injection()
    assert _shapes(checkpoint.unet_from_released(unet_state, mapper_state, "fine")) == _shapes(
        unet.state_dict()
    )
    back = checkpoint.to_released(unet.state_dict(), mapper.state_dict())
    assert [_shapes(state) for state in back] == [_shapes(unet_state), _shapes(mapper_state)]


def test_stable_diffusion_part_of_the_keys(golden: Path) -> None:
    state = _meta_state(golden / "unet_keys.txt")
    part = {
        key: value
        for key, value in state.items()
        if not any(x in key for x in ("attn_temp", "norm_temp", "watermark"))
    }
    assert len(part) == 686
    assert sum(value.numel() for value in part.values()) == 859_520_964


def test_conversion_goes_both_ways(golden: Path) -> None:
    unet_file, mapper_file = (
        read_golden(golden / f"weights_A_{name}.safetensors").tensors for name in ("unet", "mapper")
    )
    ours = checkpoint.unet_from_released(unet_file, mapper_file, "fine")
    unet, mapper = checkpoint.to_released(ours, checkpoint.mapper_from_released(mapper_file))
    assert _shapes(unet) == _shapes(unet_file)
    assert mapper.keys() == mapper_file.keys()
    assert all(torch.equal(mapper[key], mapper_file[key]) for key in mapper)
    again = checkpoint.unet_from_released(unet, mapper, "fine")
    assert all(torch.equal(again[key], ours[key]) for key in ours)


def test_every_fault_is_named(released: Released) -> None:
    unet = released.unet("text")
    state = dict(unet.state_dict())
    del state["conv_in.bias"]
    state["conv_out.weight"] = state["conv_out.weight"][:2]
    state["nothing.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        checkpoint.load_strictly(unet, state, source="a test")
    for part in (
        "a test",
        "1 missing: conv_in.bias",
        "1 unexpected: nothing.weight",
        "1 misshapen: conv_out.weight (2, 8, 3, 3) for (4,",
    ):
        assert part in str(caught.value)


def test_mapper_without_a_projection_is_named(golden: Path) -> None:
    unet, mapper = (
        read_golden(golden / f"weights_A_{name}.safetensors").tensors for name in ("unet", "mapper")
    )
    key = "mid_block_attentions_0_transformer_blocks_0_attn1_to_v_exemplar.weight"
    with pytest.raises(WeightsError, match=re.escape(key)):
        checkpoint.unet_from_released(unet, {k: v for k, v in mapper.items() if k != key}, "fine")


@torch.no_grad()
def test_stable_diffusion_start_is_an_image_model_on_every_frame(released: Released) -> None:
    full = released.unet("fine").state_dict()
    image_part = {
        k: v
        for k, v in full.items()
        if not any(x in k for x in ("attn_temp", "norm_temp", "watermark", "_image"))
    }
    unet = VideoUNet(released.unet("fine").config).eval()
    checkpoint.load_stable_diffusion(unet, image_part)
    for attention in unet.cross_frame_attentions():
        assert torch.equal(attention.to_k_image.weight, attention.to_k.weight)
    frame = torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    text = torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(1))
    still = unet(frame, torch.tensor([10]), text)
    video = unet(frame.expand(-1, -1, 3, -1, -1), torch.tensor([10]), text)
    torch.testing.assert_close(video, still.expand_as(video), rtol=0, atol=1e-4)
    del image_part["conv_in.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: conv_in\.weight"):
        checkpoint.load_stable_diffusion(unet, image_part)
