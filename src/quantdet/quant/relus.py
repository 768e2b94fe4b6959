"""Move ReLUs to where an operator computes them along with its result."""

from __future__ import annotations

import math

import keras

from quantdet.quant.activations import activation_kind
from quantdet.quant.graph import Graph, Node
from quantdet.quant.primitives import Reduce
from quantdet.quant.rules import AFFINE, CLIPS, rule_for
from quantdet.quant.weighted import WEIGHTED


def relus_before_moves(graph: Graph) -> Graph:
    """Swap a ReLU with a layer before it that only moves values, so that a kernel can fuse it.

    Max pooling, padding with zeros, reshape: the largest, or a moved, value is cut all the same.
    """
    nodes = list(graph.nodes)
    for place, node in enumerate(nodes):
        reader = graph.only_consumer(node.output)
        if reader is None or not _is_relu(reader.layer) or not moves_one(node):
            continue
        fresh = graph.new_tensor()
        nodes[place] = Node(reader.layer, node.inputs, fresh)
        nodes[nodes.index(reader)] = Node(node.layer, (fresh,), reader.output)
        return relus_before_moves(graph.rewrite(nodes))
    return graph


def moves_one(node: Node) -> bool:
    """Tell whether a call only moves, or picks, values of one tensor (no smallest ones)."""
    layer = node.layer
    if len(node.inputs) > 1 or isinstance(layer, WEIGHTED) or type(layer) in AFFINE:
        return False
    kind = activation_kind(layer)
    if kind is not None or isinstance(layer, keras.layers.SeparableConv2D):
        return False
    rule = rule_for(layer)
    return rule.exact and not _takes_smallest(layer)


def _takes_smallest(layer: keras.Layer) -> bool:
    return isinstance(layer, Reduce) and layer.function == "min"


def merge_relus(graph: Graph) -> Graph:
    """Write two ReLUs, one behind the other, as the one with the lower end."""
    for node in graph.nodes:
        reader = graph.only_consumer(node.output)
        if _is_relu(node.layer) and reader is not None and _is_relu(reader.layer):
            kept = min(node.layer, reader.layer, key=_upper_end)
            nodes = [
                Node(kept, node.inputs, reader.output) if other is reader else other
                for other in graph.nodes
                if other is not node
            ]
            return merge_relus(graph.rewrite(nodes))
    return graph


def _is_relu(layer: keras.Layer) -> bool:
    return activation_kind(layer) in CLIPS


def _upper_end(layer: keras.Layer) -> float:
    upper = CLIPS[activation_kind(layer) or ""][1]
    return math.inf if upper is None else upper
