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
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.activations import activation_kind
from quantdet.quant.calibration_data import Inputs
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.rules import CLIPS
from quantdet.quant.tensors import Tensor

Vector = NDArray[np.float64]
_SWEEPS = 20
_SETTLED = 1e-3
_EMPTY = 1e-6
_KINDS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def equalize(graph: Graph, slices: Iterable[Inputs]) -> Graph:
    """Equalize the weights of a graph in place; return it with what its tensors are divided by.

    Args:
        graph: simplified (fold.py), with layers of its own; it computes the same afterwards.
        slices: typical inputs; they tell which channels reach the clipping of a ReLU6.
    """
    pairs = _pairs(graph)
    divisors = {pair.tensor: np.ones(_output_range(pair.first).shape) for pair in pairs}
    largest = _largest_outputs(graph, set(divisors), slices)
    for _ in range(_SWEEPS):
        change = 0.0
        for pair in pairs:
            factor = _factor(pair, largest[pair.tensor])
            _divide(pair, factor)
            divisors[pair.tensor] *= factor
            largest[pair.tensor] = largest[pair.tensor] / factor
            change = max(change, float(np.abs(np.log(factor)).max()))
        if change < _SETTLED:
            break
    known = {
        tensor: tuple(map(float, divisors[pair.tensor]))
        for pair in pairs
        for tensor in pair.tensors
    }
    return replace(graph, divisors=known)


@dataclass(frozen=True)
class _Pair:
    """Two layers with weights, one behind the other.

    Attributes:
        first: its output, the first of ``tensors``, is divided.
        second: reads the last of ``tensors``.
        tensors: all between the two.
        clip: upper end of the ReLU in between, None if it has none.
    """

    first: keras.Layer
    second: keras.Layer
    tensors: tuple[int, ...]
    clip: float | None

    @property
    def tensor(self) -> int:
        """Output of the first layer."""
        return self.tensors[0]


def _pairs(graph: Graph) -> list[_Pair]:
    calls = [id(node.layer) for node in graph.nodes]
    found = []
    for node in graph.nodes:
        if not isinstance(node.layer, _KINDS) or calls.count(id(node.layer)) > 1:
            continue
        tensors, clip = [node.output], None
        reader = graph.only_consumer(node.output)
        while reader is not None and _commutes(reader):
            clip = clip or CLIPS.get(activation_kind(reader.layer) or "", (0.0, None))[1]
            tensors.append(reader.output)
            reader = graph.only_consumer(reader.output)
        if reader is None or not isinstance(reader.layer, _KINDS):
            continue
        if calls.count(id(reader.layer)) == 1:
            found.append(_Pair(node.layer, reader.layer, tuple(tensors), clip))
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


def _factor(pair: _Pair, reached: Vector) -> Vector:
    """Return what the channels between two layers are to be divided by.

    Args:
        pair: the layers.
        reached: largest value of each channel.
    """
    first, second = _output_range(pair.first), _input_range(pair.second)
    usable = (first > _EMPTY) & (second > _EMPTY)
    factor = np.sqrt(np.where(usable, first, 1.0) / np.where(usable, second, 1.0))
    if pair.clip is not None:
        factor = np.where(reached >= pair.clip, 1.0, np.maximum(factor, reached / pair.clip))
    return factor


def _divide(pair: _Pair, factor: Vector) -> None:
    _divide_output(pair.first, factor)
    _multiply_input(pair.second, factor)


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
