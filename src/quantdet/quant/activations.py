"""Which activation a layer is."""

from __future__ import annotations

from typing import Any

import keras

_BY_NAME = ("relu", "relu6", "sigmoid", "softmax", "tanh", "linear")
_RELUS = {None: "relu", 6.0: "relu6", 1.0: "relu1"}

COMPOSED = ("hard_sigmoid", "silu", "hard_silu")
"""Activations that :mod:`.compose` writes with others; Keras' "swish" is "silu"."""


def activation_kind(layer: Any) -> str | None:
    """Return the name of an activation layer's function, e.g. "relu6"; "linear" for none.

    None if ``layer`` is no activation or one that is not supported.
    """
    if isinstance(layer, keras.layers.ReLU):
        if layer.negative_slope or layer.threshold:
            return None
        return _RELUS.get(layer.max_value)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax" if layer.axis == -1 else None
    if isinstance(layer, keras.layers.Activation):
        name = getattr(layer.activation, "__name__", "")
        return name if name in (*_BY_NAME, *COMPOSED) else None
    return None
