"""Layers that stand in for one that has no integer kernel everywhere.

A project adds its own from outside: ``EQUIVALENTS[MyBlock] = my_equivalent``.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from quantdet.quant.operations.operands import tensor
from quantdet.quant.tensors import Shape, Tensor


def prelu(layer: keras.Layer, shape: Shape) -> keras.Model:
    """Return PReLU with one slope per channel (He et al. 2015, arXiv:1502.01852).

        max(x, a x)              if 0 <= a <= 1 for every channel
        relu(x) - a relu(-x)     otherwise

    a times a tensor is a 1x1 depthwise convolution.

    Slopes that differ over height or width are a constant tensor.
    """
    slopes = np.asarray(layer.alpha, np.float32)
    channels = int(shape[-1] or 0)
    if slopes.size != channels:
        return _prelu_of_places(layer, shape, slopes)
    inputs = keras.Input(shape[1:])
    # LiteRT's converter computes a dense layer twice if a ReLU and others read it: not a picture.
    picture = keras.layers.Reshape((1, -1, channels), name=f"{layer.name}_to_picture")
    x = inputs if len(shape) == 4 else picture(inputs)
    slopes = slopes.reshape(-1)
    name = f"{layer.name}_slope"
    if slopes.min() >= 0 and slopes.max() <= 1:
        scaled = keras.layers.Rescaling(slopes.tolist(), name=name)(x)
        y = keras.layers.Maximum(name=f"{layer.name}_max")([x, scaled])
    else:
        negative = keras.layers.Rescaling(-1.0, name=f"{layer.name}_negative")(x)
        below = keras.layers.ReLU(name=f"{layer.name}_below")(negative)
        scaled = keras.layers.Rescaling((-slopes).tolist(), name=name)(below)
        above = keras.layers.ReLU(name=f"{layer.name}_above")(x)
        y = keras.layers.Add(name=f"{layer.name}_sum")([above, scaled])
    if len(shape) != 4:
        y = keras.layers.Reshape(inputs.shape[1:], name=f"{layer.name}_to_vector")(y)
    return keras.Model(inputs, y, name=layer.name)


def _prelu_of_places(layer: keras.Layer, shape: Shape, slopes: Tensor) -> keras.Model:
    x = keras.Input(shape[1:])
    negative = keras.layers.Rescaling(-1.0, name=f"{layer.name}_negative")(x)
    below = keras.layers.ReLU(name=f"{layer.name}_below")(negative)
    scaled = keras.layers.Multiply(name=f"{layer.name}_slope")([below, tensor(-slopes[None], x)])
    above = keras.layers.ReLU(name=f"{layer.name}_above")(x)
    y = keras.layers.Add(name=f"{layer.name}_sum")([above, scaled])
    return keras.Model(x, y, name=layer.name)


EQUIVALENTS: dict[type, Callable[[keras.Layer, Shape], keras.Model]] = {keras.layers.PReLU: prelu}
"""Layer type → function of (layer, input shape) that returns a functional model of one input,
made of layers that have a rule, which computes the same. It takes the layer's place at once."""
