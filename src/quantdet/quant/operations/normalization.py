"""Normalizations whose statistics follow from each picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from quantdet.quant.operations.elementwise import add, multiply
from quantdet.quant.operations.operands import UnsupportedError, axes_of, reshape, transpose
from quantdet.quant.operations.reductions import reduced
from quantdet.quant.primitives import MatMul, Unary


def layer_norm(op: Any, x: Any, gamma: Any = None, beta: Any = None) -> Any:
    """Return ``ops.layer_normalization`` over the last axes (Ba et al. 2016, arXiv:1607.06450)."""
    rank = len(x.shape)
    axes = axes_of(op.axis, rank)
    if axes != list(range(rank - len(axes), rank)):
        raise UnsupportedError(f"normalises axes {op.axis}; only the last ones are supported")
    inner = x.shape[axes[0] :]
    flat = reshape(x, (*x.shape[1 : axes[0]], math.prod(inner)))
    centred = flat if getattr(op, "rms_scaling", False) else _centred(flat)
    normal = unit_rms(centred, float(op.epsilon))
    normal = reshape(normal, x.shape[1:])
    if gamma is not None:
        normal = multiply(op, normal, gamma)
    return normal if beta is None else add(op, normal, beta)


def rms_norm(op: Any, x: Any, scale: Any = None) -> Any:
    """Return ``ops.rms_normalization`` (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    op.rms_scaling = True
    return layer_norm(op, x, scale)


def l2_normalize(op: Any, x: Any) -> Any:
    """Return ``ops.normalize``: x / ||x|| over one axis."""
    if op.order != 2 or not isinstance(op.axis, int):
        raise UnsupportedError("knows only the order 2 over one axis")
    axis = op.axis % len(x.shape)
    order = list(range(len(x.shape)))
    order[axis], order[-1] = order[-1], order[axis]
    last = transpose(x, order)
    count = int(last.shape[-1])
    normal = unit_rms(last, float(op.epsilon) ** 2 / count)
    return transpose(keras.layers.Rescaling(1.0 / math.sqrt(count))(normal), order)


def unit_rms(x: Any, epsilon: float) -> Any:
    """Return x / sqrt(mean(x^2) + epsilon) over the last axis."""
    power = _mean_square(x)
    return keras.layers.Multiply()([x, Unary("rsqrt")(add(None, power, epsilon))])


def _centred(x: Any) -> Any:
    return keras.layers.Subtract()([x, reduced("mean", x, [len(x.shape) - 1], True)])


def _mean_square(x: Any) -> Any:
    """Return the mean of x^2 over the last axis, kept: a product of each row with itself.

    Inside, the matrix product adds integers without rounding; squares rounded to 8 bits one by one
    would lose all small ones.
    """
    rows = reshape(x, (*x.shape[1:-1], 1, x.shape[-1]))
    power = MatMul(transpose_b=True)([rows, rows])
    return keras.layers.Rescaling(1.0 / x.shape[-1])(reshape(power, (*x.shape[1:-1], 1)))


NORMALIZATIONS: dict[str, Callable[..., Any]] = {
    "nn.LayerNorm": layer_norm,
    "nn.RMSNorm": rms_norm,
    "nn.Normalize": l2_normalize,
}
