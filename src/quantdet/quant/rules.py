"""What the engine knows about each layer type: one line per type.

A layer type that is not here cannot be quantized. Add a line, and a tiny model to
tests/quant/cases.py. A project of its own does it from outside, for a layer that becomes one
operator of the file:

    RULES[MyScale] = Rule(Range.OWN, ("MUL",))

and for others, see equivalents.py.
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
        operators: names of the LiteRT operators that the layer may become, e.g. "ADD". Layers
            with weights need none: their weights tell.
        exact: the output is on the grid of the input already (moves values, computes none).
    """

    range: Range
    operators: tuple[str, ...] = ()
    exact: bool = False


def _moves(*operators: str) -> Rule:
    return Rule(Range.INPUT, operators, exact=True)


RULES: dict[type, Rule] = {
    keras.layers.Conv2D: Rule(Range.OWN),
    keras.layers.DepthwiseConv2D: Rule(Range.OWN),
    keras.layers.Conv2DTranspose: Rule(Range.OWN),
    keras.layers.Dense: Rule(Range.OWN),
    keras.layers.Add: Rule(Range.OWN, ("ADD",)),
    keras.layers.Subtract: Rule(Range.OWN, ("SUB",)),
    keras.layers.Multiply: Rule(Range.OWN, ("MUL",)),
    keras.layers.LeakyReLU: Rule(Range.OWN, ("LEAKY_RELU",)),
    keras.layers.Maximum: _moves("MAXIMUM"),
    keras.layers.Minimum: _moves("MINIMUM"),
    keras.layers.GlobalAveragePooling2D: Rule(Range.OWN, ("MEAN", "AVERAGE_POOL_2D")),
    keras.layers.AveragePooling2D: Rule(Range.INPUT, ("AVERAGE_POOL_2D",)),
    keras.layers.MaxPooling2D: _moves("MAX_POOL_2D"),
    keras.layers.GlobalMaxPooling2D: _moves("REDUCE_MAX", "MAX_POOL_2D"),
    keras.layers.Concatenate: _moves("CONCATENATION"),
    keras.layers.ZeroPadding2D: _moves("PAD", "PADV2"),
    keras.layers.Reshape: _moves("RESHAPE"),
    keras.layers.Flatten: _moves("RESHAPE"),
    keras.layers.Cropping2D: _moves("STRIDED_SLICE", "SLICE"),
    keras.layers.Permute: _moves("TRANSPOSE"),
}
_ACTIVATIONS: dict[str, Rule] = {
    "relu": Rule(Range.OWN, ("RELU",)),
    "relu6": Rule(Range.OWN, ("RELU6", "RELU_0_TO_1", "MINIMUM")),
    "relu1": Rule(Range.OWN, ("RELU_0_TO_1", "MINIMUM")),
    "tanh": Rule(Range.SIGNED_UNIT, ("TANH",)),
    "sigmoid": Rule(Range.UNIT, ("LOGISTIC",)),
    "softmax": Rule(Range.UNIT, ("SOFTMAX",)),
}
_RESIZING = (keras.layers.UpSampling2D, keras.layers.Resizing)
_RESIZE_OPERATORS = ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR")

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
    if isinstance(layer, _RESIZING):
        return Rule(Range.INPUT, _RESIZE_OPERATORS, exact=layer.interpolation == "nearest")
    rule = RULES.get(type(layer))
    if rule is None:
        layers = ", ".join(sorted(kind.__name__ for kind in (*RULES, *_RESIZING)))
        raise QuantizationError(
            f"layer {layer.name!r} ({_describe(layer)}) cannot be quantized; supported are "
            f"{layers}, and the activations {', '.join((*_ACTIVATIONS, *COMPOSED))}. "
            f"Replace the layer, or register it: quantdet.quant.rules.RULES[{type(layer).__name__}]"
            " = Rule(...), or a model of supported layers in "
            "quantdet.quant.equivalents.EQUIVALENTS "
            '(docs/quantization.md, "Custom layers")'
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
