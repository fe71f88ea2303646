"""Every backend against the plain formula in float64, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vbbench import attention as fast
from vbbench.attention import reference

BACKENDS = sorted(fast.BACKENDS)
SHAPES = [(1, 1, 9, 4), (2, 2, 16, 9), (1, 3, 7, 7), (2, 5, 13, 1), (1, 16, 4, 5)]  # batch, frames, tokens, image tokens


def _inputs(batch: int, frames: int, tokens: int, image_tokens: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    heads, dim = 3, 10
    video = [torch.randn(batch, frames, tokens, heads, dim, generator=generator, dtype=torch.float64) for _ in range(3)]
    image = [torch.randn(batch, image_tokens, heads, dim, generator=generator, dtype=torch.float64) for _ in range(2)]
    return [x.to(dtype) for x in video + image]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("injected", [False, True])
def test_cross_frame_attention_is_the_reference(backend: str, shape: tuple[int, int, int, int], injected: bool) -> None:
    inputs = _inputs(*shape)[: 5 if injected else 3]
    expected = reference.cross_frame_attention(*inputs)
    actual = fast.cross_frame_attention(*inputs, backend=backend)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    single = fast.cross_frame_attention(*(x.float() for x in inputs), backend=backend)
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cross_frame_gradients_are_the_reference(backend: str) -> None:
    grads = []
    for function, options in ((reference.cross_frame_attention, {}), (fast.cross_frame_attention, {"backend": backend})):
        inputs = [x.requires_grad_() for x in _inputs(2, 4, 6, 5)]
        function(*inputs, **options).square().sum().backward()
        grads.append([x.grad for x in inputs])
    for expected, actual in zip(*grads, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradcheck(backend: str) -> None:
    inputs = [x[..., :1, :4].requires_grad_() for x in _inputs(1, 3, 3, 2)]
    assert torch.autograd.gradcheck(lambda *x: fast.cross_frame_attention(*x, backend=backend), inputs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_with_several_leading_axes(backend: str) -> None:
    q, k, v, *_ = _inputs(2, 3, 5, 1)
    expected = torch.stack([reference.attention(*frames) for frames in zip(q.unbind(1), k.unbind(1), v.unbind(1), strict=True)], dim=1)
    torch.testing.assert_close(fast.attention(q, k, v, backend=backend), expected, rtol=0, atol=1e-12)


def test_image_prompt_that_no_query_likes_still_updates_frame_zero() -> None:
    q, k, v, k_image, v_image = _inputs(1, 4, 6, 5)
    q = q.abs()
    injected = fast.cross_frame_attention(q, k, v, torch.full_like(k_image, -1e6), v_image)
    # What is left of the update: frame 0's values become what frame 0 reads from itself; its keys stay.
    updated = torch.cat([reference.attention(q[:, 0], k[:, 0], v[:, 0]).unsqueeze(1), v[:, 1:]], dim=1)
    torch.testing.assert_close(injected, reference.cross_frame_attention(q, k, updated))
    assert not torch.allclose(injected, fast.cross_frame_attention(q, k, v))


def test_wrong_arguments_are_refused() -> None:
    q, k, v, k_image, _ = _inputs(1, 2, 3, 2)
    with pytest.raises(ValueError, match="together"):
        fast.cross_frame_attention(q, k, v, k_image)
    with pytest.raises(ValueError, match="there are plain, sdpa"):
        fast.attention(q, k, v, backend="fastest")


def test_backend_suits_training_and_sampling() -> None:
    q = torch.zeros(1, 2, 1, 4)
    assert fast.choose_backend(q) == "sdpa"
    assert fast.choose_backend(q.requires_grad_()) == "plain"
