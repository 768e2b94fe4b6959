"""Decide which tensors share a range, have a fixed one, or need none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import keras
import numpy as np

from quantdet.errors import QuantizationError
from quantdet.quant import primitives
from quantdet.quant.activations import activation_kind
from quantdet.quant.affine import affine_layer, picture_calls
from quantdet.quant.graph import Graph, Node, free_name
from quantdet.quant.primitives import TABULATED, Unary
from quantdet.quant.relus import moves_one
from quantdet.quant.rules import CLIPS, Clip, Range, describe, rule_for

# Layers whose operators have a place for a ReLU.
_FUSING = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
)

# LiteRT's integer sigmoid and softmax kernels accept only this output range (1/256 steps).
UNIT_RANGE = (0.0, 255.0 / 256.0)
# And its tanh kernel only this one (1/128 steps).
SIGNED_UNIT_RANGE = (-1.0, 127.0 / 128.0)
# All its int16 kernels have 1/32768 steps.
_INT16_RANGE = (-32767.0 / 32768.0, 32767.0 / 32768.0)
_BY_NATURE = {
    8: {
        Range.UNIT: UNIT_RANGE,
        Range.SIGNED_UNIT: SIGNED_UNIT_RANGE,
        Range.TRUTH: (0.0, 1.0),
    },
    16: {
        Range.UNIT: _INT16_RANGE,
        Range.SIGNED_UNIT: _INT16_RANGE,
        Range.TRUTH: (-1.0, 1.0),
    },
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
    """Give tensors a free copy where integer kernels need one.

    A tensor of fixed range is copied where it meets others in a tied layer. A tensor that has a
    grid already is copied before a Clip, and before a ReLU that the converter would fuse with an
    operator that has one grid for input and output. An output may have to be another tensor than
    what is read. The copy is a 1x1 depthwise convolution with kernel 1: LiteRT's converter has no
    other way to requantize that stays integer.
    """
    fixed = _fixed_by_nature(graph, known)
    _tie(graph, fixed)
    copier = _Copier(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = list(node.inputs)
        if is_tied(node) and node.output not in fixed:
            for position, tensor in enumerate(inputs):
                if tensor in fixed:
                    inputs[position] = copier.copy(
                        tensor, f"{node.layer.name}_requantize_{position}"
                    )
        elif clip_of(node.layer) is not None and not _has_operator(graph, node):
            inputs = [copier.copy(inputs[0], f"{node.layer.name}_requantize")]
        nodes += copier.take()
        nodes.append(Node(node.layer, tuple(inputs), node.output))
    copies = {
        tensor: copier.copy(tensor, f"{name}_copy")
        for tensor, name in _shared_outputs(graph).items()
    }
    outputs = keras.tree.map_structure(lambda tensor: copies.get(tensor, tensor), graph.outputs)
    return replace(graph.rewrite([*nodes, *copier.take()]), outputs=outputs)


def _shared_outputs(graph: Graph) -> dict[int, str]:
    """Return each output that the converter would give two types → name of what it is.

    An input; what a function by table reads; what one makes, where others read it. Each also behind
    moves, which the converter takes out where they change nothing.
    """
    producers = graph.producers()
    names = {
        tensor: template.name
        for tensor, template in zip(graph.inputs, graph.input_templates, strict=True)
    }
    sources = _before_moves(graph)
    read = {sources[tensor] for node in graph.nodes for tensor in node.inputs}
    by_table = {sources[node.inputs[0]] for node in graph.nodes if _is_table(node)}
    found = {}
    for tensor in dict.fromkeys(graph.output_ids):
        source = sources[tensor]
        if source in names:
            found[tensor] = names[source]
        elif source in by_table or (source in read and _is_table(producers[source])):
            found[tensor] = producers[source].layer.name
    return found


def _before_moves(graph: Graph) -> dict[int, int]:
    """Return tensor → the first one of its shape that moves make it from, or itself."""
    firsts = {tensor: {shape: tensor} for tensor, shape in graph.shapes.items()}
    for node in graph.nodes:
        if moves_one(node):
            firsts[node.output] |= firsts[node.inputs[0]]
    return {tensor: firsts[tensor][shape] for tensor, shape in graph.shapes.items()}


def _is_table(node: Node) -> bool:
    return isinstance(node.layer, Unary) and node.layer.function in TABULATED


class _Copier:
    """Makes calls that copy a tensor to a grid of its own."""

    def __init__(self, graph: Graph) -> None:
        self._shapes = graph.shapes
        self._fresh = graph.new_tensor()
        self._names = {node.layer.name for node in graph.nodes}
        self._nodes: list[Node] = []

    def copy(self, tensor: int, name: str) -> int:
        """Return the copy of a tensor."""
        shape = self._shapes[tensor]
        ones = np.ones(int(shape[-1] or 0))
        # A layer that is called twice may want two copies.
        name = free_name(name, self._names)
        self._names.add(name)
        layer = affine_layer(name, shape, ones, 0 * ones)
        output = self._fresh
        self._nodes += picture_calls([layer], ((tensor,), output), shape, output + 1)
        self._fresh += 3
        return output

    def take(self) -> list[Node]:
        """Return the calls made since the last time."""
        made, self._nodes = self._nodes, []
        return made


def _fixed_by_nature(graph: Graph, known: KnownRanges) -> dict[int, tuple[float, float]]:
    by_nature = _BY_NATURE[known.bits]
    origins = {node.output: _origin(node) for node in graph.nodes}
    fixed = {t: by_nature[origin] for t, origin in origins.items() if origin in by_nature}
    for node in graph.nodes:
        if origins[node.output] is Range.CLIP:
            fixed[node.output] = _clip_range(node.layer, known.bits)
    for tensor, template in zip(graph.inputs, graph.input_templates, strict=True):
        name = template.name.split(":")[0]
        ends = known.inputs.get(name) if isinstance(known.inputs, Mapping) else known.inputs
        if ends is not None:
            fixed[tensor] = ends
    return fixed


def _clip_range(layer: keras.Layer, bits: int) -> tuple[float, float]:
    lower, upper = clip_of(layer) or (0.0, None)
    if bits == 16 and lower == 0.0:
        # The symmetric integers end at the upper end; the operator cuts at 0.
        return -(upper or 0.0), upper or 0.0
    if bits == 16 and lower != -(upper or 0.0):
        raise QuantizationError(
            f"{describe(layer)} clips to [{lower:g}, {upper:g}]; 16 bit integers are "
            "symmetric and cannot: use recipe static_wi8_ai8"
        )
    return lower, upper or 0.0


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


def clip_of(layer: keras.Layer) -> Clip | None:
    """Return (lower, upper) of a ReLU, ReLU6 or Clip, None for other layers."""
    if type(layer) is primitives.Clip:
        return layer.lower, layer.upper
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
    return [
        node.inputs[0]
        for node in graph.nodes
        if clip_of(node.layer) is not None and _fuses(graph, node)
    ]


def _fuses(graph: Graph, node: Node) -> bool:
    """Tell whether a ReLU is computed by the operator before it, whose result has no other use."""
    before = graph.producers().get(node.inputs[0])
    return (
        before is not None
        and type(before.layer) in _FUSING
        and graph.only_consumer(before.output) is not None
    )


def _has_operator(graph: Graph, node: Node) -> bool:
    """Tell whether some operator computes a ReLU: the one before it, or one of its own."""
    if _fuses(graph, node):
        return True
    before = graph.producers().get(node.inputs[0])
    if activation_kind(node.layer) != "relu":
        return False  # LiteRT has no operator for most; TFLite-Micro's RELU6 does not requantize.
    return before is None or (
        _origin(before) is Range.OWN and activation_kind(before.layer) is None
    )


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
