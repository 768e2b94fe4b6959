"""Bare operations of a functional model (``x + 3.0``, ``a * b``, ``ops.relu6(x)``) as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

_JOINING: dict[str, Any] = {
    "Add": keras.layers.Add,
    "Subtract": keras.layers.Subtract,
    "Multiply": keras.layers.Multiply,
    "Maximum": keras.layers.Maximum,
    "Minimum": keras.layers.Minimum,
}
_ACTIVATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Silu": "silu",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
}
# Operation with a constant → (scale, offset) of scale * x + offset.
_AFFINE: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "Add": lambda c: (1.0, c),
    "Subtract": lambda c: (1.0, -c),
    "Multiply": lambda c: (c, 0.0),
    "TrueDivide": lambda c: (1.0 / c, 0.0),
    "Divide": lambda c: (1.0 / c, 0.0),
}


def as_layer(call: Any) -> Any:
    """Return a layer that computes what a call of a Keras functional model computes.

    Args:
        call: a Keras ``Node``.

    Returns:
        The called layer itself; for a bare operation a layer of the same name; an operation
        that no layer stands for as it is (its rule refuses it with its name).
    """
    operation = call.operation
    if isinstance(operation, keras.layers.Layer):
        return operation
    kind, arguments = type(operation).__name__, call.arguments.args
    tensors = [isinstance(argument, keras.KerasTensor) for argument in arguments]
    layer = None
    if tensors == [True] and kind in _ACTIVATIONS:
        layer = keras.layers.Activation(_ACTIVATIONS[kind], name=operation.name)
    elif tensors == [True] and kind == "Negative":
        layer = keras.layers.Rescaling(-1.0, name=operation.name)
    elif tensors == [True, True] and kind in _JOINING:
        layer = _JOINING[kind](name=operation.name)
    elif sum(tensors) == 1 and len(tensors) == 2:
        layer = _affine(operation.name, kind, arguments, tensors[0])
    return operation if layer is None else layer


def _affine(name: str, kind: str, arguments: Any, tensor_first: bool) -> Any:
    constant = np.asarray(arguments[1 if tensor_first else 0])
    # A number, or one for each channel.
    if kind not in _AFFINE or constant.ndim > 1 or constant.dtype.kind not in "fiu":
        return None
    if tensor_first or kind in ("Add", "Multiply"):
        scale, offset = _AFFINE[kind](constant.astype(np.float64))
    elif kind == "Subtract":
        scale, offset = -1.0, constant.astype(np.float64)
    else:
        return None  # constant / x
    return keras.layers.Rescaling(_plain(scale), _plain(offset), name=name)


def _plain(value: Any) -> Any:
    return np.asarray(value, np.float64).tolist()
