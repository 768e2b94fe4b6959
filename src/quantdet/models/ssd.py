"""SSD and SSDLite: every object of the picture, on maps of several scales.

SSD: Liu et al. 2016, arXiv:1512.02325, in the layout of the TF Object Detection API for
MobileNetV2. SSDLite replaces the 3x3 convolutions by separable ones (Sandler et al. 2018,
arXiv:1801.04381, section 6.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.config import ModelConfig
from quantdet.errors import ConfigError, ModelError
from quantdet.kinds import find_kind
from quantdet.models.backbones.mobilenet_v2 import make_divisible
from quantdet.models.detector_weights import folded_arrays
from quantdet.models.narrowing import narrowed
from quantdet.models.ssd_layout import LAYOUTS, SsdLayout, anchor_maps
from quantdet.models.ssd_start import assign_start
from quantdet.models.style import KERAS_STYLE, BackboneStyle
from quantdet.models.weight_files import DetectorHead, WeightSet
from quantdet.models.weights import find_backbone
from quantdet.quant.tensors import Tensor
from quantdet.runtime.contract import AnchorMap

# Focal loss starts well when every anchor first says "nothing" with probability 0.99
# (Lin et al. 2017, arXiv:1708.02002, section 4.1).
_PRIOR_LOGIT = -math.log((1 - 0.01) / 0.01)


def find_layout(config: ModelConfig) -> SsdLayout:
    """Return the layout that [model] anchors names.

    Raises:
        ConfigError: there is none of that name.
    """
    if config.anchors not in LAYOUTS:
        raise ConfigError(f"[model] anchors = {config.anchors!r} is unknown; known: {[*LAYOUTS]}")
    return LAYOUTS[config.anchors]


def build_ssd(
    config: ModelConfig, num_classes: int, weights: WeightSet | None = None
) -> keras.Model:
    """Build the detector.

    Args:
        config: the [model] section.
        num_classes: classes without background.
        weights: of the backbone, or of a whole detector of this layout; None leaves all random.

    Returns:
        A flat functional model. Input "image": float32 (B, S, S, 3), RGB,
        real = (pixel - 128) / 127.5. Outputs by name, for N anchors in the order of
        :func:`ssd_anchors`:
            boxes (B, N, 4): offsets ty, tx, th, tw from the anchors;
            scores (B, N, num_classes): logits, one sigmoid per class, no background.

    Raises:
        ModelError: no class, or ``weights`` do not fit.
        ConfigError: unknown backbone or layout.
    """
    if num_classes < 1:
        raise ModelError("a model needs at least one class; the data set has no labels")
    style = KERAS_STYLE if weights is None else weights.style
    model, backbone_layers = _build(config, num_classes, style)
    if weights is not None:
        assign_start(model, backbone_layers, weights, find_layout(config))
    return model


def _build(
    config: ModelConfig, num_classes: int, style: BackboneStyle
) -> tuple[keras.Model, list[keras.Layer]]:
    """Return the model with random weights, and those of its layers that are the backbone."""
    layout = find_layout(config)
    backbone = find_backbone(config.backbone)
    base = backbone.build(config.input_size, config.width, style)
    maps = [base.get_layer(backbone.features[s]).output for s in layout.backbone_strides]
    parts = _SEPARABLE if find_kind(config.name).separable else _FULL
    for number, (reduced, channels) in enumerate(layout.extras, start=1):
        sizes = (make_divisible(reduced * config.width), make_divisible(channels * config.width))
        maps.append(parts.extra(maps[-1], f"extra_{number}", *sizes))
    boxes, scores = [], []
    for number, (features, shapes) in enumerate(zip(maps, layout.shapes_hw, strict=True), start=1):
        boxes.append(_predict(parts.head, features, f"box_{number}", len(shapes), 4))
        scores.append(_predict(parts.head, features, f"class_{number}", len(shapes), num_classes))
    outputs = {
        "boxes": keras.layers.Concatenate(axis=1, name="boxes")(boxes),
        "scores": keras.layers.Concatenate(axis=1, name="scores")(scores),
    }
    return keras.Model(base.input, outputs, name=config.name), base.layers


def build_starting_ssd(config: ModelConfig, num_classes: int, weights: WeightSet) -> keras.Model:
    """Build the detector that ``weights`` are of: as :func:`build_ssd`, but of their own width.

    Args:
        config: the [model] section.
        num_classes: classes without background.
        weights: of a detector.
    """
    assert weights.head is not None
    own = config.model_copy(update={"width": weights.head.width})
    return build_ssd(own, num_classes, weights)


def narrow_start(
    config: ModelConfig, num_classes: int, weights: WeightSet, pictures: NDArray[np.float32]
) -> WeightSet:
    """Return weights for the detector of ``config`` out of those of a wider one.

    Args:
        config: the [model] section.
        num_classes: classes without background.
        weights: of a wider detector.
        pictures: model inputs (N, S, S, 3) that channels are chosen on.
    """
    wide = build_starting_ssd(config, num_classes, weights)
    model, _ = _build(config, num_classes, weights.style)
    head = DetectorHead(
        labels=("",) * num_classes,
        shapes_hw=find_layout(config).shapes_hw,
        input_size=config.input_size,
        width=config.width,
        class_rows=tuple(range(num_classes)),
    )
    return replace(weights, arrays=narrowed(folded_arrays(wide), model, pictures), head=head)


def ssd_anchors(config: ModelConfig) -> tuple[AnchorMap, ...]:
    """Return the anchors of :func:`build_ssd`, map after map in the order of its outputs."""
    layout = find_layout(config)
    side = math.ceil(config.input_size / layout.backbone_strides[0])
    sizes = []
    for _ in range(len(layout.shapes_hw)):
        sizes.append((side, side))
        side = math.ceil(side / 2)
    return anchor_maps(layout, sizes)


def ssd_head_input(config: ModelConfig) -> str:
    """Return the first map's layer: everything behind it follows from its output."""
    return find_backbone(config.backbone).features[find_layout(config).backbone_strides[0]]


def trunk_layers(config: ModelConfig) -> list[keras.Layer]:
    """Return all convolutions but the predictors', in the order of execution."""
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    layers = [layer for layer in build_ssd(config, 1).layers if isinstance(layer, kinds)]
    return [layer for layer in layers if not layer.name.startswith(("box_", "class_"))]


def _predict(head: Tensor, features: Tensor, name: str, anchors: int, values: int) -> Tensor:
    x = head(features, name, anchors * values)
    cells = features.shape[1] * features.shape[2]
    return keras.layers.Reshape((cells * anchors, values), name=f"{name}_flat")(x)


def _conv_relu(x: Tensor, name: str, channels: int, kernel: int = 1, stride: int = 1) -> Tensor:
    layer = keras.layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        kernel_initializer="he_normal",
        name=name,
    )
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(layer(x))


def _depthwise_relu(x: Tensor, name: str, stride: int = 1) -> Tensor:
    layer = keras.layers.DepthwiseConv2D(
        3, strides=stride, padding="same", depthwise_initializer="he_normal", name=name
    )
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(layer(x))


def _full_extra(x: Tensor, name: str, reduced: int, channels: int) -> Tensor:
    x = _conv_relu(x, f"{name}_reduce", reduced)
    return _conv_relu(x, f"{name}_conv", channels, kernel=3, stride=2)


def _lite_extra(x: Tensor, name: str, reduced: int, channels: int) -> Tensor:
    x = _conv_relu(x, f"{name}_reduce", reduced)
    x = _depthwise_relu(x, f"{name}_depthwise", stride=2)
    return _conv_relu(x, f"{name}_conv", channels)


def _full_head(x: Tensor, name: str, channels: int) -> Tensor:
    prior = _PRIOR_LOGIT if name.startswith("class") else 0.0
    layer = keras.layers.Conv2D(
        channels,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(prior),
        name=name,
    )
    return layer(x)


def _lite_head(x: Tensor, name: str, channels: int) -> Tensor:
    return _full_head(_depthwise_relu(x, f"{name}_depthwise"), name, channels)


@dataclass(frozen=True)
class _Parts:
    """What tells the members of the family apart."""

    extra: Callable[[Tensor, str, int, int], Tensor]
    head: Callable[[Tensor, str, int], Tensor]


_FULL = _Parts(_full_extra, _full_head)
_SEPARABLE = _Parts(_lite_extra, _lite_head)
