"""Gradient checkpointing: the same gradients, from fewer kept results."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.models.tiny_sd14 import NETWORK
from vbbench.networks.unet.unet import ImagePromptInput, VideoUNet


def gradients(unet: VideoUNet, recompute: bool) -> tuple[dict[str, Tensor], int]:
    """Of every parameter, and how many numbers were kept for the backward pass."""
    draw, kept = torch.Generator().manual_seed(0), 0

    def keep(x: Tensor) -> Tensor:
        nonlocal kept
        kept += x.numel()
        return x

    unet.recompute_blocks(recompute)
    unet.zero_grad()
    latents, text = (
        torch.randn(2, 4, 3, 8, 8, generator=draw),
        torch.randn(2, 7, 16, generator=draw),
    )
    timesteps = torch.tensor([5, 700])
    image = ImagePromptInput(torch.randn(1, 4, 1, 8, 8, generator=draw), timesteps[:1], text[:1])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = unet(latents, timesteps, text, image_prompt=image).square().mean()
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in unet.named_parameters()
        if parameter.grad is not None
    }, kept


def test_gradients_are_the_same_bits_and_less_is_kept() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        unet = VideoUNet(NETWORK.unet)
        unet.enable_injection()
    (plain, much), (again, little) = gradients(unet, False), gradients(unet, True)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert little < 0.5 * much


def test_without_gradients_nothing_is_computed_twice(monkeypatch) -> None:
    unet = VideoUNet(NETWORK.unet)
    unet.recompute_blocks()
    monkeypatch.setattr("vbbench.networks.unet.transformer.checkpoint", None)
    with torch.no_grad():
        unet(torch.zeros(1, 4, 2, 8, 8), torch.tensor([1]), torch.zeros(1, 3, 16))
