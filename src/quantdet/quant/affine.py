"""``scale * x + shift`` per channel, as a 1x1 depthwise convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.quant.graph import Node
from quantdet.quant.tensors import Shape

Vector = NDArray[np.float64]


def affine_layer(name: str, shape: Shape, scale: Vector, shift: Vector) -> keras.Layer:
    """Return a 1x1 DepthwiseConv2D that computes ``scale * x + shift`` per channel."""
    channels = int(shape[-1] or 0)
    layer = keras.layers.DepthwiseConv2D(1, name=name)
    layer.build((None, None, None, channels))
    kernel = np.broadcast_to(scale, channels).reshape(1, 1, channels, 1)
    layer.set_weights(
        [kernel.astype(np.float32), np.broadcast_to(shift, channels).astype(np.float32)]
    )
    return layer


def picture_calls(
    layers: Sequence[keras.Layer], ends: tuple[tuple[int, ...], int], shape: Shape, fresh: int
) -> list[Node]:
    """Return calls of layers one after the other, on a picture or on a tensor made one.

    Args:
        layers: take and give a picture (4 axes); none changes the shape.
        ends: (input tensors, output tensor) of the whole.
        shape: of the output, batch first; at least 2 axes.
        fresh: first of ``len(layers) + 1`` tensor ids that are not in use.
    """
    if len(shape) != 4:
        name = layers[0].name
        inner = [-1 if size is None else int(size) for size in shape[1:]]
        positions = -1 if -1 in inner[:-1] else math.prod(inner[:-1])
        up = keras.layers.Reshape((1, positions, inner[-1]), name=f"{name}_to_picture")
        down_name = f"{name}_to_vector" if len(shape) == 2 else f"{name}_from_picture"
        down = keras.layers.Reshape(inner, name=down_name)
        layers = [up, *layers, down]
    return chain(layers, ends, fresh)


def chain(
    layers: Sequence[keras.Layer], ends: tuple[tuple[int, ...], int], fresh: int
) -> list[Node]:
    """Return calls of layers one after the other.

    Args:
        layers: each takes what the one before gives.
        ends: (input tensors, output tensor) of the whole.
        fresh: first of ``len(layers) - 1`` tensor ids that are not in use.
    """
    inputs, output = ends
    tensors = [*range(fresh, fresh + len(layers) - 1), output]
    sources = [inputs, *((tensor,) for tensor in tensors[:-1])]
    return [Node(*call) for call in zip(layers, sources, tensors, strict=True)]


def scale_and_shift(layer: keras.Layer) -> tuple[Vector, Vector]:
    """Return (scale, shift): y = scale * x + shift; numbers, or one for each channel."""
    if type(layer) is keras.layers.BatchNormalization:
        return _batch_norm_affine(layer)
    if type(layer) is keras.layers.Rescaling:
        return np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    return _normalization_affine(layer)


def _batch_norm_affine(layer: keras.Layer) -> tuple[Vector, Vector]:
    """Return (scale, shift) per channel: y = scale * x + shift."""
    mean = np.asarray(layer.moving_mean, dtype=np.float64)
    variance = np.asarray(layer.moving_variance, dtype=np.float64)
    gamma = np.asarray(layer.gamma, dtype=np.float64) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta, dtype=np.float64) if layer.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


def _normalization_affine(layer: keras.Layer) -> tuple[Vector, Vector]:
    mean = np.asarray(layer.mean, dtype=np.float64).reshape(-1)
    deviation = np.sqrt(np.asarray(layer.variance, dtype=np.float64).reshape(-1))
    scale = 1.0 / np.maximum(deviation, keras.config.epsilon())
    return scale, -mean * scale
