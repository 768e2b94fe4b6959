"""Decide which tensors share a range, have a fixed one, or need none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantdet.errors import QuantizationError
from quantdet.quant.activations import activation_kind
from quantdet.quant.affine import affine_layer
from quantdet.quant.graph import Graph, Node
from quantdet.quant.rules import CLIPS, Clip, Range, rule_for

# LiteRT's integer sigmoid and softmax kernels accept only this output range (1/256 steps).
UNIT_RANGE = (0.0, 255.0 / 256.0)
# And its tanh kernel only this one (1/128 steps).
SIGNED_UNIT_RANGE = (-1.0, 127.0 / 128.0)
# All its int16 kernels have 1/32768 steps.
_INT16_RANGE = (-32767.0 / 32768.0, 32767.0 / 32768.0)
_BY_NATURE = {
    8: {Range.UNIT: UNIT_RANGE, Range.SIGNED_UNIT: SIGNED_UNIT_RANGE},
    16: {Range.UNIT: _INT16_RANGE, Range.SIGNED_UNIT: _INT16_RANGE},
}


@dataclass(frozen=True)
class KnownRanges:
    """What is known before calibration.

    Attributes:
        inputs: real range of the model inputs, or input name → range of some; None if it has
            to be calibrated.
        bits: width of the activations, 8 or 16.
    """

    inputs: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None
    bits: int = 8


@dataclass(frozen=True)
class RangePlan:
    """Where the ranges of a graph's tensors come from.

    Attributes:
        fixed: tensor → (minimum, maximum) given by its nature: pixels, sigmoid, softmax.
        unquantized: results read only by the ReLU behind them; the kernels fuse both.
        clips: group → (lower, upper) when every computed tensor of the group is a ReLU of
            that kind. Then the range itself clips, and the ReLU need not be computed.
    """

    fixed: dict[int, tuple[float, float]]
    unquantized: frozenset[int]
    clips: dict[int, Clip]
    _parents: dict[int, int] = field(default_factory=dict)

    def group(self, tensor: int) -> int:
        """Return the group of a tensor; tensors of one group share one range."""
        return _find(self._parents, tensor)


def separate_fixed(graph: Graph, known: KnownRanges) -> Graph:
    """Give tensors of fixed range a free copy where they meet others in a tied layer.

    The copy is a 1x1 depthwise convolution with kernel 1: LiteRT's converter has no other
    way to requantize that stays integer.

    Raises:
        QuantizationError: such a tensor is not a picture (4 axes).
    """
    fixed = _fixed_by_nature(graph, known)
    _tie(graph, fixed)
    nodes: list[Node] = []
    fresh = graph.new_tensor()
    for node in graph.nodes:
        inputs = list(node.inputs)
        if is_tied(node) and node.output not in fixed:
            for position, tensor in enumerate(inputs):
                if tensor in fixed:
                    name = f"{node.layer.name}_requantize_{position}"
                    nodes.append(Node(_copying_layer(graph, tensor, name), (tensor,), fresh))
                    inputs[position] = fresh
                    fresh += 1
        nodes.append(Node(node.layer, tuple(inputs), node.output))
    return graph.rewrite(nodes)


def _copying_layer(graph: Graph, tensor: int, name: str) -> Any:
    shape = graph.shapes[tensor]
    if len(shape) != 4:
        raise QuantizationError(
            f"layer {name.rsplit('_requantize_', 1)[0]!r} joins a sigmoid, softmax or input of "
            "fixed range with other vectors; join them before the activation instead"
        )
    ones = np.ones(int(shape[-1] or 0))
    return affine_layer(name, shape, ones, 0 * ones)


def _fixed_by_nature(graph: Graph, known: KnownRanges) -> dict[int, tuple[float, float]]:
    by_nature = _BY_NATURE[known.bits]
    origins = {node.output: _origin(node) for node in graph.nodes}
    fixed = {t: by_nature[origin] for t, origin in origins.items() if origin in by_nature}
    for tensor, template in zip(graph.inputs, graph.input_templates, strict=True):
        name = template.name.split(":")[0]
        ends = known.inputs.get(name) if isinstance(known.inputs, Mapping) else known.inputs
        if ends is not None:
            fixed[tensor] = ends
    return fixed


def plan_ranges(graph: Graph, known: KnownRanges) -> RangePlan:
    """Plan the ranges of a simplified graph.

    Args:
        graph: after ``fold.simplify`` and :func:`separate_fixed`.
        known: ranges known beforehand.
    """
    fixed = _fixed_by_nature(graph, known)
    parents = _tie(graph, fixed)
    unquantized = frozenset(_fused_with_relu(graph))
    clips = _common_clips(graph, parents, unquantized)
    return RangePlan(fixed, unquantized, clips, parents)


def is_tied(node: Node) -> bool:
    """Tell whether the integer kernel wants one range for all inputs and the output."""
    return _origin(node) is Range.INPUT


def clip_of(layer: Any) -> Clip | None:
    """Return (lower, upper) of a ReLU or ReLU6, None for other layers."""
    return CLIPS.get(activation_kind(layer) or "")


def _origin(node: Node) -> Range:
    return rule_for(node.layer).range


def _find(parents: dict[int, int], tensor: int) -> int:
    while parents.get(tensor, tensor) != tensor:
        tensor = parents[tensor]
    return tensor


def _tie(graph: Graph, fixed: dict[int, tuple[float, float]]) -> dict[int, int]:
    """Union-find over tied tensors; extends ``fixed`` through layers that only move values."""
    parents: dict[int, int] = {}
    for node in filter(is_tied, graph.nodes):
        free = [tensor for tensor in node.inputs if tensor not in fixed]
        ranges = {fixed[tensor] for tensor in node.inputs if tensor in fixed}
        if not free and len(ranges) == 1:
            fixed[node.output] = ranges.pop()
        for tensor in free:
            parents[_find(parents, tensor)] = _find(parents, node.output)
    return parents


def _fused_with_relu(graph: Graph) -> list[int]:
    producers = graph.producers()
    found = []
    for node in graph.nodes:
        before = producers.get(node.inputs[0])
        if (
            clip_of(node.layer) is not None
            and before is not None
            and _origin(before) is Range.OWN
            and activation_kind(before.layer) is None
            and graph.only_consumer(before.output) is not None
        ):
            found.append(before.output)
    return found


def _common_clips(
    graph: Graph, parents: dict[int, int], unquantized: frozenset[int]
) -> dict[int, Clip]:
    seen: dict[int, set[Clip | None]] = {}
    for tensor in graph.inputs:
        seen.setdefault(_find(parents, tensor), set()).add(None)
    for node in graph.nodes:
        if not is_tied(node) and node.output not in unquantized:
            seen.setdefault(_find(parents, node.output), set()).add(clip_of(node.layer))
    common = {group: clips.pop() for group, clips in seen.items() if len(clips) == 1}
    return {group: clip for group, clip in common.items() if clip is not None}
