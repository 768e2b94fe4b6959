"""Normalizations whose statistics follow from each picture.

In integers, each row is first scaled by its largest magnitude a:

    r = 1 / (a + delta),  y = r x,  d = y - mean(y),  x_norm = d / sqrt(mean(d^2) + epsilon r^2)

which is (x - mean(x)) / sqrt(var(x) + epsilon) for any r. So that every row fills the range of 8
bits; the variances of rows spread over a factor of hundreds, and most would round to 0
(docs/log.md, 2026-11-26). Sums of squares are products of a row with itself: a matrix product adds
integers without rounding them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np

from quantdet.quant.operations.elementwise import multiply, plus
from quantdet.quant.operations.operands import (
    UnsupportedError,
    axes_of,
    numbers,
    reshape,
    transpose,
)
from quantdet.quant.operations.products import sum_of_squares
from quantdet.quant.operations.reductions import reduced
from quantdet.quant.primitives import Unary
from quantdet.quant.tensors import Tensor

# Rows whose largest magnitude is below this are as good as 0.
_SMALLEST_ROW = 1e-3
# Share of the squared row that stands in for an epsilon too small to matter.
_NEGLIGIBLE = 1e-6


def layer_norm(op: keras.Operation, x: Tensor, gamma: Tensor = None, beta: Tensor = None) -> Tensor:
    """Return ``ops.layer_normalization`` over the last axes (Ba et al. 2016, arXiv:1607.06450)."""
    rank = len(x.shape)
    axes = axes_of(op.axis, rank)
    if axes != list(range(rank - len(axes), rank)):
        raise UnsupportedError(f"normalises axes {op.axis}; only the last ones are supported")
    rows = reshape(x, (*x.shape[1 : axes[0]], math.prod(x.shape[axes[0] :])))
    unit = normalized(rows, _epsilon(op), centre=not op.rms_scaling)
    normal = _times_root(reshape(unit, x.shape[1:]), rows.shape[-1])
    if gamma is not None:
        normal = multiply(op, normal, gamma)
    return normal if beta is None else plus(normal, beta)


def rms_norm(op: keras.Operation, x: Tensor, scale: Tensor = None) -> Tensor:
    """Return ``ops.rms_normalization`` (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    axis = op.axis if isinstance(op.axis, int) else op.axis[0]
    if axis % len(x.shape) != len(x.shape) - 1:
        raise UnsupportedError(f"normalises axis {op.axis}; only the last one is supported")
    normal = _times_root(normalized(x, _epsilon(op), centre=False), x.shape[-1])
    return normal if scale is None else multiply(op, normal, scale)


def group_norm(layer: keras.Layer, x: Tensor) -> Tensor:
    """Return ``keras.layers.GroupNormalization`` (Wu and He 2018, arXiv:1803.08494)."""
    channels = int(x.shape[-1])
    if layer.axis % len(x.shape) != len(x.shape) - 1 or None in x.shape[1:]:
        raise UnsupportedError("needs channels_last and a fixed input size")
    groups = channels if layer.groups == -1 else layer.groups
    positions, size = math.prod(x.shape[1:-1]), channels // groups
    parts = transpose(reshape(x, (positions, groups, size)), (0, 2, 1, 3))
    rows = normalized(reshape(parts, (groups, positions * size)), float(layer.epsilon))
    parts = transpose(reshape(rows, (groups, positions, size)), (0, 2, 1, 3))
    normal = _times_root(reshape(parts, x.shape[1:]), positions * size)
    if layer.scale:
        normal = multiply(layer, normal, layer.gamma)
    return plus(normal, layer.beta) if layer.center else normal


def normalization(layer: keras.Layer, x: Tensor) -> Tensor:
    """Return ``keras.layers.Normalization``, by any axes, or its inverse."""
    mean = numbers(layer.mean)
    deviation = np.maximum(np.sqrt(numbers(layer.variance)), keras.config.epsilon())
    if layer.invert:
        return plus(multiply(layer, x, deviation), mean)
    return multiply(layer, plus(x, -mean), 1.0 / deviation)


def l2_normalize(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.normalize``: x / ||x|| over one axis."""
    if op.order != 2 or not isinstance(op.axis, int):
        raise UnsupportedError("knows only the order 2 over one axis")
    axis = op.axis % len(x.shape)
    order = list(range(len(x.shape)))
    order[axis], order[-1] = order[-1], order[axis]
    last = transpose(x, order)
    epsilon = _epsilon(op) ** 2 / int(last.shape[-1])
    return transpose(normalized(last, epsilon, centre=False), order)


def _epsilon(op: keras.Operation) -> float:
    return keras.config.epsilon() if op.epsilon is None else float(op.epsilon)


def normalized(x: Tensor, epsilon: float, *, centre: bool = True) -> Tensor:
    """Return (x - mean) / sqrt(n var + n epsilon) over the n values of the last axis.

    The root of n is left to the caller, who often multiplies by more: rows have the norm 1.

    Args:
        x: any shape, at least 2 axes.
        epsilon: added to the variance.
        centre: subtract the mean; otherwise x / sqrt(n mean(x^2) + n epsilon).
    """
    count, last = int(x.shape[-1]), len(x.shape) - 1
    delta = max(math.sqrt(epsilon), _SMALLEST_ROW)
    largest = reduced("max", Unary("abs")(x), [last], True)
    root = Unary("rsqrt")(keras.layers.Rescaling(1.0, offset=delta)(largest))
    inverse = keras.layers.Multiply()([root, root])
    y = keras.layers.Multiply()([x, inverse])
    if centre:
        y = keras.layers.Subtract()([y, reduced("mean", y, [last], True)])
    power = sum_of_squares(y)
    if epsilon / delta**2 > _NEGLIGIBLE:
        squared = keras.layers.Multiply()([inverse, inverse])
        added = keras.layers.Rescaling(count * epsilon)(squared)
        power = keras.layers.Add()([power, added])
    else:
        power = keras.layers.Rescaling(1.0, offset=count * _NEGLIGIBLE)(power)
    return keras.layers.Multiply()([y, Unary("rsqrt")(power)])


def _times_root(x: Tensor, count: int) -> Tensor:
    return keras.layers.Rescaling(math.sqrt(count))(x)


def moments(op: keras.Operation, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance."""
    axes = axes_of(op.axes, len(x.shape))
    return reduced("mean", x, axes, op.keepdims), _variance(x, axes, op.keepdims)


def variance(op: keras.Operation, x: Tensor) -> Tensor:
    """Return the mean of (x - mean)^2."""
    return _variance(x, axes_of(op.axis, len(x.shape)), op.keepdims)


def _variance(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    centred = keras.layers.Subtract()([x, reduced("mean", x, axes, True)])
    count = math.prod(int(x.shape[axis]) for axis in axes)
    return keras.layers.Rescaling(1.0 / count)(_squares_over(centred, axes, keepdims))


def _squares_over(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """Return the sum of x^2 over axes."""
    rank = len(x.shape)
    kept = [axis for axis in range(rank) if axis not in axes]
    count = math.prod(int(x.shape[axis]) for axis in axes)
    rows = reshape(transpose(x, [*kept, *axes]), [x.shape[a] for a in kept[1:]] + [count])
    if len(rows.shape) < 3:
        rows = reshape(rows, (1, count))
    total = sum_of_squares(rows)
    if keepdims:
        return reshape(total, [1 if axis in axes else x.shape[axis] for axis in range(1, rank)])
    return reshape(total, [x.shape[axis] for axis in kept[1:]])


def deviation(op: keras.Operation, x: Tensor) -> Tensor:
    """Return the root of the variance."""
    return Unary("sqrt")(variance(op, x))


def norm(op: keras.Operation, x: Tensor) -> Tensor:
    """Return the root of the sum of squares."""
    axes = axes_of(op.axis, len(x.shape))
    if op.ord is not None and (op.ord != 2 or len(axes) > 1):
        raise UnsupportedError(
            f"has ord={op.ord!r} over {len(axes)} axes; only the 2-norm is known"
        )
    return Unary("sqrt")(_squares_over(x, axes, op.keepdims))


def log_softmax(op: keras.Operation, x: Tensor) -> Tensor:
    """Return x - log(sum(exp(x)))."""
    axes = axes_of(op.axis, len(x.shape))
    top = reduced("max", x, axes, True)
    below = keras.layers.Subtract()([x, top])
    return keras.layers.Subtract()([below, _log_of_sum(below, axes)])


def log_sum_exp(op: keras.Operation, x: Tensor) -> Tensor:
    """Return log(sum(exp(x))), the largest x taken out so that exp cannot overflow."""
    axes = axes_of(op.axis, len(x.shape))
    top = reduced("max", x, axes, True)
    total = keras.layers.Add()([_log_of_sum(keras.layers.Subtract()([x, top]), axes), top])
    sizes = [n for axis, n in enumerate(x.shape) if axis and axis not in axes]
    return total if op.keepdims else reshape(total, sizes)


def _log_of_sum(x: Tensor, axes: list[int]) -> Tensor:
    return Unary("log")(reduced("sum", Unary("exp")(x), axes, True))


NORMALIZATIONS: dict[str, Callable[..., Tensor]] = {
    "nn.LayerNorm": layer_norm,
    "nn.RMSNorm": rms_norm,
    "nn.Normalize": l2_normalize,
    "nn.Moments": moments,
    "numpy.Var": variance,
    "numpy.Std": deviation,
    "linalg.Norm": norm,
    "nn.LogSoftmax": log_softmax,
    "math.Logsumexp": log_sum_exp,
}
