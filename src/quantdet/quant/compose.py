"""Write activations that have no integer kernel of their own with those that have one.

    hard_sigmoid(x) = min(max(x / 6 + 1/2, 0), 1): a scale and shift (fold.py), and a clip
    silu(x) = x * sigmoid(x), hard_silu(x) = x * hard_sigmoid(x)

(Howard et al. 2019, arXiv:1905.02244, section 5.2; Ramachandran et al. 2017, arXiv:1710.05941).
Every device that has convolutions can run them, and the simulation knows every rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras

from quantdet.quant.activations import COMPOSED, activation_kind
from quantdet.quant.graph import Graph, Node

_GATES = {"silu": "sigmoid", "hard_silu": "hard_sigmoid"}


def compose_activations(graph: Graph) -> Graph:
    """Replace every activation of ``COMPOSED``."""
    composer = _Composer(graph)
    return graph.rewrite(node for old in graph.nodes for node in composer.compose(old))


class _Composer:
    def __init__(self, graph: Graph) -> None:
        self._fresh = graph.new_tensor()

    def compose(self, node: Node) -> Iterator[Node]:
        kind = activation_kind(node.layer)
        if kind not in COMPOSED:
            yield node
            return
        name = node.layer.name
        if kind == "hard_sigmoid":
            yield from self._hard_sigmoid(node, name)
            return
        gate, gate_name = self._new(), f"{name}_gate"
        function = keras.layers.Activation(_GATES[kind], name=gate_name)
        call = Node(function, node.inputs, gate)
        if kind == "hard_silu":
            yield from self._hard_sigmoid(call, gate_name)
        else:
            yield call
        yield Node(keras.layers.Multiply(name=name), (*node.inputs, gate), node.output)

    def _hard_sigmoid(self, node: Node, name: str) -> Iterator[Node]:
        line = keras.layers.Rescaling(1 / 6, offset=0.5, name=f"{name}_line")
        scaled = self._new()
        yield Node(line, node.inputs, scaled)
        yield Node(keras.layers.ReLU(1.0, name=name), (scaled,), node.output)

    def _new(self) -> int:
        first, self._fresh = self._fresh, self._fresh + 1
        return first
