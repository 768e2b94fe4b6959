"""A small view of a Keras functional model: a list of layer calls.

Every pass of the engine (fold, prepare, calibrate, export, parity) rewrites this list instead of
Keras' own structures; reader.py makes it. Nested models are flattened, a shared layer appears once
per call.

A tensor id means one value: a pass may drop ids and take new ones, but whatever keeps its id keeps
its value. So each tensor can be compared with that of the model which the user gave.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import keras
from keras.ops import convert_to_numpy as to_numpy

from quantdet.errors import QuantizationError
from quantdet.quant.tensors import Structure, Tensor

Value = TypeVar("Value")


@dataclass(frozen=True)
class Node:
    """One call of a layer: tensor ``output`` = ``layer(inputs)``."""

    layer: keras.Layer
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
        shapes: of each tensor, batch first.
        origins: tensor id → label of the tensor in the given model that it equals
            (``reader.labelled_tensors``).
        divisors: tensor id → what the channels of the given model's tensor are divided by to equal
            it (equalize.py); tensors that are not named are not divided.
    """

    inputs: tuple[int, ...]
    input_templates: tuple[keras.KerasTensor, ...]
    nodes: tuple[Node, ...]
    outputs: Structure
    shapes: Mapping[int, tuple[int | None, ...]] = field(default_factory=dict)
    origins: Mapping[int, str] = field(default_factory=dict)
    divisors: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    @property
    def output_ids(self) -> list[int]:
        """Tensor ids of the model outputs, flat."""
        return list(keras.tree.flatten(self.outputs))

    def producers(self) -> dict[int, Node]:
        """Return tensor id → the call that makes it."""
        return self._producers

    @cached_property
    def _producers(self) -> dict[int, Node]:
        return {node.output: node for node in self.nodes}

    def consumers(self) -> dict[int, list[Node]]:
        """Return tensor id → the calls that read it."""
        return self._consumers

    @cached_property
    def _consumers(self) -> dict[int, list[Node]]:
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
        """Return a tensor id that never was in use: a removed tensor still has its shape."""
        used = [*self.inputs, *self.shapes, *(node.output for node in self.nodes)]
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
        values: Iterable[Value],
        apply: Callable[[Node, list[Value]], Value],
        *,
        forget: bool = False,
    ) -> dict[int, Value]:
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

    def result(self, known: Mapping[int, Value]) -> Structure:
        """Pick the model outputs, in their structure, from what :meth:`run` returned."""
        return keras.tree.map_structure(lambda tensor: known[tensor], self.outputs)


def with_shapes(graph: Graph) -> Graph:
    """Return a graph that knows the shapes of tensors that a pass has added, too."""
    shapes = dict(graph.shapes)
    for node in graph.nodes:
        if node.output not in shapes:
            given = [shapes[tensor] for tensor in node.inputs]
            found = node.layer.compute_output_shape(given[0] if len(given) == 1 else given)
            shapes[node.output] = tuple(found)
    return replace(graph, shapes=shapes)


def call_layer(layer: keras.Layer, arguments: list[Tensor]) -> Tensor:
    """Call ``layer`` the Keras way: one tensor, or a list of several; always inference mode."""
    return layer(arguments[0] if len(arguments) == 1 else arguments)


def clone_layer(layer: keras.Layer, **changes: object) -> keras.Layer:
    """Return an independent copy of a layer in float32, weights included.

    Args:
        layer: a built layer.
        changes: configuration values to replace; they must not change weight shapes.

    Raises:
        QuantizationError: the layer cannot be copied.
    """
    try:
        config = {**layer.get_config(), "dtype": "float32", **changes}
    except NotImplementedError:
        raise QuantizationError(
            f"layer {layer.name!r} ({type(layer).__name__}) does not say how it was made; "
            "implement its get_config"
        ) from None
    if getattr(layer, "quantization_mode", None) is not None:
        raise QuantizationError(
            f"layer {layer.name!r} ({type(layer).__name__}) is quantized by Keras "
            f"({layer.quantization_mode}); give the float model"
        )
    adapted = getattr(layer, "lora_enabled", False)
    if adapted:
        config["lora_rank"] = None
    copy = type(layer).from_config(config)
    if layer.built:
        build = layer.get_build_config()
        if build:
            copy.build_from_config(build)
        # A low-rank adaptation is part of the kernel from here on.
        own = [layer.kernel, *([layer.bias] if layer.use_bias else [])] if adapted else None
        copy.set_weights(layer.get_weights() if own is None else list(map(to_numpy, own)))
        if hasattr(copy, "finalize_state"):
            copy.finalize_state()  # Normalization computes with numbers derived from its weights.
    return copy


def build_model(graph: Graph, name: str) -> keras.Model:
    """Return a Keras functional model that makes the calls of ``graph`` with its layers."""
    # Pixels of any type are taken as float32: the first quantizer rounds them.
    inputs = [
        keras.Input(batch_shape=template.shape, dtype="float32", name=template.name.split(":")[0])
        for template in graph.input_templates
    ]
    known = graph.run(inputs, lambda node, arguments: call_layer(node.layer, arguments))
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], graph.result(known), name=name)


def free_name(name: str, used: Collection[str]) -> str:
    """Return ``name``, numbered if it is among the ``used`` ones."""
    numbered = (f"{name}_{number}" for number in itertools.count(1))
    return next(free for free in itertools.chain([name], numbered) if free not in used)
