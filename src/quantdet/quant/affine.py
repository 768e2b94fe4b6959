"""``scale * x + shift`` per channel, as a 1x1 depthwise convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import QuantizationError
from quantdet.quant.graph import Node

Vector = NDArray[np.float64]
Shape = tuple[int | None, ...]


def affine_layer(name: str, shape: Shape, scale: Vector, shift: Vector) -> Any:
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
    layers: Sequence[Any], ends: tuple[tuple[int, ...], int], shape: Shape, fresh: int
) -> list[Node]:
    """Return calls of layers one after the other, on a picture or on a vector made one.

    Args:
        layers: take and give a picture (4 axes); none changes the shape.
        ends: (input tensors, output tensor) of the whole.
        shape: of the output: 4 axes, or 2 for a vector.
        fresh: first of ``len(layers) + 1`` tensor ids that are not in use.

    Raises:
        QuantizationError: neither picture nor vector.
    """
    name = layers[0].name
    if len(shape) not in (2, 4):
        raise QuantizationError(
            f"layer {name!r} has {len(shape)} axes; only pictures (4 axes) and vectors (2 axes) "
            "are supported"
        )
    if len(shape) == 2:
        up = keras.layers.Reshape((1, 1, shape[-1]), name=f"{name}_to_picture")
        down = keras.layers.Reshape((shape[-1],), name=f"{name}_to_vector")
        layers = [up, *layers, down]
    return chain(layers, ends, fresh)


def chain(layers: Sequence[Any], ends: tuple[tuple[int, ...], int], fresh: int) -> list[Node]:
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
