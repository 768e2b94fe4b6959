"""Matrix products, sums of products by Einstein's notation, attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from quantdet.quant.operations.elementwise import add
from quantdet.quant.operations.operands import (
    Floats,
    UnsupportedError,
    axes_of,
    is_tensor,
    numbers,
    reshape,
    tensor,
    transpose,
)
from quantdet.quant.operations.reductions import reduced
from quantdet.quant.primitives import MatMul
from quantdet.quant.tensors import Tensor


def matmul(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return ``a @ b``: a dense layer where b is a constant matrix."""
    if not is_tensor(a):
        a = tensor(a, b)
    if not is_tensor(b):
        kernel = numbers(b)
        if kernel.ndim == 2:
            return dense(a, kernel)
        b = tensor(b, a)
    if len(a.shape) != len(b.shape) or len(a.shape) < 3:
        raise UnsupportedError(
            f"multiplies tensors of {len(a.shape)} and {len(b.shape)} axes; give both the same, "
            "at least 3"
        )
    return MatMul()([a, b])


def dense(x: Tensor, kernel: Floats, bias: Floats | None = None) -> Tensor:
    """Return ``x @ kernel + bias`` over the last axis."""
    layer = keras.layers.Dense(kernel.shape[1], use_bias=bias is not None)
    result = layer(x)
    weights = [kernel] if bias is None else [kernel, bias]
    layer.set_weights([values.astype(np.float32) for values in weights])
    return result


def softmax(op: keras.Operation, x: Tensor, mask: Tensor = None) -> Tensor:
    """Return the softmax over any axis, or over several as if they were one.

    Args:
        op: operation or layer with an ``axis``.
        x: tensor.
        mask: of the layer; not supported.
    """
    if mask is not None:
        raise UnsupportedError("has a mask; add a large negative constant where it is false")
    axes = axes_of(op.axis, len(x.shape))
    if len(axes) == 1:
        return over_last(keras.layers.Softmax(), x, axes[0])
    order = [axis for axis in range(len(x.shape)) if axis not in axes] + axes
    moved = transpose(x, order)
    row = reshape(moved, (*moved.shape[1 : -len(axes)], math.prod(moved.shape[-len(axes) :])))
    back = reshape(keras.layers.Softmax()(row), moved.shape[1:])
    return transpose(back, list(np.argsort(order)))


def over_last(layer: keras.Layer, x: Tensor, axis: int) -> Tensor:
    """Call a layer that works on the last axis on another one."""
    order = list(range(len(x.shape)))
    order[axis], order[-1] = order[-1], order[axis]
    return transpose(layer(transpose(x, order)), order)


def attention(  # noqa: PLR0913, PLR0917 - arguments of keras.ops.dot_product_attention
    op: keras.Operation,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor = None,
    mask: Tensor = None,
    scale: float | None = None,
) -> Tensor:
    """Return softmax(scale * q k^T + bias) v (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

    Tensors are (batch, positions, heads, size).
    """
    if mask is not None or op.is_causal or op.attn_logits_soft_cap:
        raise UnsupportedError("has a mask or a soft cap; only plain attention is supported")
    if query.shape[2] != key.shape[2]:
        raise UnsupportedError("shares keys between heads; repeat them for every head")
    q, k, v = (transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    # Scaled before the product, where a dense layer takes the factor in.
    logits = MatMul(transpose_b=True)([keras.layers.Rescaling(factor)(q), k])
    if bias is not None:
        logits = keras.layers.Add()([logits, tensor(bias, logits)])
    mixed = MatMul()([keras.layers.Softmax()(logits), v])
    return transpose(mixed, (0, 2, 1, 3))


def einsum_dense(layer: keras.Layer, x: Tensor) -> Tensor:
    """Return what an ``EinsumDense`` computes; its bias is that of a dense layer where it fits."""
    if layer.quantization_mode is not None:
        raise UnsupportedError(f"is quantized ({layer.quantization_mode}); give the float model")
    (first, second), result = _parse(layer.equation, (x, layer.kernel))
    labels, kernel = _Labels(first, second, result), numbers(layer.kernel)
    bias = None if layer.bias is None else numbers(layer.bias)
    inside = None if bias is None else _bias_of_columns(bias, kernel, labels)
    y = _einsum_with_constant(x, kernel, labels, inside)
    if bias is not None and inside is None:
        y = add(None, y, bias)
    linear = layer.activation is keras.activations.linear
    return y if linear else keras.layers.Activation(layer.activation)(y)


def _bias_of_columns(bias: Floats, kernel: Floats, labels: _Labels) -> Floats | None:
    """Return one number for each column of the dense layer; None if it varies along others."""
    letters = labels.result[len(labels.result) - bias.ndim :]
    others = tuple(place for place, c in enumerate(letters) if c not in labels.columns)
    if labels.scales or any(bias.shape[place] != 1 for place in others):
        return None
    sizes = dict(zip(labels.second, kernel.shape, strict=True))
    whole = np.broadcast_to(bias.squeeze(others), [sizes[c] for c in labels.columns])
    return whole.reshape(-1)


def einsum(op: keras.Operation, *operands: Tensor, **_: object) -> Tensor:
    """Return ``ops.einsum`` of one or two operands, the first axis being the batch."""
    terms, result = _parse(op.subscripts, operands)
    if len(operands) == 1:
        return _einsum_of_one(operands[0], terms[0], result)
    if len(operands) != 2:
        raise UnsupportedError(f"has {len(operands)} operands; write it with two at a time")
    (a, b), (first, second) = operands, terms
    if not is_tensor(a):
        a, b, first, second = b, a, second, first
    if not is_tensor(a) or first[0] != result[0]:
        raise UnsupportedError("moves the batch axis")
    labels = _Labels(first, second, result)
    if is_tensor(b):
        return _einsum_of_tensors(a, b, labels)
    return _einsum_with_constant(a, numbers(b), labels)


@dataclass(frozen=True)
class _Labels:
    """Axes of a product of two tensors by their letters."""

    first: str
    second: str
    result: str

    def __post_init__(self) -> None:
        lost = [c for c in self.first if c not in self.second and c not in self.result]
        lost += [c for c in self.second if c not in self.first and c not in self.result]
        if lost:
            raise UnsupportedError(f"sums over {lost[0]!r} of only one operand")

    @property
    def shared(self) -> str:
        """In both and in the result: one product for each."""
        return "".join(c for c in self.result if c in self.first and c in self.second)

    @property
    def scales(self) -> bool:
        """Whether the second multiplies places of the first, as no dense layer does."""
        return bool(self.shared) or self.first[0] in self.second

    @property
    def summed(self) -> str:
        """In both, but not in the result."""
        return "".join(c for c in self.first if c in self.second and c not in self.result)

    @property
    def rows(self) -> str:
        """Only in the first."""
        return "".join(c for c in self.result if c not in self.second)

    @property
    def columns(self) -> str:
        """Only in the second."""
        return "".join(c for c in self.result if c not in self.first)


def _parse(subscripts: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    left, _, result = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if "..." in left:
        spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts]
        ranks = [
            len(x.shape) - len(t.replace("...", "")) for t, x in zip(terms, operands, strict=True)
        ]
        letters = "".join(spare[: max(ranks)])
        terms = [
            t.replace("...", letters[-n:] if n else "") for t, n in zip(terms, ranks, strict=True)
        ]
        result = result.replace("...", letters)
    if any(len(set(term)) != len(term) for term in (*terms, result)):
        raise UnsupportedError("takes a diagonal")
    return terms, result


def _einsum_of_one(x: Tensor, term: str, result: str) -> Tensor:
    lost = [place for place, c in enumerate(term) if c not in result]
    if 0 in lost:
        raise UnsupportedError("sums over the batch")
    if lost:
        x = reduced("sum", x, lost, keepdims=False)
    left = "".join(c for c in term if c in result)
    return transpose(x, [left.index(c) for c in result])


def _einsum_with_constant(
    x: Tensor, kernel: Floats, labels: _Labels, bias: Floats | None = None
) -> Tensor:
    if labels.scales:
        return _scaled(x, kernel, labels)
    ordered = transpose(x, [labels.first.index(c) for c in labels.rows + labels.summed])
    sizes = dict(zip(labels.second, kernel.shape, strict=True))
    count = math.prod(sizes[c] for c in labels.summed)
    flat = reshape(ordered, (*ordered.shape[1 : len(labels.rows)], count))
    order = [labels.second.index(c) for c in labels.summed + labels.columns]
    result = dense(flat, kernel.transpose(order).reshape(count, -1), bias)
    result = reshape(result, (*result.shape[1:-1], *(sizes[c] for c in labels.columns)))
    return transpose(result, [(labels.rows + labels.columns).index(c) for c in labels.result])


def _scaled(x: Tensor, factors: Floats, labels: _Labels) -> Tensor:
    """Multiply axis by axis: nothing is summed, nothing is new."""
    if labels.summed or labels.columns:
        raise UnsupportedError("needs another kernel for each position")
    order = [labels.second.index(c) for c in labels.first if c in labels.second]
    shape = [n if c in labels.second else 1 for c, n in zip(labels.first, x.shape, strict=True)]
    spread = factors.transpose(order).reshape(shape)
    scaled = keras.layers.Multiply()([x, tensor(spread, x)])
    return transpose(scaled, [labels.first.index(c) for c in labels.result])


def _einsum_of_tensors(a: Tensor, b: Tensor, labels: _Labels) -> Tensor:
    left = _grouped(a, labels.first, (labels.shared, labels.rows, labels.summed))
    right = _grouped(b, labels.second, (labels.shared, labels.columns, labels.summed))
    product = MatMul(transpose_b=True)([left, right])
    sizes = {**_named(a, labels.first), **_named(b, labels.second)}
    written = labels.shared + labels.rows + labels.columns
    product = reshape(product, [sizes[c] for c in written[1:]])
    return transpose(product, [written.index(c) for c in labels.result])


def _named(x: Tensor, letters: str) -> dict[str, int]:
    return dict(zip(letters, x.shape, strict=True))


def _grouped(x: Tensor, letters: str, groups: Sequence[str]) -> Tensor:
    """Return ``x`` with its axes in order of the groups, the last two groups one axis each."""
    shared, outer, inner = groups
    if not shared or shared[0] != letters[0]:
        raise UnsupportedError("moves the batch axis")
    sizes = _named(x, letters)
    ordered = transpose(x, [letters.index(c) for c in shared + outer + inner])
    flat = (math.prod(sizes[c] for c in group) for group in (outer, inner))
    return reshape(ordered, (*(sizes[c] for c in shared[1:]), *flat))


def sum_of_squares(x: Tensor) -> Tensor:
    """Return the sum of x^2 over the last axis, kept: a product of each row with itself.

    Inside, a matrix product adds integers without rounding; squares rounded to 8 bits one by one
    would lose all small ones.
    """
    rows = reshape(x, (*x.shape[1:-1], 1, x.shape[-1]))
    power = MatMul(transpose_b=True)([rows, rows])
    return reshape(power, (*x.shape[1:-1], 1))


PRODUCTS: dict[str, Callable[..., Tensor]] = {
    "numpy.Matmul": matmul,
    "numpy.Dot": matmul,
    "numpy.Einsum": einsum,
    "nn.Softmax": softmax,
    "nn.DotProductAttention": attention,
}
