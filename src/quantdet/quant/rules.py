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

import keras
import numpy as np

from quantdet.errors import QuantizationError
from quantdet.quant import primitives
from quantdet.quant.activations import COMPOSED, activation_kind


class Range(Enum):
    """Where the range of a layer's output comes from."""

    OWN = "own"  # calibrated for this tensor
    INPUT = "input"  # the integer kernel wants one range for all inputs and the output
    CLIP = "clip"  # the ends that the layer cuts its values to
    UNIT = "unit"  # 1/256 steps in [0, 1), as LiteRT's sigmoid and softmax kernels fix it
    TRUTH = "truth"  # 0 and 1
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
    primitives.Constant: Rule(Range.OWN),
    primitives.Slice: _moves("STRIDED_SLICE", "SLICE"),
    primitives.Gather: _moves("GATHER"),
    primitives.BroadcastTo: _moves("BROADCAST_TO", "TILE"),
    primitives.MirrorPad: _moves("MIRROR_PAD"),
    primitives.MatMul: Rule(Range.OWN, ("BATCH_MATMUL",)),
    primitives.Clip: Rule(Range.CLIP),
}
"""Layer type → how its output is quantized. docs/quantization.md adds one."""
_ACTIVATIONS: dict[str, Rule] = {
    "relu": Rule(Range.OWN, ("RELU",)),
    "relu6": Rule(Range.OWN, ("RELU6",)),
    "relu1": Rule(Range.CLIP),
    "tanh": Rule(Range.SIGNED_UNIT, ("TANH",)),
    "sigmoid": Rule(Range.UNIT, ("LOGISTIC",)),
    "softmax": Rule(Range.UNIT, ("SOFTMAX",)),
}
_RESIZING = (keras.layers.UpSampling2D, keras.layers.Resizing)
_INTERPOLATIONS = {
    "nearest": Rule(Range.INPUT, ("RESIZE_NEAREST_NEIGHBOR",), exact=True),
    "bilinear": Rule(Range.INPUT, ("RESIZE_BILINEAR",)),
}

Clip = tuple[float, float | None]
CLIPS: dict[str, Clip] = {"relu": (0.0, None), "relu6": (0.0, 6.0), "relu1": (0.0, 1.0)}


_REDUCTIONS = {
    "mean": Rule(Range.OWN, ("MEAN",)),
    "max": _moves("REDUCE_MAX"),
    "min": _moves("REDUCE_MIN"),
}
_UNARY = {name: Rule(Range.OWN, (operator,)) for name, (operator, _) in primitives.NATIVE.items()}
_UNARY |= dict.fromkeys(primitives.TABULATED, Rule(Range.OWN, ("GATHER",)))
_UNARY |= dict.fromkeys(primitives.TRUTHS, Rule(Range.TRUTH, ("GATHER",)))

AFFINE = (
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
)
"""Layers that compute scale * x + shift; folded, or a convolution of their own (fold.py)."""

IDENTITIES = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
    *(
        getattr(keras.layers, name)
        for name in dir(keras.layers)
        if name.startswith("Random") and name != "RandomCrop"  # crops in inference, too
    ),
    *(
        getattr(keras.layers, name)
        for name in ("AugMix", "CutMix", "MixUp", "RandAugment")
        if hasattr(keras.layers, name)
    ),
)
"""Layers that do something in training only."""

JOINING = (
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.Maximum,
    keras.layers.Minimum,
)
"""Layers whose operator takes two tensors."""

_REFUSED_OPTIONS: dict[type, dict[str, tuple[object, ...]]] = {
    keras.layers.Conv2DTranspose: {"dilation_rate": ((1, 1), 1)},
    keras.layers.UpSampling2D: {"interpolation": ("nearest", "bilinear")},
    keras.layers.Resizing: {
        "interpolation": ("nearest", "bilinear"),
        "crop_to_aspect_ratio": (False,),
        "pad_to_aspect_ratio": (False,),
        "antialias": (False,),
    },
}
"""Layer type → option → values that have an integer kernel."""


def is_known(layer: keras.Layer) -> bool:
    """Tell whether a layer is taken as it is; others are taken apart (reader.py)."""
    if type(layer) in AFFINE:
        return _is_per_channel(layer)
    return (
        type(layer) in RULES
        or type(layer) in (*IDENTITIES, *_RESIZING, keras.layers.SeparableConv2D)
        or type(layer) in (primitives.Reduce, primitives.Unary)
        or activation_kind(layer) is not None
    )


def _is_per_channel(layer: keras.Layer) -> bool:
    """Tell an affine layer with a number, or one for each position of the last axis."""
    if type(layer) is keras.layers.Rescaling:
        return all(np.ndim(value) <= 1 for value in (layer.scale, layer.offset))
    if type(layer) is keras.layers.Normalization:
        shape = tuple(layer.mean.shape)
        return not layer.invert and all(size == 1 for size in shape[:-1])
    rank = len(layer.get_build_config()["input_shape"])
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    return bool(axis % rank == rank - 1)


def rule_for(layer: keras.Layer) -> Rule:
    """Return the rule of a layer.

    Raises:
        QuantizationError: no rule; the message names the layer, its type and the remedy.
    """
    kind = activation_kind(layer)
    if kind in _ACTIVATIONS:
        return _ACTIVATIONS[kind]
    check_options(layer)
    rule = _by_configuration(layer) or RULES.get(type(layer))
    if rule is None:
        layers = ", ".join(sorted(kind.__name__ for kind in (*RULES, *_RESIZING)))
        raise QuantizationError(
            f"{describe(layer)} cannot be quantized; supported are "
            f"{layers}, and the activations {', '.join((*_ACTIVATIONS, *COMPOSED))}. "
            f"Replace the layer, or register it: quantdet.quant.rules.RULES[{type(layer).__name__}]"
            " = Rule(...), or a model of supported layers in "
            "quantdet.quant.EQUIVALENTS "
            '(docs/quantization.md, "Custom layers")'
        )
    return rule


def _by_configuration(layer: keras.Layer) -> Rule | None:
    if type(layer) in _RESIZING:
        return _INTERPOLATIONS.get(layer.interpolation)
    if type(layer) is primitives.Reduce:
        return _REDUCTIONS[layer.function]
    return _UNARY[layer.function] if type(layer) is primitives.Unary else None


def describe(layer: keras.Layer) -> str:
    """Return "layer 'name' (Type)", or "operation ..." for a bare call of keras.ops."""
    kind = type(layer).__name__
    if not isinstance(layer, keras.layers.Layer):
        return f"operation {layer.name!r} (keras.ops, {kind})"
    if type(layer) is keras.layers.Activation:
        kind = f"Activation {getattr(layer.activation, '__name__', layer.activation)!r}"
    return f"layer {layer.name!r} ({kind})"


def check_options(layer: keras.Layer) -> None:
    """Refuse what no integer kernel does.

    Raises:
        QuantizationError: names layer, option and the values that are possible.
    """
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise QuantizationError(
            f"{describe(layer)} is channels_first; LiteRT is "
            "channels_last: rebuild the model with data_format='channels_last'"
        )
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
        both = (layer.strides, layer.dilation_rate)
        if min(map(max, both)) > 1 or len(set(layer.strides)) > 1:
            raise QuantizationError(
                f"{describe(layer)} has strides={layer.strides} and "
                f"dilation_rate={layer.dilation_rate}; a depthwise integer kernel has one or the "
                "other, and the same stride in both directions"
            )
    for option, possible in _REFUSED_OPTIONS.get(type(layer), {}).items():
        value = getattr(layer, option)
        if value not in possible:
            raise QuantizationError(
                f"{describe(layer)} has {option}={value!r}, which no integer kernel supports; "
                f"supported: {' or '.join(map(repr, possible))}"
            )
