"""A fake-quantized model and the float function that it simulates, call by call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from quantdet.errors import QuantizationError
from quantdet.quant.calibrate import call_float, quantizer_of
from quantdet.quant.fold import dense_as_convolution, simplify
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.judge import GivenModel, GivenValues, named_outputs
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.ranges import clip_of
from quantdet.quant.reader import read_graph
from quantdet.quant.rules import rule_for
from quantdet.quant.tensors import Tensor
from quantdet.quant.weighted import WEIGHTED, scale_input, scale_output

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Point:
    """A place where integers are made: a layer and the quantizer behind it.

    Attributes:
        name: of the Keras layer; numbered from its second call on.
        kind: Keras layer type, "InputLayer" where pictures are quantized.
        calls: the layer, a ReLU fused with it if there is one, the quantizer.
    """

    name: str
    kind: str
    calls: tuple[Node, ...]

    @property
    def weighted(self) -> QuantizedWeights | None:
        """The layer, if it has weights."""
        layer = self.calls[0].layer
        return layer if isinstance(layer, QuantizedWeights) else None

    @property
    def quantizer(self) -> ActivationQuantizer:
        """The quantizer."""
        quantizer: ActivationQuantizer = self.calls[-1].layer
        return quantizer

    @property
    def output(self) -> int:
        """The tensor that holds the integers."""
        return self.calls[-1].output


class Pair:
    """Both forms of a net on one graph.

    The float form is the given model itself wherever it has the tensor (judge.py); what the
    quantizer decomposed is computed with the given weights.

    Args:
        quantized: calibrated fake-quantized model, trained and frozen or not.
        floats: the float model that it was made from; None for the kernels and biases that
            ``quantized`` holds, without their rounding.
        cut_outputs: names of outputs whose range was chosen on purpose
            (``calibrate.set_output_ranges``): values beyond it carry no meaning, so the float
            function is cut there, too.

    Raises:
        QuantizationError: ``quantized`` was not made from ``floats``, or has no such output.
    """

    def __init__(
        self,
        quantized: keras.Model,
        floats: keras.Model | None = None,
        cut_outputs: Iterable[str] = (),
    ) -> None:
        self.graph = read_graph(quantized, clone=False)
        self.points = tuple(_points(self.graph))
        if not self.points:
            raise QuantizationError(
                f"model {quantized.name!r} is not quantized; give what prepare_qat returned"
            )
        self.originals = {} if floats is None else _originals(floats, self.points)
        self._divide_originals()
        self.outputs = named_outputs(self.graph.outputs)
        self._given = None if floats is None else GivenModel(floats)
        self._cut = _quantizers(self.graph, self.outputs, cut_outputs)

    def _divide_originals(self) -> None:
        """Equalize the original layers as the quantized ones are."""
        producers = self.graph.producers()
        for point in self.points:
            call = point.calls[0]
            if call.layer.name not in self.originals:
                continue
            layer = self.originals[call.layer.name]
            before = quantizer_of(producers, call.inputs[0]).divided_by
            if before is not None:
                layer = scale_input(layer, np.asarray(before), np.zeros(1))
            after = point.quantizer.divided_by
            if after is not None:
                layer = scale_output(layer, 1 / np.asarray(after), np.zeros(1))
            self.originals[call.layer.name] = layer

    @property
    def is_divided(self) -> bool:
        """Whether any layer was equalized."""
        return any(point.quantizer.divided_by is not None for point in self.points)

    def tensors(self, batch: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """Return a batch as one tensor per input.

        Args:
            batch: array, or for several inputs a list of them in the order of the model.
        """
        arrays = batch if isinstance(batch, list | tuple) else [batch]
        return [ops.convert_to_tensor(array, dtype="float32") for array in arrays]

    def given(self, batch: Tensor | Sequence[Tensor]) -> GivenValues:
        """Return the tensors of the given model for a batch; none if there is no such model."""
        if self._given is None:
            return GivenValues({}, {})
        return self._given.run(self.tensors(batch))

    def run_float(self, batch: Tensor | Sequence[Tensor]) -> dict[int, Tensor]:
        """Return every tensor of the float function for a batch of inputs."""
        given = self.given(batch)

        def apply(node: Node, arguments: list[Tensor]) -> Tensor:
            return self.exact(node, self.call_float(node, arguments), given)

        return self.graph.run(self.tensors(batch), apply)

    def exact(self, node: Node, computed: Tensor, given: GivenValues) -> Tensor:
        """Return what the given model has where ``node`` rounds, else what was computed.

        Args:
            node: a call of the graph.
            computed: its float result.
            given: of the same batch.
        """
        found = given.counterpart(node.layer)
        if found is None or found.shape != tuple(computed.shape):
            return computed
        return self._cut_to_range(node, ops.convert_to_tensor(found))

    def exact_output(self, name: str, computed: Tensor, given: GivenValues) -> Tensor:
        """Return an output of the given model, else what was computed."""
        found = given.outputs.get(name)
        if found is None or self.is_cut(name):
            return computed
        return ops.convert_to_tensor(found)

    def is_cut(self, name: str) -> bool:
        """Tell whether the range of an output was chosen on purpose."""
        return quantizer_of(self.graph.producers(), self.outputs[name]) in self._cut

    def call_float(self, node: Node, arguments: list[Tensor]) -> Tensor:
        """Evaluate one call as the float model does."""
        original = self.originals.get(node.layer.name)
        if original is not None:
            return call_layer(original, arguments)
        return self._cut_to_range(node, call_float(node, arguments))

    def _cut_to_range(self, node: Node, values: Tensor) -> Tensor:
        if node.layer not in self._cut:
            return values
        params = node.layer.params()
        return ops.clip(values, params.minimum, params.maximum)


def _points(graph: Graph) -> Iterable[Point]:
    producers = graph.producers()
    names = {t: symbol.name for t, symbol in zip(graph.inputs, graph.input_templates, strict=True)}
    used: Counter[str] = Counter()
    for node in graph.nodes:
        if isinstance(node.layer, ActivationQuantizer):
            calls = (*_computed_by(producers, node.inputs[0]), node)
            first = calls[0]
            name = names[node.inputs[0]] if first is node else first.layer.name
            kind = "InputLayer" if first is node else type(first.layer).__name__
            used[name] += 1
            numbered = name if used[name] == 1 else f"{name} #{used[name]}"
            yield Point(numbered, kind.removeprefix("Quant"), calls)


def _computed_by(producers: Mapping[int, Node], tensor: int) -> tuple[Node, ...]:
    """Return the call behind a tensor that is not an input, before it the one fused with it."""
    if tensor not in producers:
        return ()
    node = producers[tensor]
    before = producers.get(node.inputs[0])
    if clip_of(node.layer) is not None and before is not None and _computes(before.layer):
        return before, node
    return (node,)


def _computes(layer: keras.Layer) -> bool:
    """Tell whether the results of a layer are not on any grid."""
    if isinstance(layer, ActivationQuantizer):
        return False
    return isinstance(layer, QuantizedWeights) or not rule_for(layer).exact


def _originals(floats: keras.Model, points: Sequence[Point]) -> dict[str, keras.Layer]:
    """Return name → the float model's layer, for all layers with weights."""
    convolutions = {
        point.calls[0].layer.name for point in points if point.kind == "Conv2D" and point.weighted
    }
    simple = dense_as_convolution(simplify(read_graph(floats)), convolutions.__contains__)
    originals = {
        node.layer.name: node.layer for node in simple.nodes if isinstance(node.layer, WEIGHTED)
    }
    shapes = {
        point.calls[0].layer.name: tuple(point.weighted.kernel.shape)
        for point in points
        if point.weighted is not None
    }
    for name, layer in originals.items():
        if shapes.get(name) != tuple(layer.kernel.shape):
            raise QuantizationError(
                f"model {floats.name!r} is not what was quantized: its layer {name!r} with a "
                f"kernel of {tuple(layer.kernel.shape)} has no counterpart there; give the float "
                "model that prepare_qat was called with"
            )
    return originals


def _quantizers(
    graph: Graph, outputs: Mapping[str, int], names: Iterable[str]
) -> set[ActivationQuantizer]:
    missing = sorted(set(names) - set(outputs))
    if missing:
        raise QuantizationError(
            f"cut_outputs: the model has no output {missing[0]!r}, only {', '.join(outputs)}"
        )
    producers = graph.producers()
    return {quantizer_of(producers, outputs[name]) for name in names}
