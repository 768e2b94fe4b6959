"""Snap a trained fake-quantized model onto the integers that the device will hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from quantdet.quant.calibrate import quantizer_before, set_scale_floors
from quantdet.quant.graph import build_model
from quantdet.quant.layers import QuantizedWeights
from quantdet.quant.numerics import dequantize, quantize
from quantdet.quant.primitives import Constant
from quantdet.quant.reader import read_graph

if TYPE_CHECKING:
    import keras


def freeze(model: keras.Model) -> keras.Model:
    """Return a copy whose kernels, biases and constants lie exactly on their integer grids.

    kernel = q * scale with q in [-127, 127]; bias = q * scale_in * scale with q int32.
    What the copy computes is what export writes. The argument is not changed.
    """
    graph = read_graph(model)
    set_scale_floors(graph)
    producers = graph.producers()
    for node in graph.nodes:
        layer = node.layer
        if isinstance(layer, Constant):
            params = graph.consumers()[node.output][0].layer.params()
            value = ops.convert_to_numpy(layer.value)
            layer.value.assign(dequantize(quantize(value, params), params))
        if isinstance(layer, QuantizedWeights):
            stored = layer.weight_scale()
            scale = ops.convert_to_numpy(stored).astype(np.float64)
            kernel = layer.integer_kernel() * scale
            scale_in = quantizer_before(producers, node).params().scale
            step = scale.reshape(-1) * scale_in
            bias = np.rint(ops.convert_to_numpy(layer.bias) / step) * step
            layer.kernel.assign(kernel.astype(np.float32))
            layer.bias.assign(bias.astype(np.float32))
            layer.store_scale(stored)
    return build_model(graph, model.name)
