"""Layers with a kernel: scale what they give, or what they get."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.quant.affine import Vector

WEIGHTED = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
)


def with_bias(
    layer: keras.Layer, kernel: NDArray[np.number], bias: NDArray[np.number], name: str
) -> keras.Layer:
    """Return a copy of a weighted layer that has a bias, with new weight values."""
    copy = type(layer).from_config({**layer.get_config(), "use_bias": True, "name": name})
    copy.build_from_config(layer.get_build_config())
    copy.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return copy


def weights_of(layer: keras.Layer) -> tuple[Vector, Vector]:
    """Return kernel and bias, zeros where the layer has none."""
    values = [value.astype(np.float64) for value in layer.get_weights()]
    if layer.use_bias:
        return values[0], values[1]
    return values[0], np.zeros(output_channels(layer))


def output_channels(layer: keras.Layer) -> int:
    """Return the number of output channels of a weighted layer."""
    shape = layer.kernel.shape
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return int(shape[-2] * shape[-1])
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return int(shape[-2])
    return int(shape[-1])


def scale_output(layer: keras.Layer, scale: Vector, shift: Vector) -> keras.Layer:
    """Return the layer for which new(x) = scale * old(x) + shift."""
    kernel, bias = weights_of(layer)
    factor = scale
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        factor = np.broadcast_to(scale, kernel.shape[-2] * kernel.shape[-1])
        factor = factor.reshape(kernel.shape[-2:])
    if isinstance(layer, keras.layers.Conv2DTranspose):
        factor = np.broadcast_to(scale, kernel.shape[-2])[:, None]
    return with_bias(layer, kernel * factor, bias * scale + shift, layer.name)


def scale_input(layer: keras.Layer, scale: Vector, shift: Vector) -> keras.Layer:
    """Return the layer for which new(x) = old(scale * x + shift) away from padding."""
    kernel, bias = weights_of(layer)
    factor, offset = (_per_input(layer, kernel, values) for values in (scale, shift))
    spread = (kernel * offset).sum(tuple(range(kernel.ndim - 1)))
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        spread = (kernel * offset).sum((0, 1)).reshape(-1)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        spread = np.zeros_like(bias)  # folded without a shift only
    return with_bias(layer, kernel * factor, bias + spread, layer.name)


def _per_input(layer: keras.Layer, kernel: Vector, values: Vector) -> Vector:
    """Return a number per input channel, broadcasting against the kernel."""
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return np.broadcast_to(values, kernel.shape[-1])
    inputs, outputs = kernel.shape[-2:]
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Dense):
        return np.broadcast_to(values, inputs)[:, None]
    groups = layer.groups
    by_group = np.broadcast_to(values, inputs * groups).reshape(groups, inputs)
    return np.repeat(by_group, outputs // groups, axis=0).T
