"""Formulas of operations and bytes, against counting one by one."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.utils import flop_counter

from vbbench.profiling import attention_bench, costs
from vbbench.profiling.attention_bench import Work, call, make_inputs, operations
from vbbench.profiling.costs import (
    Shape,
    UncountedError,
    attention_formulas,
    backward_flops,
    count_operations,
    forward_flops,
    least_bytes,
    needed_flops,
    stored_bytes,
)

SHAPES = [
    Shape(4, 8, 2, 1, 4),
    Shape(4, 8, 2, 2, 4),
    Shape(5, 8, 3, 7, 2, batch=2),
    Shape(6, 16, 1, 3, 0),
    Shape(9, 8, 2, 5, 9),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_needed_operations_pair_by_pair(shape: Shape) -> None:
    """Every query against every different key that it reads, two products of D multiplications and
    D additions."""
    pairs = 0
    for _, _, frame in itertools.product(
        range(shape.batch), range(shape.heads), range(shape.frames)
    ):
        keys = {
            (source, token) for source in {0, max(frame - 1, 0)} for token in range(shape.tokens)
        }
        pairs += shape.tokens * len(keys)
    if shape.image_tokens:
        keys = {("image", token) for token in range(shape.image_tokens)} | {
            (0, token) for token in range(shape.tokens)
        }
        pairs += shape.batch * shape.heads * shape.tokens * len(keys)
    assert needed_flops(shape) == pairs * 2 * (2 * shape.head_dim)
    assert needed_flops(shape, grad=True) == 3 * needed_flops(shape)


@pytest.mark.parametrize(
    ("dtype", "grad"), [("float32", False), ("bfloat16", False), ("float32", True)]
)
def test_least_traffic_tensor_by_tensor(dtype: str, grad: bool) -> None:
    work = Work(SHAPES[2], "cpu", dtype, grad)
    inputs = make_inputs(work)
    outputs = call("reference", inputs)
    read = (
        [*inputs.tensors, *inputs.tensors, outputs[0], inputs.grad_output]
        if grad
        else inputs.tensors
    )
    total = sum(x.numel() * x.element_size() for x in (*read, *outputs) if x is not None)
    assert least_bytes(work.shape, work.torch_dtype.itemsize, grad) == total


def test_plain_does_what_is_needed_and_released_more() -> None:
    """Frames 0 and 1 read their keys twice there: two of the seven frames' and the injection's
    pairs, by hand."""
    shape = SHAPES[2]
    work = Work(shape, "cpu", "float32", False)
    plain, released = operations("plain", work), operations("released", work)
    assert plain is not None
    assert released is not None
    assert plain.flops == needed_flops(shape)
    assert released.flops - plain.flops == 4 * shape.batch * shape.width * shape.tokens * (
        2 * shape.tokens
    )


def test_counting_without_doing_is_counting() -> None:
    work = Work(Shape(16, 8, 2, 5, 16), "cpu", "float32", False)
    inputs = make_inputs(work)
    for name in ("released", "plain", "concat", "merge"):
        assert operations(name, work) == count_operations(lambda name=name: call(name, inputs)), (
            name
        )


def test_bytes_operation_by_operation() -> None:
    """A product, a sum in place, and views: 4 bytes an element, by hand."""
    a, b, c = torch.ones(3, 5), torch.ones(5, 7), torch.ones(3, 7)

    def run() -> Tensor:
        d = a @ b  # reads 15 + 35, writes 21
        d += c  # reads 21 + 21, writes 21
        return d.t()[None].expand(4, -1, -1)

    counted = count_operations(run)
    assert counted.bytes == 4 * (15 + 35 + 21 + 21 + 21 + 21)
    assert counted.flops == 2 * 3 * 5 * 7
    assert counted.largest == 4 * (15 + 35 + 21)


def test_an_expanded_tensor_is_stored_once() -> None:
    assert stored_bytes(torch.ones(1, 5).expand(1000, 5)) == 20
    assert stored_bytes(torch.ones(0, 5)) == 0


def test_scores_that_are_stored_show_in_the_traffic() -> None:
    """The released formulation writes and reads its scores, whole, at least four times; the merging
    one never has them."""
    shape = Shape(64, 8, 2, 8, 64)
    scores = 4 * shape.heads * shape.frames * shape.tokens * 2 * shape.tokens
    moved = {
        name: operations(name, Work(shape, "cpu", "float32", False))
        for name in ("released", "merge")
    }
    assert moved["released"] is not None
    assert moved["merge"] is not None
    assert moved["released"].bytes > 4 * scores > scores > moved["merge"].largest


@pytest.mark.parametrize("value_dim", [8, 16])
def test_a_fused_attention_counts_its_two_products(value_dim: int) -> None:
    """As many operations as softmax(q k^T) v in separate products, counted product by product."""
    q, k, v = torch.ones(2, 3, 5, 8), torch.ones(2, 3, 7, 8), torch.ones(2, 3, 7, value_dim)
    separate = count_operations(lambda: torch.softmax(q @ k.transpose(-1, -2), -1) @ v).flops
    assert (
        forward_flops(q.shape, k.shape, v.shape) == separate == 2 * 2 * 3 * 5 * 7 * (8 + value_dim)
    )


def test_inference_mode_counts_as_any_other() -> None:
    """There operators made of others (linear, matmul, attention) reach the counting whole."""
    x_BND, weight_DD = torch.randn(2, 4, 8), torch.randn(8, 8)

    def products() -> None:
        q_BNLD = torch.nn.functional.linear(x_BND, weight_DD)[:, None]
        torch.nn.functional.scaled_dot_product_attention(q_BNLD, q_BNLD, q_BNLD)
        torch.matmul(x_BND, weight_DD)

    with torch.no_grad():
        expected = count_operations(products)
    with torch.inference_mode():
        assert count_operations(products) == expected
    assert expected.flops == 2 * (2 * 2 * 4 * 8 * 8) + 2 * 2 * (2 * 4 * 4 * 8)


def test_a_fused_attentions_gradients_count_its_five_products() -> None:
    """Twice the forward pass's two products, and the scores once more, by the kernel of this
    device."""
    q, k, v = (torch.ones(2, 3, tokens, 8, requires_grad=True) for tokens in (5, 7, 7))

    def run() -> None:
        torch.nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()

    products = 2 * 2 * 3 * 5 * 7 * 8
    assert backward_flops(q.shape, q.shape, k.shape, v.shape) == 5 * products
    assert count_operations(run).flops == (2 + 5) * products


def test_every_fused_kernel_of_pytorch_has_a_formula_of_ours() -> None:
    operators = {
        name.removeprefix("aten::").split(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("aten::")
    }
    fused = {
        name
        for name in operators
        if name.startswith("_scaled_dot_product_") and "attention_math" not in name
    }
    assert "_scaled_dot_product_flash_attention_for_cpu" in fused
    assert fused == {operator.__name__ for operator in attention_formulas()}


def test_a_product_without_a_formula_is_an_error() -> None:
    small = torch.ones(32, 32, dtype=torch.int8)
    with pytest.raises(UncountedError, match=r"aten\._int_mm") as caught:
        count_operations(lambda: torch._int_mm(small, small))
    assert not caught.value.is_foreign


def test_without_its_formula_the_cpus_attention_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever this version of PyTorch knows by itself: its own formula is taken out too."""
    name = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    monkeypatch.setattr(costs, "attention_formulas", dict)
    monkeypatch.delitem(flop_counter.flop_registry, name, raising=False)
    with pytest.raises(UncountedError, match="flash_attention_for_cpu"):
        operations("concat", Work(SHAPES[2], "cpu", "float32", False))


def test_a_kernel_of_another_package_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def foreign(*_: object) -> None:
        raise UncountedError(["xformers.attention_forward"])

    monkeypatch.setattr(attention_bench, "call", foreign)
    assert operations("concat", Work(SHAPES[2], "cpu", "float32", False)) is None


def test_no_product_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_bench, "call", lambda *_: torch.ones(3))
    with pytest.raises(RuntimeError, match="computes products"):
        operations("concat", Work(SHAPES[2], "cpu", "float32", False))
