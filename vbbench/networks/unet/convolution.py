"""Convolutions on channels-last tensors, with a faster route for training on a CPU.

At 4 x 4 pixels a 3 x 3 convolution has far more weights than pixels, and the CPU library's backward
pass spends most of its time on reordering them. As one matrix product over gathered neighbourhoods
it takes half of the time or less.

Shape suffixes: B frames, H/W pixels, C channels in, O channels out, P = B * H * W.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv1x1(nn.Conv2d):
    """A linear layer over the channels of every pixel, with a convolution's keys and shapes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        return self.pixels(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def pixels(self, x_C: Tensor) -> Tensor:
        """(..., C) -> (..., O)."""
        return F.linear(x_C, self.weight.flatten(1), self.bias)


class Conv3x3(nn.Conv2d):
    """A 3 x 3 convolution with zero padding that keeps the size."""

    bias: nn.Parameter

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        if not self._few_pixels(x):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        # Cast before the layout changes: a view if the weight is channels last in memory, else a
        # copy of half the bytes.
        weight_O33C = self.weight.to(dtype).permute(0, 2, 3, 1).contiguous()
        return _NeighbourhoodProduct.apply(
            x.permute(0, 2, 3, 1).to(dtype), weight_O33C, self.bias.to(dtype)
        ).permute(0, 3, 1, 2)

    def _few_pixels(self, x: Tensor) -> bool:
        training = torch.is_grad_enabled() and self.weight.requires_grad
        return (
            training
            and x.device.type == "cpu"
            and x.shape[0] * x.shape[2] * x.shape[3] <= 4 * self.in_channels
        )


class _NeighbourhoodProduct(torch.autograd.Function):
    """The convolution and its gradients as matrix products; (B, H, W, C) and (O, 3, 3, C) -> (B, H,
    W, O)."""

    @staticmethod
    def forward(ctx: Any, x_BHWC: Tensor, weight_O33C: Tensor, bias_O: Tensor) -> Tensor:
        patches = _neighbourhoods(x_BHWC)
        ctx.save_for_backward(patches, weight_O33C)
        ctx.shape = x_BHWC.shape
        return F.linear(patches, weight_O33C.flatten(1), bias_O).view(*x_BHWC.shape[:3], -1)

    @staticmethod
    def backward(ctx: Any, grad_BHWO: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        patches, weight_O33C = ctx.saved_tensors
        grad_BHWO = grad_BHWO.contiguous()
        grad_PO = grad_BHWO.flatten(0, 2)
        grad_weight = (grad_PO.t() @ patches).view_as(weight_O33C)
        grad_x = None
        if ctx.needs_input_grad[0]:
            # The gradient of a correlation is the correlation with the mirrored kernel, its
            # channels exchanged.
            mirrored = weight_O33C.flip(1, 2).permute(1, 2, 0, 3).flatten(0, 2)
            grad_x = (_neighbourhoods(grad_BHWO) @ mirrored).view(ctx.shape)
        return grad_x, grad_weight, grad_PO.sum(0)


def _neighbourhoods(x_BHWC: Tensor) -> Tensor:
    """Every pixel's 3 x 3 neighbourhood, zero outside: (B * H * W, 9 * C), rows and columns before
    channels."""
    batch, height, width, channels = x_BHWC.shape
    padded = F.pad(x_BHWC, (0, 0, 1, 1, 1, 1))
    image, row, column, _ = padded.stride()
    windows = padded.as_strided(
        (batch, height, width, 3, 3 * channels), (image, row, column, row, 1)
    )
    return windows.reshape(batch * height * width, 9 * channels)
