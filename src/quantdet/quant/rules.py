"""What the engine knows about each layer type: one line per type.

A layer type that is not here cannot be quantized; add a line, and a tiny model to
tests/quant/cases.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import keras

from quantdet.errors import QuantizationError
from quantdet.quant.activations import COMPOSED, activation_kind


class Range(Enum):
    """Where the range of a layer's output comes from."""

    OWN = "own"  # calibrated for this tensor
    INPUT = "input"  # the integer kernel wants one range for all inputs and the output
    UNIT = "unit"  # 1/256 steps in [0, 1), as LiteRT's sigmoid and softmax kernels fix it
    SIGNED_UNIT = "signed unit"  # 1/128 steps in [-1, 1), as LiteRT's tanh kernel fixes it


@dataclass(frozen=True)
class Rule:
    """How a layer's output is quantized.

    Attributes:
        range: origin of the output range.
        exact: the output is on the grid of the input already (moves values, computes none).
    """

    range: Range
    exact: bool = False


_MOVES = Rule(Range.INPUT, exact=True)

RULES: dict[type, Rule] = {
    keras.layers.Conv2D: Rule(Range.OWN),
    keras.layers.DepthwiseConv2D: Rule(Range.OWN),
    keras.layers.Dense: Rule(Range.OWN),
    keras.layers.Add: Rule(Range.OWN),
    keras.layers.Subtract: Rule(Range.OWN),
    keras.layers.Multiply: Rule(Range.OWN),
    keras.layers.LeakyReLU: Rule(Range.OWN),
    keras.layers.Maximum: _MOVES,
    keras.layers.Minimum: _MOVES,
    keras.layers.GlobalAveragePooling2D: Rule(Range.OWN),
    keras.layers.AveragePooling2D: Rule(Range.INPUT),
    keras.layers.MaxPooling2D: _MOVES,
    keras.layers.GlobalMaxPooling2D: _MOVES,
    keras.layers.Concatenate: _MOVES,
    keras.layers.ZeroPadding2D: _MOVES,
    keras.layers.Reshape: _MOVES,
    keras.layers.Flatten: _MOVES,
    keras.layers.Cropping2D: _MOVES,
    keras.layers.Permute: _MOVES,
}
_ACTIVATIONS: dict[str, Rule] = {
    "relu": Rule(Range.OWN),
    "relu6": Rule(Range.OWN),
    "relu1": Rule(Range.OWN),
    "tanh": Rule(Range.SIGNED_UNIT),
    "sigmoid": Rule(Range.UNIT),
    "softmax": Rule(Range.UNIT),
}
Clip = tuple[float, float | None]
CLIPS: dict[str, Clip] = {"relu": (0.0, None), "relu6": (0.0, 6.0), "relu1": (0.0, 1.0)}


def rule_for(layer: Any) -> Rule:
    """Return the rule of a layer.

    Raises:
        QuantizationError: no rule; the message names the layer, its type and the remedy.
    """
    kind = activation_kind(layer)
    if kind in _ACTIVATIONS:
        return _ACTIVATIONS[kind]
    if isinstance(layer, keras.layers.UpSampling2D):
        return Rule(Range.INPUT, exact=layer.interpolation == "nearest")
    rule = RULES.get(type(layer))
    if rule is None:
        layers = ", ".join(sorted(kind.__name__ for kind in RULES))
        raise QuantizationError(
            f"layer {layer.name!r} ({_describe(layer)}) cannot be quantized; supported are "
            f"{layers}, UpSampling2D, and the activations {', '.join((*_ACTIVATIONS, *COMPOSED))}. "
            "Replace the layer, or add a rule in quantdet/quant/rules.py"
        )
    _check_channels_last(layer)
    return rule


def _describe(layer: Any) -> str:
    if isinstance(layer, keras.layers.Activation):
        return f"Activation {getattr(layer.activation, '__name__', layer.activation)!r}"
    return type(layer).__name__


def _check_channels_last(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise QuantizationError(
            f"layer {layer.name!r} ({type(layer).__name__}) is channels_first; LiteRT is "
            "channels_last: rebuild the model with data_format='channels_last'"
        )
