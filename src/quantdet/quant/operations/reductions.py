"""Means, sums, extremes and norms over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from quantdet.quant.operations.operands import UnsupportedError, axes_of
from quantdet.quant.primitives import Reduce


def reduction(function: str) -> Callable[[Any, Any], Any]:
    """Return the function of ``ops.mean``, ``sum``, ``max`` or ``min``."""

    def reduce(op: Any, x: Any) -> Any:
        if getattr(op, "initial", None) is not None:
            raise UnsupportedError("has an initial value")
        axis = op.axis
        if isinstance(axis, list | tuple) and list(axis) == [None]:
            axis = None
        return reduced(function, x, axes_of(axis, len(x.shape)), op.keepdims)

    return reduce


def reduced(function: str, x: Any, axes: list[int], keepdims: bool) -> Any:
    """Return the reduction; by Keras' own layer over both axes of a picture."""
    pools = {
        "mean": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    }
    if function in pools and len(x.shape) == 4 and axes == [1, 2]:
        return pools[function](keepdims=keepdims)(x)
    return Reduce(function, axes, keepdims)(x)


def moments(op: Any, x: Any) -> tuple[Any, Any]:
    """Return mean and variance."""
    axes = axes_of(op.axes, len(x.shape))
    return reduced("mean", x, axes, op.keepdims), variance(op, x)


def variance(op: Any, x: Any) -> Any:
    """Return the mean of (x - mean)^2."""
    axes = axes_of(op.axes if hasattr(op, "axes") else op.axis, len(x.shape))
    centred = keras.layers.Subtract()([x, reduced("mean", x, axes, True)])
    return reduced("mean", keras.layers.Multiply()([centred, centred]), axes, op.keepdims)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "numpy.Mean": reduction("mean"),
    "numpy.Average": reduction("mean"),
    "numpy.Sum": reduction("sum"),
    "numpy.Max": reduction("max"),
    "numpy.Amax": reduction("max"),
    "numpy.Min": reduction("min"),
    "numpy.Amin": reduction("min"),
    "numpy.Var": variance,
    "nn.Moments": moments,
}
