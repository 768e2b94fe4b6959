"""Does the .tflite compute what training simulated? Two views.

Layer by layer: every layer of the frozen Keras model gets the integers that LiteRT itself fed
to that layer; outputs are compared as integers. Differences cannot pile up, so this shows
wrong scales, wrong fusion or wrong rounding of one kernel. Fake quantization rounds a float result
once, kernels round integers in ways of their own; each layer is therefore compared as simulated
and with the integer rounding of the kernels (quant/exact.py). See docs/decisions/004.

End to end: same pictures through the whole net on several kernel sets. One-step differences of
early layers grow in deep nets (LiteRT's own kernel sets differ from each other too), so the
figures are shown next to the noise of quantization itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.quant.calibrate import quantizer_before
from quantdet.quant.exact import Operators, Pending
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.kernel_sets import KERNEL_SETS, KernelSet
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.litert_file import FileGraph, read_litert
from quantdet.quant.match import match_graph
from quantdet.quant.numerics import dequantize, quantize
from quantdet.quant.ranges import clip_of
from quantdet.quant.reader import read_graph
from quantdet.quant.tensors import Tensor
from quantdet.results import metrics
from quantdet.runtime.engine import Engine

# All tensors of so many pictures are in memory at once.
_BATCH = 2


@dataclass
class LayerParity:
    """Comparison of one layer's integers.

    Attributes:
        layer: name in the Keras model.
        kind: Keras layer type.
        values: how many integers were compared.
        identical: share that is equal, 0 to 1.
        identical_exact: share that is equal when the kernels' integer rounding is modelled.
        max_lsb: largest difference in integer steps.
    """

    layer: str
    kind: str
    values: int = 0
    identical: float = 1.0
    identical_exact: float = 1.0
    max_lsb: int = 0

    def add(self, simulated: NDArray[np.int64], exact: NDArray[np.int64]) -> None:
        """Take in the integer differences of one batch, simulated and exact."""
        before, self.values = self.values, self.values + simulated.size
        equal = self.identical * before + int((simulated == 0).sum())
        equal_exact = self.identical_exact * before + int((exact == 0).sum())
        self.identical = equal / self.values
        self.identical_exact = equal_exact / self.values
        self.max_lsb = max(self.max_lsb, int(np.abs(simulated).max()))


def layer_parity(
    frozen: keras.Model,
    model_file: Path | str,
    pixels: NDArray[np.uint8],
    *,
    kernels: str = "reference",
) -> list[LayerParity]:
    """Compare every layer on LiteRT's own integer inputs.

    Args:
        frozen: frozen fake-quantized model that ``model_file`` was exported from.
        model_file: the .tflite.
        pixels: (N, H, W, C) uint8 as the uint8 file takes them, or int16 for an int16 file.
        kernels: "reference" or "optimized" (XNNPACK keeps no intermediate tensors).

    Raises:
        ExportError: the file was not exported from this model.
    """
    model_file = Path(model_file)
    graph = read_graph(frozen, clone=False)
    found = match_graph(graph, model_file.read_bytes())
    file = read_litert(model_file)
    engine = Engine(model_file, kernels=kernels, num_threads=1, preserve_all_tensors=True)
    comparer = _Comparer(graph, found, KERNEL_SETS[kernels])
    for start in range(0, len(pixels), _BATCH):
        comparer.compare(_tensors(engine, file, found, pixels[start : start + _BATCH]))
    return list(comparer.results.values())


def summarize(layers: Sequence[LayerParity]) -> metrics.LayerParity:
    """Return overall and per-kind figures."""
    kinds: dict[str, list[LayerParity]] = {}
    for layer in layers:
        kinds.setdefault(layer.kind, []).append(layer)
    worst = min(layers, key=lambda layer: layer.identical)
    return metrics.LayerParity.model_validate(
        {
            **_total(layers),
            "worst_layer": asdict(worst),
            "by_kind": {kind: _total(group) for kind, group in sorted(kinds.items())},
        },
        extra="forbid",
    )


def _total(layers: Sequence[LayerParity]) -> dict[str, float]:
    values = sum(layer.values for layer in layers)
    equal = sum(layer.identical * layer.values for layer in layers)
    return {
        "layers": len(layers),
        "values": values,
        "identical": equal / values,
        "identical_exact": sum(layer.identical_exact * layer.values for layer in layers) / values,
        "max_lsb": max(layer.max_lsb for layer in layers),
    }


def _tensors(
    engine: Engine, file: FileGraph, found: dict[int, int], pixels: NDArray[np.uint8]
) -> dict[int, NDArray[np.number]]:
    """Return keras tensor id → LiteRT's integers (uint8 view) for a batch of pictures."""
    rows: dict[int, list[NDArray[np.number]]] = {key: [] for key in found}
    for picture in pixels:
        values = (picture ^ 128).view(np.int8) if engine.input.dtype == "int8" else picture
        engine.run(values[None])
        for key, index in found.items():
            rows[key].append(engine.tensor(index))
    return {
        key: _unsigned(np.concatenate(row), file.tensors[found[key]].dtype)
        for key, row in rows.items()
    }


def _unsigned(values: NDArray[np.number], dtype: str) -> NDArray[np.number]:
    if dtype == "int16":
        return values
    unsigned: NDArray[np.uint8] = values.view(np.uint8)
    return unsigned ^ np.uint8(128) if dtype == "int8" else unsigned


@dataclass(frozen=True)
class _Result:
    """A tensor as simulated, and what rounds it on integers where an operator made it."""

    real: Tensor
    pending: Pending | None = None


class _Comparer:
    """Runs the Keras layers on LiteRT's tensors, wherever LiteRT has the tensor."""

    def __init__(self, graph: Graph, found: dict[int, int], kernels: KernelSet) -> None:
        self._graph = graph
        self._found = found
        self._producers = graph.producers()
        self._operators = Operators(graph, kernels)
        self.results: dict[int, LayerParity] = {}

    def compare(self, litert: dict[int, NDArray[np.number]]) -> None:
        """Compare one batch."""

        def apply(node: Node, arguments: list[_Result]) -> _Result:
            result = self._evaluate(node, arguments)
            if node.output not in self._found:
                return result
            # The converter may write a reshape away; the integers are the same ones.
            integers = litert[node.output].reshape(np.shape(result.real))
            if node.inputs[0] not in self._graph.inputs:
                self._record(node, result, integers)
            real = dequantize(integers, self._quantizer(node).params())
            return _Result(keras.ops.convert_to_tensor(real))

        first = self._graph.nodes[0]
        pixels = dequantize(litert[first.output], self._quantizer(first).params())
        self._graph.run([_Result(keras.ops.convert_to_tensor(pixels))], apply)

    def _evaluate(self, node: Node, arguments: list[_Result]) -> _Result:
        """Return the result of a call before it is rounded to the grid of its quantizer."""
        first = arguments[0]
        if isinstance(node.layer, ActivationQuantizer):
            return _Result(node.layer.call_float(first.real), first.pending)
        reals = [argument.real for argument in arguments]
        if first.pending is not None:
            pending: Pending | None = first.pending.clipped(node)
        else:
            compute = self._operators.find(node)
            pending = compute(node, reals) if compute else None
        return _Result(call_layer(node.layer, reals), pending)

    def _quantizer(self, node: Node) -> ActivationQuantizer:
        if isinstance(node.layer, ActivationQuantizer):
            return node.layer
        return quantizer_before(self._producers, node)

    def _record(self, node: Node, result: _Result, theirs: NDArray[np.number]) -> None:
        params = self._quantizer(node).params()
        simulated = quantize(np.asarray(result.real), params)
        # The rounding of 16 bit kernels is not modelled.
        pending = result.pending if params.bits == 8 else None
        exact = simulated if pending is None else pending.integers(params)
        if node.output not in self.results:
            call = self._operator(node)
            self.results[node.output] = LayerParity(call.layer.name, type(call.layer).__name__)
        self.results[node.output].add(_difference(simulated, theirs), _difference(exact, theirs))

    def _operator(self, node: Node) -> Node:
        """Return the call whose result a quantizer rounds, past a ReLU fused in between."""
        while isinstance(node.layer, ActivationQuantizer):
            node = self._producers[node.inputs[0]]
        before = self._producers[node.inputs[0]]
        fused = clip_of(node.layer) is not None and isinstance(before.layer, QuantizedWeights)
        return before if fused else node


def _difference(ours: NDArray[np.number], theirs: NDArray[np.number]) -> NDArray[np.int64]:
    return ours.astype(np.int64) - theirs.astype(np.int64)
