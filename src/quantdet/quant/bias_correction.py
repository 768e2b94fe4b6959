"""Round the weights layer by layer, and take the mean error that this makes out of the biases.

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

from quantdet.quant.graph import Node, call_layer
from quantdet.quant.layers import QuantizedWeights
from quantdet.quant.reader import read_graph
from quantdet.quant.rounding import RoundKernel, keep


def correct_biases(model: Any, batch: Any, round_kernel: RoundKernel = keep) -> None:
    """Round kernels and correct biases of a calibrated fake-quantized model, in place.

    Args:
        model: made by ``insert_fake_quant`` and calibrated.
        batch: one batch of typical inputs, 32 to 64 pictures.
        round_kernel: one of ``rounding.ROUNDINGS``.
    """
    graph = read_graph(model, clone=False)
    done: set[int] = set()

    def apply(node: Node, arguments: list[Any]) -> Any:
        layer = node.layer
        # A shared layer has one kernel and one bias: its first call decides.
        if isinstance(layer, QuantizedWeights) and id(layer) not in done:
            done.add(id(layer))
            wanted = layer.call_float(arguments[0])
            round_kernel(layer, arguments[0])
            error = ops.convert_to_numpy(wanted - layer.call(arguments[0]))
            mean = error.mean(axis=tuple(range(error.ndim - 1)), dtype=np.float64)
            layer.bias.assign_add(mean.astype(np.float32))
        return call_layer(layer, arguments)

    graph.run([ops.convert_to_tensor(batch, dtype="float32")], apply)
