"""Read a Keras model as the calls of layers that have an integer form.

What Keras has as one layer and integer hardware as several operators (attention, normalization of
layers, an own layer with inner layers, a bare operation) is taken apart (take_apart.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from quantdet.errors import QuantizationError
from quantdet.quant.equivalents import EQUIVALENTS
from quantdet.quant.graph import Graph, Node, clone_layer
from quantdet.quant.layers import QUANTIZED_LAYERS, ActivationQuantizer
from quantdet.quant.rules import IDENTITIES, JOINING, check_options, describe, is_known
from quantdet.quant.take_apart import given_tensors, has_own_activation, take_apart
from quantdet.quant.tensors import Shape, Structure

if TYPE_CHECKING:
    from keras.src.ops.node import Node as Call


def read_graph(model: keras.Model, *, clone: bool = True) -> Graph:
    """Read a functional (or sequential) Keras model.

    Args:
        model: the model; it is not changed.
        clone: copy every layer, so that the graph may be rewritten and rebuilt, and take apart
            what is no operator. Without, the calls are those of the model itself.

    Raises:
        QuantizationError: the model is not functional, or a layer cannot be read; the message
            names it.
    """
    functional = functional_form(model)
    reader = _Reader(clone, labelled_tensors(functional))
    inputs = [reader.new_tensor(tensor) for tensor in functional.inputs]
    outputs = reader.read(functional, inputs)
    return Graph(
        tuple(inputs),
        tuple(functional.inputs),
        tuple(reader.nodes),
        outputs,
        reader.shapes,
        reader.origins,
    )


def check_keras_model(model: object) -> None:
    """Refuse what is no Keras model.

    Raises:
        QuantizationError: what came instead, and the remedy.
    """
    if isinstance(model, keras.Model):
        return
    if isinstance(model, str | Path):
        raise QuantizationError(
            f"expected a Keras model, not a file name; load it: "
            f"keras.saving.load_model({str(model)!r})"
        )
    raise QuantizationError(
        f"expected a Keras 3 model, not a {type(model).__name__} of module {type(model).__module__}"
    )


def functional_form(model: keras.Model) -> keras.Model:
    """Return the functional Keras model behind a sequential or functional one.

    Raises:
        QuantizationError: there is none; the message says what to do.
    """
    check_keras_model(model)
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise QuantizationError(
                f"model {model.name!r} is not built; give it an Input layer or call it once"
            )
        model = model._functional
    if not hasattr(model, "_nodes_by_depth"):
        raise QuantizationError(
            f"model {model.name!r} is a {type(model).__name__}, not a functional Keras model; "
            "rebuild it with keras.Input and layer calls: "
            "x = keras.Input(shape); keras.Model(x, model.call(x))"
        )
    return model


def labelled_tensors(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Return label → symbolic tensor of every call in a functional model, in order.

    A label is the name of the layer, numbered from its second tensor on: "conv", "conv#2". It
    stays the same when the model is saved and loaded.
    """
    model = functional_form(model)
    found: dict[str, keras.KerasTensor] = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for call in model._nodes_by_depth[depth]:
            for symbol in call.outputs:
                name, number = call.operation.name, 1
                label = name
                while label in found:
                    number += 1
                    label = f"{name}#{number}"
                found[label] = symbol
    return found


class _Reader:
    """Walks a model, the models nested in it, and what layers are made of."""

    def __init__(self, clone: bool, labels: dict[str, keras.KerasTensor]) -> None:
        self.nodes: list[Node] = []
        self.shapes: dict[int, Shape] = {}
        self.origins: dict[int, str] = {}
        self._clone = clone
        self._labels = {id(symbol): label for label, symbol in labels.items()}
        # (operation, shapes of its inputs) → the model that takes its place; the values also keep
        # the operations alive: an id would be used again.
        self._parts: dict[tuple[int, tuple[Shape, ...]], tuple[Call, keras.Model]] = {}
        self._layers: dict[keras.Layer, keras.Layer] = {}
        self._depth = 0

    def new_tensor(self, symbol: keras.KerasTensor, shape: Shape | None = None) -> int:
        tensor = len(self.shapes)
        self.shapes[tensor] = tuple(symbol.shape if shape is None else shape)
        self._label(symbol, tensor)
        return tensor

    def _label(self, symbol: keras.KerasTensor, tensor: int) -> None:
        if id(symbol) in self._labels:
            self.origins.setdefault(tensor, self._labels[id(symbol)])

    def read(self, model: keras.Model, inputs: Sequence[int]) -> Structure:
        known = {id(symbol): tensor for symbol, tensor in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for call in model._nodes_by_depth[depth]:
                if not call.is_input:
                    self._read_call(call, known)
        return keras.tree.map_structure(lambda symbol: known[id(symbol)], model._outputs_struct)

    def _read_call(self, call: Call, known: dict[int, int]) -> None:
        operator = not self._clone or self._is_operator(call)
        symbols = call.arguments.keras_tensors if operator else given_tensors(call)
        arguments = [known[id(symbol)] for symbol in symbols]
        if isinstance(call.operation, keras.Model) and hasattr(call.operation, "_nodes_by_depth"):
            outputs = self.read(call.operation, arguments)
        elif isinstance(call.operation, keras.Sequential):
            outputs = self.read(functional_form(call.operation), arguments)
        elif operator:
            outputs = self._call(call, arguments)
        else:
            outputs = self._read_parts(call, arguments)
        for symbol, tensor in zip(call.outputs, keras.tree.flatten(outputs), strict=True):
            known[id(symbol)] = tensor
            self._label(symbol, tensor)

    def _is_operator(self, call: Call) -> bool:
        """Tell layers that are taken as they are from those that are taken apart."""
        layer = call.operation
        if type(layer) in EQUIVALENTS or has_own_activation(layer):
            return False
        if type(layer) in JOINING and not _joins_two(call):
            return False
        return is_known(layer) or type(layer) in (ActivationQuantizer, *QUANTIZED_LAYERS.values())

    def _call(self, call: Call, arguments: list[int]) -> int:
        layer, (symbol, *more) = call.operation, call.outputs
        if more:
            raise QuantizationError(f"{describe(layer)} has {1 + len(more)} outputs")
        _refuse_options(call)
        if self._clone:
            check_options(layer)
        shape = tuple(symbol.shape)
        shapes = [self.shapes[tensor] for tensor in arguments]
        # A nested model keeps the shapes that it was built with.
        if isinstance(layer, keras.layers.Layer) and shapes != _shapes_when_built(call):
            shape = tuple(layer.compute_output_shape(shapes[0] if len(shapes) == 1 else shapes))
        output = self.new_tensor(symbol, shape)
        self.nodes.append(Node(self._own(layer), tuple(arguments), output))
        return output

    def _own(self, layer: keras.Layer) -> keras.Layer:
        if not self._clone or not isinstance(layer, keras.layers.Layer):
            return layer
        if layer not in self._layers:
            # Identities need no copy of their own, and some cannot be copied.
            nothing = type(layer) in IDENTITIES
            copy = keras.layers.Identity(name=layer.name) if nothing else clone_layer(layer)
            self._layers[layer] = copy
        return self._layers[layer]

    def _read_parts(self, call: Call, arguments: list[int]) -> Structure:
        operation = call.operation
        shapes = tuple(self.shapes[tensor] for tensor in arguments)
        key = (id(operation) if isinstance(operation, keras.layers.Layer) else id(call), shapes)
        first = key not in self._parts
        if first:
            self._parts[key] = (call, take_apart(call, shapes))
        start = len(self.nodes)
        self._depth += 1
        with _owner_named(operation):
            outputs = self.read(self._parts[key][1], arguments)
        self._depth -= 1
        if first and not has_own_activation(operation):
            self._name_parts(call, self.nodes[start:])
        return outputs

    def _name_parts(self, call: Call, nodes: Sequence[Node]) -> None:
        """Name the last part after the operation, the others after it and what they are."""
        owner = call.operation.name
        if self._depth and not isinstance(call.operation, keras.layers.Layer):
            # Keras numbers bare operations through the session; names shall not depend on that.
            owner = _snake(type(call.operation).__name__)
        trainable = getattr(call.operation, "trainable", True)
        layers = list(dict.fromkeys(node.layer for node in nodes))
        for layer in layers:
            part = _plain_name(layer)
            if not part.startswith(f"{owner}_"):
                layer.name = owner if layer is layers[-1] else f"{owner}_{part}"
            if not trainable:
                layer.trainable = False


def _plain_name(layer: keras.Layer) -> str:
    kind = _snake(type(layer).__name__)
    return kind if re.fullmatch(rf"{kind}(_\d+)?", layer.name) else str(layer.name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _shapes_when_built(call: Call) -> list[Shape]:
    return [tuple(symbol.shape) for symbol in call.arguments.keras_tensors]


def _joins_two(call: Call) -> bool:
    tensors = call.arguments.keras_tensors
    return len(tensors) == 2 and len({len(tensor.shape) for tensor in tensors}) == 1


def _refuse_options(call: Call) -> None:
    """A layer that is taken as it is may be given tensors only."""
    if not isinstance(call.operation, keras.layers.Layer):
        return
    # "training" is not looked at: model.predict, and a device, compute what inference computes.
    options = {key: value for key, value in call.arguments.kwargs.items() if key != "training"}
    given = [*call.arguments.args, *options.values()]
    values = [v for v in keras.tree.flatten(given) if v is not None and v is not False]
    if any(not isinstance(value, keras.KerasTensor) for value in values):
        raise QuantizationError(
            f"{describe(call.operation)} is called with options {options}; only "
            "tensors are supported"
        )


@contextmanager
def _owner_named(operation: keras.Operation) -> Iterator[None]:
    """Say of a refused part which layer of the given model it belongs to."""
    try:
        yield
    except QuantizationError as error:
        if operation.name in str(error):
            raise
        raise QuantizationError(f"{describe(operation)}: {error}") from None
