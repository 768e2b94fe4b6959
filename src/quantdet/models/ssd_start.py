"""Start a detector from the weights of a backbone, or of another detector.

A detector with other classes or other anchors is a good start too: its trunk is taken over, its
class rows by name, and its predictors are moved to the nearest anchor such that they predict
the same boxes as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ConfigError, ModelError
from quantdet.models.ssd_layout import SsdLayout
from quantdet.models.weight_files import WeightSet, assign_weights
from quantdet.runtime.anchors import Shape
from quantdet.runtime.coco import COCO_TO_VOC

Floats = NDArray[np.float32]
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def choose_class_rows(
    weights: WeightSet, labels: Sequence[str], aliases: Mapping[str, str]
) -> WeightSet:
    """Return ``weights`` with a row chosen for each class of ``labels``.

    Args:
        weights: of a detector; those of a backbone are returned as they are.
        labels: classes of the model to build.
        aliases: label → class of the weights to start from; without an entry the class of the
            same name (case does not matter; PASCAL VOC's "sofa" is COCO's "couch" and so on) is
            taken, or a random row.

    Raises:
        ConfigError: an alias names no class of the weights or of the model.
    """
    if weights.head is None:
        return weights
    known = {name.lower(): row for row, name in enumerate(weights.head.labels) if name}
    known = {COCO_TO_VOC[name]: row for name, row in known.items() if name in COCO_TO_VOC} | known
    for label, name in aliases.items():
        if label not in labels:
            raise ConfigError(f"[model.start_classes] {label!r} is not a class of the data set")
        if name.lower() not in known:
            raise ConfigError(
                f"[model.start_classes] {label} = {name!r}: {weights.source} has no such class; "
                f"it has {', '.join(filter(None, weights.head.labels))}"
            )
    rows = tuple(known.get(aliases.get(label, label).lower()) for label in labels)
    return replace(weights, head=replace(weights.head, class_rows=rows))


def assign_start(
    model: keras.Model,
    backbone_layers: Iterable[keras.Layer],
    weights: WeightSet,
    layout: SsdLayout,
) -> None:
    """Set the variables of ``model`` that ``weights`` have.

    Anchors are compared in pixels: a convolution knows an object by its size in pixels, whatever
    the size of the picture.

    Args:
        model: made by :func:`quantdet.models.ssd.build_ssd`.
        backbone_layers: those of its layers that make up the backbone.
        weights: of the backbone alone, or of a detector after :func:`choose_class_rows`.
        layout: of ``model``.

    Raises:
        ModelError: a tensor is missing or has another shape.
    """
    if weights.head is None:
        assign_weights(backbone_layers, weights)
        return
    followers = dict(_batch_norms(model))
    for layer in model.layers:
        if isinstance(layer, _CONVOLUTIONS) and not is_head(layer.name):
            _assign_folded(layer, followers.get(layer.name), weights)
    enlarged = weights.head.input_size / model.input.shape[1]
    for number, shapes in enumerate(layout.shapes_hw, start=1):
        known = weights.head.shapes_hw[number - 1]
        source = [(enlarged * height, enlarged * width) for height, width in known]
        _assign_boxes(model, f"box_{number}", weights, (source, shapes), layout)
        _assign_classes(model, f"class_{number}", weights, (source, shapes))


def is_head(name: str) -> bool:
    """Return whether a layer is the last convolution of a predictor."""
    return name.startswith(("box_", "class_")) and not name.endswith("_depthwise")


def _batch_norms(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """Yield each convolution's name with the BatchNorm that follows it."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer.input._keras_history[0].name, layer


def _assign_folded(layer: keras.Layer, norm: keras.Layer | None, weights: WeightSet) -> None:
    kernel = _array(weights, layer.name, "kernel", tuple(layer.kernel.shape))
    bias = _array(weights, layer.name, "bias", (int(np.prod(kernel.shape[2:])),), layer)
    layer.kernel.assign(kernel)
    if norm is None:
        layer.bias.assign(bias)
        return
    # A BatchNorm that only adds the bias: gamma 1, mean 0, variance + epsilon = 1.
    ones = np.ones_like(bias)
    norm.set_weights([ones, bias, 0.0 * ones, (1.0 - norm.epsilon) * ones])


def _array(
    weights: WeightSet,
    layer: str,
    variable: str,
    shape: tuple[int, ...],
    owner: keras.Layer | None = None,
) -> Floats:
    key = f"{layer}/{variable}"
    if isinstance(owner, keras.layers.Conv2D) and not isinstance(
        owner, keras.layers.DepthwiseConv2D
    ):
        shape = (int(owner.filters),)
    if key not in weights.arrays:
        raise ModelError(
            f"{weights.source}: has no {key!r}, so it is a detector of another layout; choose "
            'other weights, or weights = "imagenet"'
        )
    value = np.asarray(weights.arrays[key], dtype=np.float32)
    if value.shape != shape:
        raise ModelError(
            f"{weights.source}: {key!r} has shape {value.shape}, the model needs {shape}; set "
            "[model] width to that of the weights"
        )
    return value


def _assign_boxes(
    model: keras.Model,
    name: str,
    weights: WeightSet,
    shapes: tuple[Sequence[Shape], Sequence[Shape]],
    layout: SsdLayout,
) -> None:
    kernel, bias = _rows(weights, name, len(shapes[0]))
    layer = model.get_layer(name)
    new_kernel, new_bias = [], []
    for shape, nearest in zip(shapes[1], _nearest(*shapes), strict=True):
        height, width = (old / new for old, new in zip(shapes[0][nearest], shape, strict=True))
        # The same box seen from another anchor: ty scales by h_old / h_new, th shifts by its
        # logarithm (see boxes.encode_boxes).
        scale = np.array([height, width, 1.0, 1.0], np.float32)
        shift = np.array([0.0, 0.0, np.log(height), np.log(width)]) * layout.box_coder
        new_kernel.append(kernel[..., nearest, :] * scale)
        new_bias.append(bias[nearest] * scale + shift.astype(np.float32))
    _set(layer, np.stack(new_kernel, axis=-2), np.stack(new_bias))


def _assign_classes(
    model: keras.Model,
    name: str,
    weights: WeightSet,
    shapes: tuple[Sequence[Shape], Sequence[Shape]],
) -> None:
    assert weights.head is not None
    kernel, bias = _rows(weights, name, len(shapes[0]))
    layer = model.get_layer(name)
    anchors, classes = len(shapes[1]), len(weights.head.class_rows)
    # np.array: copies, because the variables' own memory must not be written.
    new_kernel = np.array(layer.kernel).reshape(*kernel.shape[:-2], anchors, classes)
    new_bias = np.array(layer.bias).reshape(anchors, classes)
    for anchor, nearest in enumerate(_nearest(*shapes)):
        for class_id, row in enumerate(weights.head.class_rows):
            if row is not None:
                new_kernel[..., anchor, class_id] = kernel[..., nearest, row]
                new_bias[anchor, class_id] = bias[nearest, row]
    _set(layer, new_kernel, new_bias)


def _rows(weights: WeightSet, name: str, anchors: int) -> tuple[Floats, Floats]:
    """Return kernel (1, 1, channels, anchors, values) and bias (anchors, values)."""
    for key in (f"{name}/kernel", f"{name}/bias"):
        if key not in weights.arrays:
            raise ModelError(f"{weights.source}: has no {key!r}; choose other weights")
    kernel = np.asarray(weights.arrays[f"{name}/kernel"], dtype=np.float32)
    bias = np.asarray(weights.arrays[f"{name}/bias"], dtype=np.float32)
    return kernel.reshape(*kernel.shape[:-1], anchors, -1), bias.reshape(anchors, -1)


def _nearest(old: Sequence[Shape], new: Sequence[Shape]) -> list[int]:
    """Return for each new anchor the old one that is nearest in log height and width."""
    distances = np.abs(np.log(np.array(new)[:, None] / np.array(old)[None])).sum(axis=-1)
    return [int(i) for i in distances.argmin(axis=1)]


def _set(layer: keras.Layer, kernel: Floats, bias: Floats) -> None:
    layer.kernel.assign(kernel.reshape(layer.kernel.shape))
    layer.bias.assign(bias.reshape(-1))
