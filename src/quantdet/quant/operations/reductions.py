"""Means, sums and extremes over axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

from quantdet.quant.operations.operands import UnsupportedError, axes_of, reshape
from quantdet.quant.primitives import Reduce
from quantdet.quant.tensors import Tensor


def reduction(function: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of ``ops.mean``, ``sum``, ``max`` or ``min``."""

    def reduce(op: keras.Operation, x: Tensor) -> Tensor:
        if getattr(op, "initial", None) is not None:
            raise UnsupportedError("has an initial value")
        axis = op.axis
        if isinstance(axis, list | tuple) and list(axis) == [None]:
            axis = None
        return reduced(function, x, axes_of(axis, len(x.shape)), op.keepdims)

    return reduce


def reduced(function: str, x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    """Return the reduction; by Keras' own layer over both axes of a picture."""
    sizes = [x.shape[axis] for axis in axes]
    if all(size == 1 for size in sizes):
        kept = [n for axis, n in enumerate(x.shape) if axis and (keepdims or axis not in axes)]
        return reshape(x, kept)  # The converter would leave the operator out.
    pools = {
        "mean": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    }
    if function in pools and len(x.shape) == 4 and axes == [1, 2]:
        return pools[function](keepdims=keepdims)(x)
    if function == "sum":
        # LiteRT's reference kernel for SUM gives wrong int8 results (2.1): a mean times the count.
        count = math.prod(int(x.shape[axis]) for axis in axes)
        return keras.layers.Rescaling(float(count))(reduced("mean", x, axes, keepdims))
    return Reduce(function, axes, keepdims)(x)


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "numpy.Mean": reduction("mean"),
    "numpy.Average": reduction("mean"),
    "numpy.Sum": reduction("sum"),
    "numpy.Max": reduction("max"),
    "numpy.Amax": reduction("max"),
    "numpy.Min": reduction("min"),
    "numpy.Amin": reduction("min"),
}
