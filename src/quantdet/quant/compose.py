"""Write activations that have no integer kernel of their own with those that have one.

    hard_sigmoid(x) = min(max(x / 6 + 1/2, 0), 1): a 1x1 depthwise convolution and a clip
    silu(x) = x * sigmoid(x), hard_silu(x) = x * hard_sigmoid(x)

(Howard et al. 2019, arXiv:1905.02244, section 5.2; Ramachandran et al. 2017, arXiv:1710.05941).
Every device that has convolutions can run them, and the simulation knows every rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from quantdet.quant.activations import COMPOSED, activation_kind
from quantdet.quant.affine import Shape, affine_layer, picture_calls
from quantdet.quant.graph import Graph, Node

_GATES = {"silu": "sigmoid", "hard_silu": "hard_sigmoid"}


def compose_activations(graph: Graph) -> Graph:
    """Replace every activation of ``COMPOSED``."""
    composer = _Composer(graph)
    return graph.rewrite(node for old in graph.nodes for node in composer.compose(old))


class _Composer:
    def __init__(self, graph: Graph) -> None:
        self._shapes = graph.shapes
        self._fresh = graph.new_tensor()

    def compose(self, node: Node) -> Iterator[Node]:
        kind = activation_kind(node.layer)
        if kind not in COMPOSED:
            yield node
            return
        name, shape = node.layer.name, self._shapes[node.output]
        if kind == "hard_sigmoid":
            yield from self._hard_sigmoid(node, name, shape)
            return
        gate, gate_name = self._new(), f"{name}_gate"
        function = keras.layers.Activation(_GATES[kind], name=gate_name)
        call = Node(function, node.inputs, gate)
        if kind == "hard_silu":
            yield from self._hard_sigmoid(call, gate_name, shape)
        else:
            yield call
        yield Node(keras.layers.Multiply(name=name), (*node.inputs, gate), node.output)

    def _hard_sigmoid(self, node: Node, name: str, shape: Shape) -> Iterator[Node]:
        line = affine_layer(f"{name}_line", shape, np.array(1 / 6), np.array(0.5))
        clip = keras.layers.ReLU(1.0, name=name)
        yield from picture_calls([line, clip], (node.inputs, node.output), shape, self._new(3))

    def _new(self, count: int = 1) -> int:
        first, self._fresh = self._fresh, self._fresh + count
        return first
