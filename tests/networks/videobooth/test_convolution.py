"""The training route of the convolutions against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vbbench.networks.unet.convolution import Conv1x1, Conv3x3


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 1)])
def test_product_and_gradients_equal_the_convolution(
    memory_format: torch.memory_format, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv = Conv3x3(8, 5).double().to(memory_format=memory_format)
    x = (
        torch.randn(2, 8, *size, dtype=torch.float64)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )
    assert conv._few_pixels(x)
    results = []
    for function in (conv, lambda x: F.conv2d(x, conv.weight, conv.bias, padding=1)):
        out = function(x)
        gradients = torch.autograd.grad(out.square().sum(), [x, conv.weight, conv.bias])
        results.append((out, *gradients))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_autocast_gives_half_precision_and_float32_gradients() -> None:
    conv = Conv3x3(8, 5)
    x = torch.randn(2, 8, 4, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert conv.weight.grad.dtype == x.grad.dtype == torch.float32


def test_many_pixels_and_inference_take_the_library() -> None:
    conv = Conv3x3(8, 5)
    assert not conv._few_pixels(torch.zeros(1, 8, 32, 32))
    with torch.no_grad():
        assert not conv._few_pixels(torch.zeros(1, 8, 4, 4))


def test_conv1x1_is_a_convolution() -> None:
    conv = Conv1x1(6, 4)
    x = torch.randn(2, 6, 3, 5)
    torch.testing.assert_close(conv(x), nn.Conv2d.forward(conv, x))
