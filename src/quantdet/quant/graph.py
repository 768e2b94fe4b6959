"""A small view of a Keras functional model: a list of layer calls.

Every pass of the engine (fold, prepare, calibrate, export, parity) reads or rewrites this
list instead of Keras' own structures. Nested models are flattened, a shared layer appears once
per call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras

from quantdet.errors import QuantizationError
from quantdet.quant.equivalents import EQUIVALENTS
from quantdet.quant.operations import as_layer


@dataclass(frozen=True)
class Node:
    """One call of a layer: tensor ``output`` = ``layer(inputs)``."""

    layer: Any
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Graph:
    """Layer calls in execution order.

    Attributes:
        inputs: tensor ids of the model inputs.
        input_templates: the Keras symbolic inputs they stand for (shape, dtype, name).
        nodes: calls, each after the calls that it depends on.
        outputs: tensor ids in the structure (dict, list or single id) of the model outputs.
    """

    inputs: tuple[int, ...]
    input_templates: tuple[Any, ...]
    nodes: tuple[Node, ...]
    outputs: Any
    shapes: Mapping[int, tuple[int | None, ...]] = field(default_factory=dict)

    @property
    def output_ids(self) -> list[int]:
        """Tensor ids of the model outputs, flat."""
        return list(keras.tree.flatten(self.outputs))

    def producers(self) -> dict[int, Node]:
        """Return tensor id → the call that makes it."""
        return {node.output: node for node in self.nodes}

    def consumers(self) -> dict[int, list[Node]]:
        """Return tensor id → the calls that read it."""
        found: dict[int, list[Node]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                found.setdefault(tensor, []).append(node)
        return found

    def only_consumer(self, tensor: int) -> Node | None:
        """Return the single call that reads ``tensor``; None if others, or the caller, do too."""
        readers = self.consumers().get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self.output_ids else None

    def new_tensor(self) -> int:
        """Return a tensor id that is not in use."""
        used = [*self.inputs, *(node.output for node in self.nodes)]
        return max(used) + 1

    def rewrite(self, nodes: Iterable[Node], renamed: Mapping[int, int] | None = None) -> Graph:
        """Return a graph with other calls; ``renamed`` maps removed tensors to their stand-ins."""
        names = dict(renamed or {})

        def resolve(tensor: int) -> int:
            while tensor in names:
                tensor = names[tensor]
            return tensor

        moved = tuple(
            replace(node, inputs=tuple(resolve(tensor) for tensor in node.inputs)) for node in nodes
        )
        outputs = keras.tree.map_structure(resolve, self.outputs)
        return replace(self, nodes=moved, outputs=outputs)

    def run(
        self,
        values: Iterable[Any],
        apply: Callable[[Node, list[Any]], Any],
        *,
        forget: bool = False,
    ) -> dict[int, Any]:
        """Evaluate the calls with ``apply(node, arguments)``; return every tensor by id.

        Args:
            values: of the model inputs.
            apply: evaluates one call.
            forget: drop tensors once nothing reads them; those that nothing reads remain.
        """
        known = dict(zip(self.inputs, values, strict=True))
        done_with = self._last_read() if forget else {}
        for node in self.nodes:
            known[node.output] = apply(node, [known[tensor] for tensor in node.inputs])
            for tensor in done_with.get(node.output, ()):
                del known[tensor]
        return known

    def _last_read(self) -> dict[int, list[int]]:
        """Return output of a call → the tensors that no later call and no caller reads."""
        found: dict[int, list[int]] = {}
        for tensor, readers in self.consumers().items():
            if tensor not in self.output_ids:
                found.setdefault(readers[-1].output, []).append(tensor)
        return found

    def result(self, known: Mapping[int, Any]) -> Any:
        """Pick the model outputs, in their structure, from what :meth:`run` returned."""
        return keras.tree.map_structure(lambda tensor: known[tensor], self.outputs)


def call_layer(layer: Any, arguments: list[Any]) -> Any:
    """Call ``layer`` the Keras way: one tensor, or a list of several; always inference mode."""
    return layer(arguments[0] if len(arguments) == 1 else arguments)


def clone_layer(layer: Any, **changes: Any) -> Any:
    """Return an independent copy of a layer, weights included.

    Args:
        layer: a built layer.
        changes: configuration values to replace; they must not change weight shapes.
    """
    copy = type(layer).from_config({**layer.get_config(), **changes})
    if layer.built:
        build = layer.get_build_config()
        if build:
            copy.build_from_config(build)
        copy.set_weights(layer.get_weights())
    return copy


def read_graph(model: Any, *, clone: bool = True) -> Graph:
    """Read a functional (or sequential) Keras model.

    Args:
        model: the model; it is not changed.
        clone: copy every layer, so that the graph may be rewritten and rebuilt.

    Raises:
        QuantizationError: the model is not functional, or a layer has several outputs.
    """
    functional = _functional(model)
    reader = _Reader(clone)
    inputs = [reader.new_tensor(tensor.shape) for tensor in functional.inputs]
    outputs = reader.read(functional, inputs)
    return Graph(
        tuple(inputs), tuple(functional.inputs), tuple(reader.nodes), outputs, reader.shapes
    )


def build_model(graph: Graph, name: str) -> Any:
    """Return a Keras functional model that makes the calls of ``graph`` with its layers."""
    inputs = [
        keras.Input(
            batch_shape=template.shape, dtype=template.dtype, name=template.name.split(":")[0]
        )
        for template in graph.input_templates
    ]
    known = graph.run(inputs, lambda node, arguments: call_layer(node.layer, arguments))
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], graph.result(known), name=name)


def _functional(model: Any) -> Any:
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise QuantizationError(
                f"model {model.name!r} is not built; give it an Input layer or call it once"
            )
        model = model._functional
    if not hasattr(model, "_nodes_by_depth"):
        raise QuantizationError(
            f"model {model.name!r} is a {type(model).__name__}, not a functional Keras model; "
            "rebuild it with keras.Input and layer calls"
        )
    return model


class _Reader:
    """Walks a model and the models nested in it."""

    def __init__(self, clone: bool) -> None:
        self.nodes: list[Node] = []
        self.shapes: dict[int, tuple[int | None, ...]] = {}
        self._clone = clone
        self._equivalents: dict[int, Any] = {}
        # The keys keep layers alive that stand for bare operations: an id would be used again.
        self._layers: dict[Any, Any] = {}

    def new_tensor(self, shape: tuple[int | None, ...]) -> int:
        tensor = len(self.shapes)
        self.shapes[tensor] = tuple(shape)
        return tensor

    def read(self, model: Any, inputs: list[int]) -> Any:
        known = {id(symbol): tensor for symbol, tensor in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for call in model._nodes_by_depth[depth]:
                if not call.is_input:
                    self._read_call(call, known)
        return keras.tree.map_structure(lambda symbol: known[id(symbol)], model._outputs_struct)

    def _read_call(self, call: Any, known: dict[int, int]) -> None:
        layer = self._stand_in(call)
        arguments = [known[id(symbol)] for symbol in call.arguments.keras_tensors]
        if isinstance(layer, keras.Model):
            outputs = keras.tree.flatten(self.read(_functional(layer), arguments))
            known.update(
                (id(symbol), tensor) for symbol, tensor in zip(call.outputs, outputs, strict=True)
            )
            return
        if len(call.outputs) != 1:
            raise QuantizationError(
                f"layer {layer.name!r} ({type(layer).__name__}) has {len(call.outputs)} outputs; "
                "only layers with one output are supported"
            )
        output = self.new_tensor(call.outputs[0].shape)
        known[id(call.outputs[0])] = output
        self.nodes.append(Node(self._own(as_layer(call)), tuple(arguments), output))

    def _stand_in(self, call: Any) -> Any:
        layer = call.operation
        build = EQUIVALENTS.get(type(layer))
        if build is None:
            return layer
        if id(layer) not in self._equivalents:
            shape = call.arguments.keras_tensors[0].shape
            self._equivalents[id(layer)] = build(layer, tuple(shape))
        return self._equivalents[id(layer)]

    def _own(self, layer: Any) -> Any:
        if not self._clone or not isinstance(layer, keras.layers.Layer):
            return layer
        if layer not in self._layers:
            self._layers[layer] = clone_layer(layer)
        return self._layers[layer]
