"""Cross-layer equalization: the same function with weights spread evenly over the channels.

Between two layers W1, W2 with a ReLU or nothing in between, channel c of the first may be divided
by any s_c > 0 when the second multiplies it again. The choice

    s_c = sqrt(r1_c / r2_c),   r = largest |weight| of the channel

gives both the same range (Nagel et al. 2019, arXiv:1906.04721, section 4.1), so that one scale for
a whole kernel fits all its channels.

ReLU6 would clip elsewhere after scaling. It is not replaced by ReLU, as the paper does, but kept,
and s_c chosen such that no channel clips that did not: channels that reach 6 on the calibration
pictures stay as they are, others are enlarged to 6 at most. The function is unchanged on these
pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.activations import activation_kind
from quantdet.quant.calibration_data import Inputs, read_calibration
from quantdet.quant.fold import simplify
from quantdet.quant.graph import Graph, Node, build_model, call_layer
from quantdet.quant.reader import read_graph
from quantdet.quant.rules import CLIPS
from quantdet.quant.tensors import Tensor

Vector = NDArray[np.float64]
_SWEEPS = 20
_SETTLED = 1e-3
_EMPTY = 1e-6
_KINDS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def equalize(model: keras.Model, calibration: object) -> keras.Model:
    """Return a float model that computes the same with equalized weights.

    Args:
        model: functional Keras model; it is not changed. BatchNorm is folded in the result.
        calibration: typical inputs, see ``prepare_qat``; they tell which channels reach the
            clipping of a ReLU6.
    """
    graph = simplify(read_graph(model))
    trainable = {layer.name: layer.trainable for layer in model.layers}
    pairs = _pairs(graph)
    slices = read_calibration(model, calibration)
    largest = _largest_outputs(graph, {pair.tensor for pair in pairs}, slices)
    for _ in range(_SWEEPS):
        change = max((_equalize(pair, largest) for pair in pairs), default=0.0)
        if change < _SETTLED:
            break
    equalized = build_model(graph, model.name)
    for layer in equalized.layers:
        layer.trainable = trainable.get(layer.name, True)
    return equalized


@dataclass(frozen=True)
class _Pair:
    """Two layers with weights, one behind the other.

    Attributes:
        first: its output ``tensor`` is scaled down.
        second: reads it, clipped or not.
        clip: upper end of the ReLU in between, None if it has none.
    """

    first: keras.Layer
    second: keras.Layer
    tensor: int
    clip: float | None


def _pairs(graph: Graph) -> list[_Pair]:
    calls = [id(node.layer) for node in graph.nodes]
    found = []
    for node in graph.nodes:
        if not isinstance(node.layer, _KINDS) or calls.count(id(node.layer)) > 1:
            continue
        reader, clip = graph.only_consumer(node.output), None
        while reader is not None and _commutes(reader):
            clip = clip or CLIPS.get(activation_kind(reader.layer) or "", (0.0, None))[1]
            reader = graph.only_consumer(reader.output)
        if reader is None or not isinstance(reader.layer, _KINDS):
            continue
        if calls.count(id(reader.layer)) == 1:
            found.append(_Pair(node.layer, reader.layer, node.output, clip))
    return found


def _commutes(node: Node) -> bool:
    """Tell whether scaling channels before a call is the same as scaling them behind it."""
    return activation_kind(node.layer) in CLIPS or isinstance(
        node.layer, keras.layers.ZeroPadding2D
    )


def _largest_outputs(
    graph: Graph, tensors: set[int], calibration: Iterable[Inputs]
) -> dict[int, Vector]:
    largest: dict[int, Vector] = {}

    def apply(node: Node, arguments: list[Tensor]) -> Tensor:
        result = call_layer(node.layer, arguments)
        if node.output in tensors:
            values = ops.convert_to_numpy(result)
            seen = values.max(axis=tuple(range(values.ndim - 1))).astype(np.float64)
            largest[node.output] = np.maximum(largest.get(node.output, seen), seen)
        return result

    for inputs in calibration:
        graph.run([ops.convert_to_tensor(values) for values in inputs], apply, forget=True)
    return largest


def _equalize(pair: _Pair, largest: dict[int, Vector]) -> float:
    """Scale the channels between two layers in place; return the largest relative change."""
    first, second = _output_range(pair.first), _input_range(pair.second)
    usable = (first > _EMPTY) & (second > _EMPTY)
    factor = np.sqrt(np.where(usable, first, 1.0) / np.where(usable, second, 1.0))
    if pair.clip is not None:
        reached = largest[pair.tensor]
        factor = np.where(reached >= pair.clip, 1.0, np.maximum(factor, reached / pair.clip))
    _divide_output(pair.first, factor)
    _multiply_input(pair.second, factor)
    largest[pair.tensor] = largest[pair.tensor] / factor
    return float(np.abs(np.log(factor)).max())


def _kernel(layer: keras.Layer) -> Vector:
    kernel: Vector = np.asarray(layer.kernel, np.float64)
    return kernel


def _output_range(layer: keras.Layer) -> Vector:
    kernel = np.abs(_kernel(layer))
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    largest: Vector = kernel.max((0, 1) if depthwise else tuple(range(kernel.ndim - 1)))
    return largest.reshape(-1)


def _input_range(layer: keras.Layer) -> Vector:
    kernel = np.abs(_kernel(layer))
    largest: Vector = kernel.max(axis=(1,) if kernel.ndim == 2 else (0, 1, 3))
    return largest


def _divide_output(layer: keras.Layer, factor: Vector) -> None:
    kernel = _kernel(layer)
    shape = kernel.shape[-2:] if isinstance(layer, keras.layers.DepthwiseConv2D) else (-1,)
    layer.kernel.assign((kernel / factor.reshape(shape)).astype(np.float32))
    if layer.use_bias:
        layer.bias.assign((np.asarray(layer.bias, np.float64) / factor).astype(np.float32))


def _multiply_input(layer: keras.Layer, factor: Vector) -> None:
    layer.kernel.assign((_kernel(layer) * factor[:, None]).astype(np.float32))
