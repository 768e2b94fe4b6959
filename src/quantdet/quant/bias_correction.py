"""Round the weights layer by layer, and take the mean error that this makes out of the biases.

    bias += mean over pictures and positions of (W x - round(W) x),   x = the quantized input

so that every layer is right on average (Nagel et al. 2019, arXiv:1906.04721, section 4.2, with
measured instead of assumed input means). Only the error of the weights is corrected: the error
of clipped activations depends on the picture, and correcting its mean made results worse
(docs/log.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.calibration_data import Inputs, sliced
from quantdet.quant.graph import Node, call_layer
from quantdet.quant.layers import QuantizedWeights
from quantdet.quant.reader import read_graph
from quantdet.quant.rounding import RoundKernel, keep
from quantdet.quant.tensors import Tensor

if TYPE_CHECKING:
    import keras


def correct_biases(model: keras.Model, sample: Inputs, round_kernel: RoundKernel = keep) -> None:
    """Round kernels and correct biases of a calibrated fake-quantized model, in place.

    Args:
        model: made by ``insert_fake_quant`` and calibrated.
        sample: typical inputs, one array per model input, about 32 pictures.
        round_kernel: one of ``rounding.ROUNDINGS``.
    """
    graph = read_graph(model, clone=False)
    readers = graph.consumers()
    done: set[int] = set()

    # A tensor is a list of slices, so that what a call needs besides is small.
    def apply(node: Node, arguments: list[list[Tensor]]) -> list[Tensor]:
        layer = node.layer
        # A shared layer has one kernel and one bias: its first call decides.
        if isinstance(layer, QuantizedWeights) and id(layer) not in done:
            done.add(id(layer))
            wanted = _mean_output(layer.call_float, arguments[0])
            round_kernel(layer, arguments[0])
            error = wanted - _mean_output(layer.call, arguments[0])
            layer.bias.assign_add(error.astype(np.float32))
        last = [
            readers[tensor][-1] is node and tensor not in graph.output_ids for tensor in node.inputs
        ]
        return _call_in_slices(layer, arguments, last)

    slices = sliced(zip(*sample, strict=True))
    tensors = [[ops.convert_to_tensor(values) for values in inputs] for inputs in slices]
    graph.run(map(list, zip(*tensors, strict=True)), apply, forget=True)


def _call_in_slices(
    layer: keras.Layer, arguments: list[list[Tensor]], last: list[bool]
) -> list[Tensor]:
    """Call a layer on each slice, and drop it at once where this is the ``last`` call to read it.

    The largest tensors of a net take hundreds of megabytes; so there is one at a time, not two.
    """
    results = []
    for number in range(len(arguments[0])):
        results.append(call_layer(layer, [slices[number] for slices in arguments]))
        for slices, is_last in zip(arguments, last, strict=True):
            if is_last:
                slices[number] = None
    return results


def _mean_output(call: Callable[[Tensor], Tensor], slices: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return the mean of a layer's output per channel."""
    total, count = np.float64(0), 0
    for inputs in slices:
        values = ops.convert_to_numpy(call(inputs))
        total = total + values.sum(axis=tuple(range(values.ndim - 1)), dtype=np.float64)
        count += values.size // values.shape[-1]
    return np.asarray(total / count)
