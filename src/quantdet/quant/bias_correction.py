"""Take the mean error of rounded weights out of the biases.

    bias += mean over pictures and positions of (W x - round(W) x),   x = the quantized input

so that every layer is right on average (Nagel et al. 2019, arXiv:1906.04721, section 4.2, with
measured instead of assumed input means). Only the error of the weights is corrected: the error
of clipped activations depends on the picture, and correcting its mean made results worse
(docs/log.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from quantdet.quant.graph import Node, call_layer, read_graph
from quantdet.quant.layers import QuantizedWeights


def correct_biases(model: Any, batch: Any) -> None:
    """Correct the biases of a calibrated fake-quantized model, in place.

    Args:
        model: made by ``insert_fake_quant`` and calibrated.
        batch: one batch of typical inputs, 32 to 64 pictures.
    """
    graph = read_graph(model, clone=False)

    def apply(node: Node, arguments: list[Any]) -> Any:
        layer = node.layer
        if isinstance(layer, QuantizedWeights):
            error = ops.convert_to_numpy(layer.call_float(arguments[0]) - layer.call(arguments[0]))
            mean = error.mean(axis=tuple(range(error.ndim - 1)), dtype=np.float64)
            layer.bias.assign_add(mean.astype(np.float32))
        return call_layer(layer, arguments)

    graph.run([ops.convert_to_tensor(batch, dtype="float32")], apply)
