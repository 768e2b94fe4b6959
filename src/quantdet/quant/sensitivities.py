"""How far each layer, quantized alone, moves the outputs of a net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.progress import Tick, no_tick
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.noise import decibels, energy, numbers
from quantdet.quant.pair import Pair, Point
from quantdet.quant.tensors import Tensor


@dataclass(frozen=True)
class LayerSensitivity:
    """What one layer's quantization does to the outputs, everything else float.

    Attributes:
        layer: name as in ``analyse.LayerAnalysis``.
        output_sqnr_db: of the outputs; noise / signal is averaged over them.
        share: of the noise that all layers together add, each taken alone; 0 to 1.
    """

    layer: str
    output_sqnr_db: float
    share: float

    def to_dict(self) -> dict[str, object]:
        """Return everything, JSON-ready."""
        return asdict(self)


def sensitivity(
    pair: Pair, batches: Sequence[Tensor], progress: Tick = no_tick
) -> list[LayerSensitivity]:
    """Quantize one layer at a time (weights and output) and look at the outputs.

    The float net runs once a batch; for each layer only what follows from it runs again. All
    tensors of a batch are in memory at once.

    Args:
        pair: the net.
        batches: float32 inputs as the model takes them; a few pictures tell the order.
        progress: called with (done, total) after each layer of each batch.
    """
    names = list(pair.outputs)
    later = [_downstream(pair.graph, point) for point in pair.points]
    noise = np.zeros((len(pair.points), len(names)))
    signal = np.zeros(len(names))
    for number, batch in enumerate(batches):
        exact = pair.run_float(batch)
        wanted = [numbers(exact[pair.outputs[name]]) for name in names]
        signal += [energy(values) for values in wanted]
        for index, point in enumerate(pair.points):
            moved = _quantize_one(pair, point, later[index], exact)
            noise[index] += [
                energy(numbers(moved.get(pair.outputs[name], values)) - values)
                for name, values in zip(names, wanted, strict=True)
            ]
            done = number * len(pair.points) + index + 1
            progress(done, len(batches) * len(pair.points))
    return _result(pair.points, noise, signal)


def _downstream(graph: Graph, point: Point) -> list[Node]:
    """Return the calls that depend on a point, in order."""
    dirty = {point.output}
    found = []
    for node in graph.nodes:
        if not dirty.isdisjoint(node.inputs):
            dirty.add(node.output)
            found.append(node)
    return found


def _quantize_one(
    pair: Pair, point: Point, later: Sequence[Node], exact: dict[int, Tensor]
) -> dict[int, Tensor]:
    """Return the tensors that change if only ``point`` is quantized."""
    moved: dict[int, Tensor] = {}

    def arguments(node: Node) -> list[Tensor]:
        return [moved.get(tensor, exact[tensor]) for tensor in node.inputs]

    for node in point.calls:
        moved[node.output] = call_layer(node.layer, arguments(node))
    for node in later:
        moved[node.output] = pair.call_float(node, arguments(node))
    return moved


def _result(
    points: Sequence[Point], noise: NDArray[np.float64], signal: NDArray[np.float64]
) -> list[LayerSensitivity]:
    relative = (noise / np.where(signal > 0, signal, 1.0)).mean(axis=1)
    total = float(relative.sum()) or 1.0
    return [
        LayerSensitivity(point.name, decibels(1.0, float(value)), float(value) / total)
        for point, value in zip(points, relative, strict=True)
    ]
