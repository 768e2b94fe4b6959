"""Tell whether a model is what prepare_qat wants, or what it returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantdet.errors import QuantizationError
from quantdet.quant.graph import Graph, Node
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.ranges import is_tied
from quantdet.quant.reader import check_keras_model, read_graph
from quantdet.quant.rules import rule_for
from quantdet.quant.weighted import WEIGHTED

if TYPE_CHECKING:
    import keras


def check_prepared(model: keras.Model) -> None:
    """Refuse a model that ``prepare_qat`` has not prepared, or not all of.

    Raises:
        QuantizationError: float model, or the layer that was put around a prepared one.
    """
    check_keras_model(model)
    if not any(isinstance(layer, ActivationQuantizer) for layer in model._flatten_layers()):
        raise QuantizationError(
            f"model {model.name!r} computes in float; call prepare_qat(model, calibration) first, "
            "and export what it returns"
        )
    graph = read_graph(model, clone=False)
    outside = _outside(graph)
    if outside is not None:
        raise QuantizationError(
            f"layer {outside.name!r} ({type(outside).__name__}) computes in float: it was added "
            "before or after a prepared model, or the model was cut there; do so with the float "
            "model, and call prepare_qat on the whole"
        )


def _outside(graph: Graph) -> keras.Layer | None:
    """Return a layer that computes in float, None if there is none."""
    producers = graph.producers()
    for node in graph.nodes:
        reads_float = not set(node.inputs).isdisjoint(graph.inputs)
        if reads_float and not isinstance(node.layer, ActivationQuantizer):
            return node.layer
        if isinstance(node.layer, WEIGHTED) and not isinstance(node.layer, QuantizedWeights):
            return node.layer
    for tensor in graph.output_ids:
        node = producers[tensor]
        while _keeps_grid(node):
            node = producers[node.inputs[0]]
        if not isinstance(node.layer, ActivationQuantizer):
            return node.layer
    return None


def _keeps_grid(node: Node) -> bool:
    """Tell whether a call only moves values, so that they stay on the grid of its input."""
    if isinstance(node.layer, ActivationQuantizer):
        return False
    try:
        return bool(is_tied(node) and rule_for(node.layer).exact)
    except QuantizationError:  # of no known layer
        return False
