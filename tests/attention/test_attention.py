"""Every backend that runs here against the plain formula in float64, forward and backward."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor

from vbbench.attention import (
    BACKENDS,
    attention,
    choose_backend,
    dot_product,
    injection_attention,
    load_backend,
    merge,
    reference,
)

HERE = [
    name
    for name in BACKENDS
    if load_backend(name).refusal(torch.zeros(1, dtype=torch.float64), True) is None
    and name != "reference"
]
SHAPES = [
    (1, 1, 9, 4),
    (2, 2, 16, 9),
    (1, 3, 7, 7),
    (2, 5, 13, 1),
    (1, 16, 4, 5),
    (3, 4, 1, 2),
]  # clips, frames, tokens, image tokens
FLOAT32, HALF = 2e-6, 2e-2


def make(
    batch: int,
    frames: int,
    tokens: int,
    image_tokens: int,
    dtype: torch.dtype = torch.float64,
    *,
    heads: int = 3,
    dim: int = 10,
) -> list[Tensor]:
    """Queries, keys, values, and an image prompt's keys and values."""
    generator = torch.Generator().manual_seed(0)
    video = [
        torch.randn(batch, frames, tokens, heads, dim, generator=generator, dtype=torch.float64)
        for _ in range(3)
    ]
    image = [
        torch.randn(batch, image_tokens, heads, dim, generator=generator, dtype=torch.float64)
        for _ in range(2)
    ]
    return [x.to(dtype) for x in video + image]


def by_formula(tensors: list[Tensor]) -> Tensor:
    """The reference in float64."""
    return injection_attention(*(x.double() for x in tensors), backend="reference")


@pytest.fixture(params=["whole", "in groups of frames", "head by head"])
def grouped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The merge works on all frames at once, or on a few at a time, as they lie or head by head."""
    if request.param != "whole":
        monkeypatch.setattr(merge, "WHOLE_BYTES", 0)
        monkeypatch.setattr(merge, "CACHED_BYTES", 2000)
    if request.param == "head by head":
        monkeypatch.setattr(merge, "HEADS_FIRST_TOKENS", 0)


def test_the_backends_that_run_everywhere_are_tested() -> None:
    assert {"released", "plain", "concat", "merge"} <= set(HERE)


@pytest.mark.usefixtures("grouped")
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("injected", [False, True])
def test_it_is_the_formula(backend: str, shape: tuple[int, int, int, int], injected: bool) -> None:
    tensors = make(*shape)[: 5 if injected else 3]
    expected = by_formula(tensors)
    actual = injection_attention(*tensors, backend=backend)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    single = injection_attention(*(x.float() for x in tensors), backend=backend)
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("dim", [8, 40, 80, 160])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_real_head_dimensions(backend: str, dim: int, dtype: torch.dtype) -> None:
    tensors = make(1, 4, 33, 17, dtype, heads=2, dim=dim)
    actual = injection_attention(*tensors, backend=backend)
    assert actual.dtype == dtype
    torch.testing.assert_close(
        actual.double(),
        by_formula(tensors),
        rtol=0,
        atol=FLOAT32 if dtype == torch.float32 else HALF,
    )


@pytest.mark.usefixtures("grouped")
@pytest.mark.parametrize("backend", HERE)
def test_only_the_first_clips_may_have_an_image_prompt(backend: str) -> None:
    q, k, v, k_image, v_image = make(3, 4, 5, 6)
    expected = torch.cat(
        [
            by_formula([q[:2], k[:2], v[:2], k_image[:2], v_image[:2]]),
            by_formula([q[2:], k[2:], v[2:]]),
        ]
    )
    torch.testing.assert_close(
        injection_attention(q, k, v, k_image[:2], v_image[:2], backend=backend),
        expected,
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.usefixtures("grouped")
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("clips", [1, 2])
def test_parts_of_one_product_are_as_good_as_tensors(backend: str, clips: int) -> None:
    """Queries, keys and values of a fused product are not contiguous."""
    whole = torch.cat(make(clips, 5, 9, 4)[:3], dim=-1)
    views = list(whole.chunk(3, dim=-1))
    assert not views[0].is_contiguous()
    image = make(clips, 1, 1, 4)[3:]
    torch.testing.assert_close(
        injection_attention(*views, *image, backend=backend),
        by_formula([*views, *image]),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.usefixtures("grouped")
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("shape", [(2, 1, 6, 5), (2, 2, 6, 5), (2, 4, 6, 5)])
def test_gradients_are_the_formulas(backend: str, shape: tuple[int, int, int, int]) -> None:
    weights = torch.randn(
        *shape[:3], 3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    grads = []
    for name in ("reference", backend):
        tensors = [x.requires_grad_() for x in make(*shape)]
        (injection_attention(*tensors, backend=name) * weights).sum().backward()
        grads.append([torch.zeros_like(x) if x.grad is None else x.grad for x in tensors])
    for expected, actual in zip(*grads, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", HERE)
def test_gradcheck(backend: str) -> None:
    tensors = [x[..., :1, :4].requires_grad_() for x in make(1, 3, 3, 2)]
    assert torch.autograd.gradcheck(lambda *x: injection_attention(*x, backend=backend), tensors)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("trained", [(1, 2), (3, 4), (0,)])
def test_gradients_of_some_inputs_alone(backend: str, trained: tuple[int, ...]) -> None:
    """The fine stage trains keys and values, and its first layer's queries need no gradient."""
    wanted = []
    for name in ("reference", backend):
        tensors = make(2, 3, 4, 5)
        chosen = [tensors[place].requires_grad_() for place in trained]
        wanted.append(
            torch.autograd.grad(injection_attention(*tensors, backend=name).square().sum(), chosen)
        )
    for expected, actual in zip(*wanted, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("grouped")
@pytest.mark.parametrize("backend", HERE)
def test_large_magnitudes(backend: str) -> None:
    """Logits in the thousands: a softmax that is nearly a choice, and the two lists far apart."""
    tensors = make(1, 4, 7, 5, torch.float32)
    tensors[0], tensors[1], tensors[3] = tensors[0] * 60, tensors[1] * 40, tensors[3] * 70
    actual = injection_attention(*tensors, backend=backend)
    assert torch.isfinite(actual).all()
    torch.testing.assert_close(
        actual.double(), by_formula(tensors), rtol=0, atol=2e-3
    )  # the logits themselves are rounded to 1e-4


@pytest.mark.parametrize("backend", HERE)
def test_memory_that_held_something_else(backend: str) -> None:
    """Whatever is allocated and not written shows: memory of that size held NaN a moment ago."""
    tensors = make(1, 6, 64, 32, torch.float32, heads=4, dim=40)
    expected = by_formula(tensors)
    for _ in range(5):
        poison = [torch.full_like(tensors[0], float("nan")) for _ in range(6)]
        poison += [
            torch.full((1, 4, 6 * 64), float("nan")),
            torch.full((24, 64, 128), float("nan")),
        ]
        del poison
        gc.collect()
        torch.testing.assert_close(
            injection_attention(*tensors, backend=backend).double(), expected, rtol=0, atol=FLOAT32
        )


@pytest.mark.parametrize("backend", HERE)
def test_the_same_twice(backend: str) -> None:
    tensors = make(2, 5, 13, 6, torch.float32)
    assert torch.equal(
        injection_attention(*tensors, backend=backend),
        injection_attention(*tensors, backend=backend),
    )


def test_image_prompt_that_no_query_likes_still_updates_frame_zero() -> None:
    q, k, v, k_image, v_image = make(1, 4, 6, 5)
    q = q.abs()
    injected = injection_attention(q, k, v, torch.full_like(k_image, -1e6), v_image)
    # What is left of the update: frame 0's values become what frame 0 reads from itself; its keys
    # stay.
    updated = torch.cat(
        [reference.attention(q[:, 0], k[:, 0], v[:, 0]).unsqueeze(1), v[:, 1:]], dim=1
    )
    torch.testing.assert_close(injected, by_formula([q, k, updated]))
    assert not torch.allclose(injected, injection_attention(q, k, v))


@pytest.mark.parametrize("way", [dot_product.explicit, dot_product.fused, attention])
def test_attention_to_one_list_with_several_leading_axes(way) -> None:
    q, k, v, *_ = make(2, 3, 5, 1)
    expected = torch.stack(
        [
            reference.attention(*frames)
            for frames in zip(q.unbind(1), k.unbind(1), v.unbind(1), strict=True)
        ],
        dim=1,
    )
    torch.testing.assert_close(way(q, k, v), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", [None, *HERE])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q, k, v, ki, vi: (q, k, v, ki), "together"),
        (
            lambda q, k, v, ki, vi: (q, k, v, ki.expand(2, -1, -1, -1), vi.expand(2, -1, -1, -1)),
            "image prompts for 2 clips, and 1 clips",
        ),
        (
            lambda q, k, v, ki, vi: (q, k, v, ki[:, :, :1], vi[:, :, :1]),
            "image prompt of 1 x 4 x 1 x 10 does not fit queries of 1 x 3 x 5 x",
        ),
        (
            lambda q, k, v, ki, vi: (q, k, v, ki, vi[:, :2]),
            "keys of 1 x 4 x 3 x 10 do not fit its values of 1 x 2 x 3 x 10",
        ),
        (
            lambda q, k, v, ki, vi: (q, k, v, ki[:, :0], vi[:, :0]),
            "an image prompt of 1 x 0 x 3 x 10",
        ),
        (
            lambda q, k, v, ki, vi: (q, k[:, :2], v, ki, vi),
            "keys of 1 x 2 x 5 x 3 x 10 do not fit queries",
        ),
        (
            lambda q, k, v, ki, vi: (q, k, v[:, :, :4], ki, vi),
            "values of 1 x 3 x 4 x 3 x 10 do not fit queries",
        ),
        (
            lambda q, k, v, ki, vi: (q[:, :, :0], k[:, :, :0], v[:, :, :0]),
            "none of them 0, not 1 x 3 x 0 x 3 x 10",
        ),
        (lambda q, k, v, ki, vi: (q[:, :0], k[:, :0], v[:, :0]), "none of them 0"),
        (lambda q, k, v, ki, vi: (q[0], k[0], v[0]), "clips x frames x tokens"),
        (
            lambda q, k, v, ki, vi: (q, k, v, ki.float(), vi.float()),
            "of one type and on one device",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_all(
    backend: str | None, change, message: str
) -> None:
    """Kernels would read memory that is not theirs."""
    with pytest.raises(ValueError, match=message):
        injection_attention(*change(*make(1, 3, 5, 4)), backend=backend)


@pytest.mark.parametrize("backend", [None, *HERE])
def test_a_last_axis_that_is_not_contiguous(backend: str | None) -> None:
    strided = [
        x.transpose(-1, -2).contiguous().transpose(-1, -2).requires_grad_()
        for x in make(1, 4, 64, 5, dim=160)
    ]
    plain = [x.detach().contiguous().requires_grad_() for x in strided]
    found, expected = (
        injection_attention(*strided, backend=backend),
        injection_attention(*plain, backend="reference"),
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    gradients = [
        torch.autograd.grad(out.square().sum(), tensors)
        for out, tensors in ((found, strided), (expected, plain))
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("backend", [None, *HERE])
def test_autocast_decides_the_type(backend: str | None) -> None:
    tensors = make(1, 4, 64, 5, torch.float32, dim=160)
    with torch.autocast("cpu", torch.bfloat16):
        out = injection_attention(*tensors, backend=backend)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), by_formula(tensors), rtol=0, atol=5 * HALF)


def test_unknown_backends_and_those_that_cannot_are_refused() -> None:
    q, k, v, *_ = make(1, 2, 3, 2)
    with pytest.raises(ValueError, match="there are reference, released, plain"):
        injection_attention(q, k, v, backend="fastest")
    with pytest.raises(
        ValueError, match="'flex' cannot take these queries: it is compiled for CUDA"
    ):
        injection_attention(q, k, v, backend="flex")


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_loads_and_says_whom_it_refuses(name: str) -> None:
    reason = load_backend(name).refusal(torch.zeros(1, 2, 3, 4, 40))
    assert reason is None if name in (*HERE, "reference") else reason


@pytest.mark.parametrize(
    ("tokens", "dim", "dtype", "needs_grad", "chosen"),
    [
        (1024, 40, torch.float32, False, "merge"),
        (256, 80, torch.float32, False, "merge"),
        (64, 160, torch.float32, False, "merge"),
        (16, 160, torch.float32, False, "concat"),
        (64, 32, torch.float32, False, "concat"),
        (256, 8, torch.float32, False, "concat"),
        (1024, 40, torch.bfloat16, False, "concat"),
        (64, 32, torch.bfloat16, True, "plain"),
        (64, 32, torch.float32, True, "concat"),
        (256, 80, torch.float32, True, "merge"),
    ],
)
def test_the_backend_suits_the_case(
    tokens: int, dim: int, dtype: torch.dtype, needs_grad: bool, chosen: str
) -> None:
    q = torch.zeros(1, 4, tokens, 2, dim, dtype=dtype)
    assert choose_backend(q, needs_grad) == chosen
    outs = [injection_attention(q, q, q, backend=name) for name in (chosen, None)]
    assert torch.equal(*outs)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "reference"])
@pytest.mark.parametrize("dim", [40, 80, 160])
@pytest.mark.parametrize("needs_grad", [False, True])
def test_on_a_gpu(backend: str, dim: int, needs_grad: bool) -> None:
    tensors = make(2, 16, 256, 256, torch.bfloat16, heads=8, dim=dim)
    on_gpu = [x.cuda().requires_grad_(needs_grad) for x in tensors]
    if (reason := load_backend(backend).refusal(on_gpu[0], needs_grad)) is not None:
        pytest.skip(reason)
    actual = injection_attention(*on_gpu, backend=backend)
    torch.testing.assert_close(actual.double().cpu(), by_formula(tensors), rtol=0, atol=HALF)
    if needs_grad:
        exact = [x.double().cuda().requires_grad_() for x in tensors]
        expected = torch.autograd.grad(
            injection_attention(*exact, backend="reference").sum(), exact
        )
        for found, wanted in zip(torch.autograd.grad(actual.sum(), on_gpu), expected, strict=True):
            torch.testing.assert_close(found.double(), wanted, rtol=0.05, atol=0.05)
