"""The yardstick of a step: against tensors recorded from the released code, and against what is
known of its operations."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.parity.golden import Golden, Released, read_golden
from vbbench.networks.unet.blocks import FrameGroupNorm, ResnetBlock
from vbbench.networks.unet.convolution import Conv1x1, Conv3x3
from vbbench.networks.unet.text_attention import TextAttention
from vbbench.networks.unet.transformer import CrossFrameAttention, TemporalAttention, Transformer
from vbbench.networks.unet.unet import ImagePromptInput, UNetConfig, VideoUNet
from vbbench.profiling.costs import count_operations
from vbbench.profiling.released import (
    LADDER,
    Removals,
    StepInputs,
    Text,
    Way,
    all_removals,
    guided_step,
    keep_text,
    ladder,
    predict,
)
from vbbench.profiling.step_cases import SD14, Case, build_inputs, build_network
from vbbench.profiling.step_facts import flops_of, largest_difference

GOLDEN = Path(__file__).parents[1] / "files" / "golden"
WAYS = {
    "released": Removals(),
    **{name: Removals(**{name: True}) for name in LADDER},
    "all": all_removals(),
}
REAL = Case("sd14", SD14, latent=32)
TINY = Case("small", UNetConfig(
    block_out_channels=(8, 16), layers_per_block=1, attention_levels=(True, True), num_heads=2, cross_attention_dim=12,
    norm_num_groups=4, watermark_widths=(8, 16), injection=True,
), latent=8, frames=4)  # fmt: skip
LITTLE = replace(
    TINY,
    config=replace(
        TINY.config, block_out_channels=(8,), attention_levels=(True,), watermark_widths=(8,)
    ),
)
"""One level, for counts that take long."""


@pytest.fixture(scope="module")
def released() -> Released:
    return Released(GOLDEN)


@pytest.fixture(scope="module")
def tiny() -> tuple[VideoUNet, StepInputs]:
    return build_network(TINY, "cpu", torch.float32), build_inputs(TINY, "cpu", torch.float32)


def _kept(unet: VideoUNet, states: Tensor) -> dict[TextAttention, tuple[Tensor, Tensor]]:
    with torch.no_grad():
        return {layer: (layer.to_k(states), layer.to_v(states)) for layer in unet.text_attentions()}


def _prompt(golden: Golden) -> tuple[ImagePromptInput | None, Text | None]:
    latent, states = (
        golden.get("in.exemplar_latent"),
        golden.get("in.exemplar_encoder_hidden_states"),
    )
    image = None if latent is None else ImagePromptInput(latent, golden["in.exemplar_timestep"])
    return image, None if states is None else Text(states)


@pytest.mark.parametrize("removals", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "case", ["unet_exemplar_oddsize", "unet_exemplar_oneframe", "unet_no_exemplar"]
)
def test_outputs_of_the_released_network(released: Released, case: str, removals: Removals) -> None:
    golden, unet = read_golden(GOLDEN / f"{case}.safetensors"), released.unet("fine")
    image, image_text = _prompt(golden)
    text = Text(golden["in.encoder_hidden_states"], _kept(unet, golden["in.encoder_hidden_states"]))
    found = predict(
        unet, golden["in.sample"], golden["in.timestep"], text, image, image_text, Way(removals)
    )
    torch.testing.assert_close(found, golden["out.sample"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("removals", WAYS.values(), ids=WAYS)
def test_guided_prediction_of_the_released_network(released: Released, removals: Removals) -> None:
    golden, unet = read_golden(GOLDEN / "cfg_with_exemplar.safetensors"), released.unet("fine")
    image = ImagePromptInput(
        golden["in.exemplar_latent"][:1],
        golden["in.exemplar_timestep"][:1],
        golden["in.exemplar_encoder_hidden_states"][:1],
    )
    text, scale = golden["in.encoder_hidden_states"], float(golden["in.cfg_scale"])
    inputs = StepInputs(
        golden["in.x"][:1],
        golden["in.t"][:1],
        text[:1],
        text[1:],
        image,
        scale,
        guidance_channels=3,
    )
    found = guided_step(unet, inputs, Way(removals), kept=keep_text(unet, inputs))
    torch.testing.assert_close(found, golden["out.sample"][:1], rtol=0, atol=3e-4)


@torch.no_grad()
def test_the_networks_own_forward_gives_the_same(tiny: tuple[VideoUNet, StepInputs]) -> None:
    unet, inputs = tiny
    cond = unet(
        inputs.sample_BCTHW,
        inputs.timestep_B,
        inputs.text_BSD,
        image_prompt=replace(inputs.image, text_BLD=inputs.null_text_BSD),
    )
    uncond = unet(inputs.sample_BCTHW, inputs.timestep_B, inputs.null_text_BSD)
    own = uncond + inputs.guidance_scale * (cond - uncond)
    for _, removals in ladder():
        found = guided_step(unet, inputs, Way(removals), kept=keep_text(unet, inputs))
        assert largest_difference(found, own) < 5e-5  # guidance multiplies the rounding
    other = replace(
        inputs, image=replace(inputs.image, latent_BCTHW=inputs.image.latent_BCTHW.flip(2))
    )
    assert largest_difference(guided_step(unet, other), own) > 1e-3


def test_operations_of_the_real_size() -> None:
    """PERFORMANCE.md: 13.44 TFLOP, 11 % of them thrown away; 1.16 x fewer are needed, and 1.58 x
    fewer with the image prompt kept."""
    total, by_kind = flops_of(REAL, Removals())
    needed, _ = flops_of(REAL, all_removals())
    without_dead, _ = flops_of(REAL, Removals(dead_blocks=True))
    assert total / 1e12 == pytest.approx(13.44, abs=0.005)
    assert 1 - without_dead / total == pytest.approx(0.11, abs=0.005)
    assert total / needed == pytest.approx(1.16, abs=0.005)
    assert sum(by_kind.values()) == pytest.approx(total)
    # One evaluation is 4.31 TFLOP, of which watermark removal is 26 %: a step runs it in both
    # evaluations, not for the image prompt.
    assert by_kind["watermark removal"] / 2 / 4.31e12 == pytest.approx(0.26, abs=0.005)


def test_each_removal_does_less() -> None:
    """By count of operations, or of bytes moved where it is copies that go."""
    before, removed = Removals(), []
    for name, removals in ladder():
        fewer = flops_of(LITTLE, removals)[0] < flops_of(LITTLE, before)[0]
        assert fewer or flops_of(LITTLE, removals)[0] == flops_of(LITTLE, before)[0]
        removed += [name] if fewer else []
        before = removals
    assert removed == [
        "dead_blocks",
        "unread_image_keys",
        "unread_image_layers",
        "doubled_keys",
        "text_repeats",
        "text_every_step",
    ]


def test_removed_copies_are_gone() -> None:
    unet, inputs = (
        build_network(LITTLE, "cpu", torch.float32),
        build_inputs(LITTLE, "cpu", torch.float32),
    )
    kept, rungs = keep_text(unet, inputs), dict(ladder("concat"))
    for before, name in zip(rungs, list(rungs)[1:], strict=False):
        if name in ("cross_frame_copies", "text_scores", "temporal_copies", "planar_layout"):
            ways = Way(rungs[before]), Way(rungs[name])
            more, less = (
                count_operations(lambda way=way: guided_step(unet, inputs, way, kept=kept)).bytes
                for way in ways
            )
            assert less < more, name


class _Seen(TorchDispatchMode):
    """Counts softmaxes over stored scores and convolutions with one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name == "_softmax":
            self.found["softmax"] += 1
        if name == "convolution" and args[1].shape[-1] == 1:
            self.found["1 x 1"] += 1
        return func(*args, **(kwargs or {}))


def test_which_softmaxes_and_convolutions_run(tiny: tuple[VideoUNet, StepInputs]) -> None:
    unet, inputs = tiny

    def seen(removals: Removals) -> Counter:
        with _Seen() as mode:
            guided_step(unet, inputs, Way(removals))
        return mode.found

    layers = len(list(unet.cross_frame_attentions()))
    shortcuts = Counter(
        name.startswith("watermark")
        for name, module in unet.named_modules()
        if name.endswith("conv_shortcut") and module is not None
    )
    # Two evaluations of three attentions; the image prompt's block twice; and frame 0's values once
    # a layer.
    assert seen(Removals())["softmax"] == layers * (2 * 3 + 2 * 3 + 1)
    assert seen(Removals(dead_blocks=True))["softmax"] == layers * (2 * 3 + 3 + 1)
    assert seen(Removals(unread_image_layers=True))["softmax"] == layers * 13 - 3
    # Into and out of a transformer in two evaluations; into it twice for the image prompt, and out
    # of it once.
    expected = layers * (2 * 2 + 2 + 1) + 3 * shortcuts[False] + 2 * (shortcuts[True] + 1)
    assert seen(Removals())["1 x 1"] == expected
    assert seen(Removals(pixel_convolutions=True))["1 x 1"] == 0


def test_scopes_tell_layers_apart(tiny: tuple[VideoUNet, StepInputs]) -> None:
    unet, inputs = tiny
    opened: Counter[str] = Counter()

    @contextmanager
    def scope(kind: str):
        opened[kind] += 1
        yield

    guided_step(unet, inputs, Way(Removals(dead_blocks=True, unread_image_layers=True), scope))
    layers = len(list(unet.cross_frame_attentions()))
    assert (
        opened["cross-frame attention"]
        == opened["feed-forward"]
        == opened["temporal attention"]
        == 3 * layers - 1
    )
    assert opened["watermark removal"] == 2


def test_nothing_the_networks_own_layers_do_faster_gets_in(
    tiny: tuple[VideoUNet, StepInputs],
) -> None:
    unet, inputs = tiny
    forbidden = (
        CrossFrameAttention,
        TextAttention,
        TemporalAttention,
        ResnetBlock,
        Transformer,
        FrameGroupNorm,
        Conv1x1,
        Conv3x3,
    )
    ran: list[str] = []

    def note(module: nn.Module, args: Any) -> None:
        ran.append(type(module).__name__)

    hooks = [
        module.register_forward_pre_hook(note)
        for module in unet.modules()
        if isinstance(module, forbidden)
    ]
    guided_step(unet, inputs)
    for hook in hooks:
        hook.remove()
    assert not ran


def test_networks_the_released_code_does_not_know_are_refused() -> None:
    config = replace(TINY.config, frame_codes=4)
    unet, inputs = VideoUNet(config).eval(), build_inputs(TINY, "cpu", torch.float32)
    with pytest.raises(ValueError, match="knows no codes"):
        guided_step(unet, inputs)
    bare = VideoUNet(replace(TINY.config, injection=False)).eval()
    with pytest.raises(RuntimeError, match="injection projections"):
        guided_step(bare, inputs)
