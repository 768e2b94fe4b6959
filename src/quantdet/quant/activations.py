"""Which activation a layer is: by the function itself and the exact type, never by a name."""

from __future__ import annotations

import sys
from collections.abc import Callable

import keras

from quantdet.quant.tensors import Tensor

_RELUS = {None: "relu", 6.0: "relu6", 1.0: "relu1"}

COMPOSED = ("hard_sigmoid", "silu", "hard_silu")
"""Activations that :mod:`.compose` writes with others; Keras' "swish" is "silu"."""

_FUNCTIONS = ("relu", "relu6", "sigmoid", "softmax", "tanh", "linear", *COMPOSED)
# Functions of tf.nn with the same values, as older code passes them.
_TENSORFLOW = (
    "relu",
    "relu6",
    "sigmoid",
    "softmax",
    "tanh",
    "silu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "softplus",
    "softsign",
)


def activation_kind(layer: keras.Layer) -> str | None:
    """Return the name of an activation layer's function, e.g. "relu6"; "linear" for none.

    None if ``layer`` is no activation or one that is not supported.
    """
    if type(layer) is keras.layers.ReLU:
        if layer.negative_slope or layer.threshold:
            return None
        return _RELUS.get(layer.max_value)
    if type(layer) is keras.layers.Softmax:
        return "softmax" if layer.axis == -1 else None
    if type(layer) is keras.layers.Activation:
        return function_kind(layer.activation)
    return None


def function_kind(function: Callable[..., Tensor]) -> str | None:
    """Return the name of an activation function; None for one that is not known by itself."""
    function = keras_function(function)
    return next((name for name in _FUNCTIONS if function is getattr(keras.activations, name)), None)


def keras_function(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return Keras' activation for the same one of ``tf.nn``; any other as it is."""
    nn = getattr(sys.modules.get("tensorflow"), "nn", None)
    for name in _TENSORFLOW if nn is not None else ():
        if function is getattr(nn, name):
            found: Callable[..., Tensor] = getattr(keras.activations, name)
            return found
    return function
