"""Find the range of every activation by running typical pictures through the float function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from quantdet.errors import QuantizationError
from quantdet.quant.calibration_data import Inputs, Reservoir, read_calibration
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.observers import OBSERVERS, OBSERVERS_16, Observer
from quantdet.quant.reader import read_graph
from quantdet.quant.tensors import Tensor

if TYPE_CHECKING:
    import keras

# |bias / (scale_in * scale)| stays below this: half of int32, and training may move the bias.
MAX_INTEGER_BIAS = 2.0**29
# XNNPACK takes multipliers below 2^8.
MAX_MULTIPLIER = 2.0**7
# The converter gives kernels that are all zero a scale of 0.5e-6 / 127 at least.
SMALLEST_WEIGHT_SCALE = 1e-8


def calibrate(model: keras.Model, calibration: object, *, observer: str = "mse") -> Inputs:
    """Set the ranges of a model made by ``insert_fake_quant``, in place.

    Args:
        model: the fake-quantized model.
        calibration: see ``prepare_qat``; each picture is run once, without any rounding.
        observer: name in ``observers.OBSERVERS``.

    Returns:
        A random sample of the pictures, at most 32, for steps that need a small one.

    Raises:
        QuantizationError: no picture, none that the model takes, or values that are not finite.
    """
    graph = read_graph(model, clone=False)
    sample = Reservoir()
    slices = sample.tee(read_calibration(model, calibration))
    for quantizer, seen in _observe(graph, slices, observer).items():
        if quantizer.fixed is None:
            quantizer.set_range(*seen.range())
    set_scale_floors(graph)
    _widen_dead_ranges(graph)
    return sample.sample()


def _widen_dead_ranges(graph: Graph) -> None:
    """Keep the multiplier ``scale_in * scale_w / scale_out`` of a layer with weights below 2^7.

    A tensor that is 0 on all pictures (a dead ReLU) would have steps so fine that XNNPACK refuses
    the file. Wider steps cost it nothing.
    """
    producers, readers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        if not isinstance(node.layer, QuantizedWeights):
            continue
        after = readers[node.output][0]
        if not isinstance(after.layer, ActivationQuantizer):
            after = readers[after.output][0]
        quantizer = after.layer
        if not isinstance(quantizer, ActivationQuantizer) or quantizer.fixed is not None:
            continue
        steps = float(ops.convert_to_numpy(ops.max(node.layer.weight_scale())))
        least = steps * quantizer_before(producers, node).params().scale / MAX_MULTIPLIER
        params = quantizer.params()
        if params.scale < least:
            wider = least / params.scale
            quantizer.set_range(params.minimum * wider, params.maximum * wider)


def _observe(
    graph: Graph, slices: Iterable[Inputs], name: str
) -> dict[ActivationQuantizer, Observer]:
    observers: dict[ActivationQuantizer, Observer] = {}
    makers = {8: OBSERVERS, 16: OBSERVERS_16}

    def apply(node: Node, arguments: list[Tensor]) -> Tensor:
        result = call_float(node, arguments)
        if isinstance(node.layer, ActivationQuantizer):
            values = np.asarray(ops.convert_to_numpy(result), dtype=np.float32)
            if not np.isfinite(values).all():
                raise QuantizationError(
                    f"{node.layer.name}: values are not finite during calibration; "
                    "the float model is broken, or overflows on these pictures"
                )
            if node.layer not in observers:
                observers[node.layer] = makers[node.layer.bits][name]()
            observers[node.layer].update(values)
        return result

    for inputs in slices:
        graph.run([ops.convert_to_tensor(values) for values in inputs], apply, forget=True)
    return observers


def set_output_ranges(model: keras.Model, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Set the ranges of named outputs of a fake-quantized model, in place.

    For outputs whose extremes carry no meaning, e.g. logits of probability 0. The range reaches
    back through layers that only move values, so it costs no operator.

    Raises:
        QuantizationError: no such output.
    """
    graph = read_graph(model, clone=False)
    producers = graph.producers()
    for name, (minimum, maximum) in ranges.items():
        if not isinstance(graph.outputs, dict) or name not in graph.outputs:
            raise QuantizationError(
                f"output_ranges: the model has no output {name!r}, only "
                f"{list(graph.outputs) if isinstance(graph.outputs, dict) else 'unnamed ones'}"
            )
        quantizer_of(producers, graph.outputs[name]).set_range(minimum, maximum)


def call_float(node: Node, arguments: list[Tensor]) -> Tensor:
    """Evaluate a call of a fake-quantized model without rounding anything."""
    if isinstance(node.layer, ActivationQuantizer | QuantizedWeights):
        return node.layer.call_float(arguments[0])
    return call_layer(node.layer, arguments)


def set_scale_floors(graph: Graph) -> None:
    """Keep int32 biases in range: ``scale >= |bias| / (scale_in * 2^29)`` per channel."""
    producers = graph.producers()
    for node in graph.nodes:
        if isinstance(node.layer, QuantizedWeights):
            bias = np.abs(ops.convert_to_numpy(node.layer.bias))
            scale_in = quantizer_before(producers, node).params().scale
            floor = np.maximum(bias / (scale_in * MAX_INTEGER_BIAS), SMALLEST_WEIGHT_SCALE)
            floor = floor.astype(np.float32)
            target = node.layer.scale_floor
            target.assign(floor.reshape(target.shape) if node.layer.per_channel else floor.max())


def quantizer_before(producers: Mapping[int, Node], node: Node) -> ActivationQuantizer:
    """Return the quantizer that defines the grid of a call's (first) input."""
    return quantizer_of(producers, node.inputs[0])


def quantizer_of(producers: Mapping[int, Node], tensor: int) -> ActivationQuantizer:
    """Return the quantizer that defines the grid of a tensor."""
    before = producers[tensor]
    while not isinstance(before.layer, ActivationQuantizer):
        before = producers[before.inputs[0]]
    return before.layer
