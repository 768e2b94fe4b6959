"""Does the .tflite compute what training simulated? Two views.

Layer by layer: every layer of the frozen Keras model gets the integers that LiteRT itself fed
to that layer; outputs are compared as integers. Differences cannot pile up, so this shows
wrong scales, wrong fusion or wrong rounding of one kernel. LiteRT's reference and optimized
kernels round twice (to 2^-n steps, then to integers), fake quantization and XNNPACK once; each
layer is therefore compared with both roundings. See docs/decisions/004.

End to end: same pictures through the whole net on several kernel sets. One-step differences of
early layers grow in deep nets (LiteRT's own kernel sets differ from each other too), so the
figures are put beside the noise of quantization itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.quant.calibrate import quantizer_before, quantizer_of
from quantdet.quant.graph import Graph, Node, call_layer, read_graph
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.litert_file import FileGraph, read_litert
from quantdet.quant.match import match_graph
from quantdet.quant.numerics import QuantParams, dequantize, quantize
from quantdet.quant.ranges import clip_of
from quantdet.runtime.engine import Engine

_AVERAGING = keras.layers.AveragePooling2D | keras.layers.UpSampling2D | keras.layers.Resizing
# All tensors of so many pictures are in memory at once.
_BATCH = 2


def round_integers(real: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """Return what kernels that average int8 values make of a real result.

    They round ``q - 128`` (the int8 form), halves away from zero.
    """
    # Means of integers lie exactly on halves; float noise must not push them off.
    steps = np.round(np.asarray(real, np.float64) / params.scale, 4)
    middle = 128 if params.bits == 8 else 0
    shifted = steps + (params.zero_point - middle)
    rounded = np.sign(shifted) * np.floor(np.abs(shifted) + 0.5)
    return _integers(rounded + middle, params)


def _integers(steps: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    q: NDArray[Any] = np.clip(steps, *params.limits)
    return q.astype(np.uint8 if params.bits == 8 else np.int16)


@dataclass
class LayerParity:
    """Comparison of one layer's integers.

    Attributes:
        layer: name in the Keras model.
        kind: Keras layer type.
        values: how many integers were compared.
        identical: share that is equal, 0 to 1.
        identical_two_step: share that is equal when LiteRT's two-step rounding is modelled.
        max_lsb: largest difference in integer steps.
    """

    layer: str
    kind: str
    values: int = 0
    identical: float = 1.0
    identical_two_step: float = 1.0
    max_lsb: int = 0

    def add(self, once: NDArray[np.int64], twice: NDArray[np.int64]) -> None:
        """Take in the integer differences of one batch, for both roundings."""
        before, self.values = self.values, self.values + once.size
        equal = self.identical * before + int((once == 0).sum())
        equal_two_step = self.identical_two_step * before + int((twice == 0).sum())
        self.identical = equal / self.values
        self.identical_two_step = equal_two_step / self.values
        self.max_lsb = max(self.max_lsb, int(np.abs(once).max()))


def round_two_step(
    real: NDArray[Any], multiplier: NDArray[np.float64], params: QuantParams
) -> NDArray[Any]:
    """Return what gemmlowp-style kernels make of a real result.

    ``multiplier = m * 2^-n`` with m in [0.5, 1): the accumulator is multiplied by m and rounded
    in fixed point, which leaves steps of 2^-n, then shifted right by n with a second rounding;
    both round halves away from zero (Jacob et al. 2018, arXiv:1712.05877, section 2.2).

    Args:
        real: results before quantization, channels last.
        multiplier: scale_in * scale_weight / scale_out, scalar, per channel or per value.
        params: of the output.
    """
    steps = np.asarray(real, np.float64) / params.scale
    exponent = np.frexp(multiplier)[1]
    fine = np.ldexp(1.0, np.maximum(-exponent, 0))
    first = np.floor(np.abs(steps) * fine + 0.5)
    second = np.sign(steps) * np.floor(first / fine + 0.5)
    return _integers(second + params.zero_point, params)


def layer_parity(
    frozen: Any, model_file: Path, pixels: NDArray[np.uint8], *, kernels: str = "reference"
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
    graph = read_graph(frozen, clone=False)
    found = match_graph(graph, model_file.read_bytes())
    file = read_litert(model_file)
    engine = Engine(model_file, kernels=kernels, preserve_all_tensors=True)
    comparer = _Comparer(graph, found)
    for start in range(0, len(pixels), _BATCH):
        comparer.compare(_tensors(engine, file, found, pixels[start : start + _BATCH]))
    return list(comparer.results.values())


def summarize(layers: Sequence[LayerParity]) -> dict[str, Any]:
    """Return overall and per-kind figures, JSON-ready."""
    kinds: dict[str, list[LayerParity]] = {}
    for layer in layers:
        kinds.setdefault(layer.kind, []).append(layer)
    worst = min(layers, key=lambda layer: layer.identical)
    return {
        **_total(layers),
        "worst_layer": asdict(worst),
        "by_kind": {kind: _total(group) for kind, group in sorted(kinds.items())},
    }


def _total(layers: Sequence[LayerParity]) -> dict[str, Any]:
    values = sum(layer.values for layer in layers)
    equal = sum(layer.identical * layer.values for layer in layers)
    return {
        "layers": len(layers),
        "values": values,
        "identical": equal / values,
        "identical_two_step": sum(layer.identical_two_step * layer.values for layer in layers)
        / values,
        "max_lsb": max(layer.max_lsb for layer in layers),
    }


def _tensors(
    engine: Engine, file: FileGraph, found: dict[int, int], pixels: NDArray[np.uint8]
) -> dict[int, NDArray[np.uint8]]:
    """Return keras tensor id → LiteRT's integers (uint8 view) for a batch of pictures."""
    rows: dict[int, list[NDArray[Any]]] = {key: [] for key in found}
    for picture in pixels:
        values = (picture ^ 128).view(np.int8) if engine.input.dtype == "int8" else picture
        engine.run(values[None])
        for key, index in found.items():
            rows[key].append(engine.tensor(index))
    return {
        key: _unsigned(np.concatenate(row), file.tensors[found[key]].dtype)
        for key, row in rows.items()
    }


def _unsigned(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "int16":
        return values
    unsigned: NDArray[np.uint8] = values.view(np.uint8)
    return unsigned ^ np.uint8(128) if dtype == "int8" else unsigned


class _Comparer:
    """Runs the Keras layers on LiteRT's tensors, wherever LiteRT has the tensor."""

    def __init__(self, graph: Graph, found: dict[int, int]) -> None:
        self._graph = graph
        self._found = found
        self._producers = graph.producers()
        self.results: dict[int, LayerParity] = {}

    def compare(self, litert: dict[int, NDArray[np.uint8]]) -> None:
        """Compare one batch."""

        def apply(node: Node, arguments: list[Any]) -> Any:
            computed = call_layer(node.layer, arguments)
            if node.output not in self._found:
                return computed
            params = self._quantizer(node).params()
            integers = litert[node.output]
            if node.inputs[0] not in self._graph.inputs:
                quantizes = isinstance(node.layer, ActivationQuantizer)
                real = node.layer.call_float(arguments[0]) if quantizes else computed
                self._record(node, np.asarray(real), integers)
            return keras.ops.convert_to_tensor(dequantize(integers, params))

        first = self._graph.nodes[0]
        params = self._quantizer(first).params()
        pixels = dequantize(litert[first.output], params)
        self._graph.run([keras.ops.convert_to_tensor(pixels)], apply)

    def _quantizer(self, node: Node) -> ActivationQuantizer:
        if isinstance(node.layer, ActivationQuantizer):
            return node.layer
        return quantizer_before(self._producers, node)

    def _record(self, node: Node, real: NDArray[Any], theirs: NDArray[np.uint8]) -> None:
        call = self._operator(node)
        params = self._quantizer(node).params()
        once = quantize(real, params)
        multiplier = self._multiplier(call, params, real)
        if isinstance(call.layer, _AVERAGING):
            twice = round_integers(real, params)
        else:
            twice = once if multiplier is None else round_two_step(real, multiplier, params)
        if node.output not in self.results:
            self.results[node.output] = LayerParity(call.layer.name, type(call.layer).__name__)
        theirs = theirs.reshape(once.shape)
        self.results[node.output].add(_difference(once, theirs), _difference(twice, theirs))

    def _operator(self, node: Node) -> Node:
        """Return the call whose result a quantizer rounds, past a ReLU fused in between."""
        while isinstance(node.layer, ActivationQuantizer):
            node = self._producers[node.inputs[0]]
        before = self._producers[node.inputs[0]]
        fused = clip_of(node.layer) is not None and isinstance(before.layer, QuantizedWeights)
        return before if fused else node

    def _multiplier(
        self, call: Node, params: QuantParams, real: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        """Return scale_in * scale_weight / scale_out of calls that requantize an integer."""
        scale_in = quantizer_before(self._producers, call).params().scale
        if isinstance(call.layer, QuantizedWeights):
            scale = keras.ops.convert_to_numpy(call.layer.weight_scale()).astype(np.float64)
            multiplier: NDArray[np.float64] = scale.reshape(-1) * scale_in / params.scale
            return multiplier
        if isinstance(call.layer, keras.layers.LeakyReLU):
            slope = np.where(real < 0, float(call.layer.negative_slope), 1.0)
            return slope * scale_in / params.scale
        if isinstance(call.layer, keras.layers.Multiply):
            scales = [quantizer_of(self._producers, t).params().scale for t in call.inputs]
            return np.array(np.prod(scales) / params.scale)
        if isinstance(call.layer, keras.layers.GlobalAveragePooling2D):
            _, height, width, _ = self._graph.shapes[call.inputs[0]]
            return np.array(scale_in / params.scale / (int(height or 1) * int(width or 1)))
        return None


def _difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.int64]:
    return ours.astype(np.int64) - theirs.astype(np.int64)
