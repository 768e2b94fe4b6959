"""Turn a float Keras model into one that simulates its integer form.

float model → simplify (fold.py) → plan of ranges (ranges.py) → fake quantization (here)
            → calibration (calibrate.py) → train → freeze (freeze.py) → export
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from quantdet.errors import QuantizationError
from quantdet.quant.bias_correction import correct_biases
from quantdet.quant.calibrate import calibrate
from quantdet.quant.fold import WEIGHTED, output_channels, simplify, with_bias
from quantdet.quant.graph import Graph, Node, build_model, read_graph
from quantdet.quant.layers import QUANTIZED_LAYERS, ActivationQuantizer, QuantDense
from quantdet.quant.ranges import RangePlan, clip_of, is_tied, plan_ranges, separate_fixed
from quantdet.quant.recipes import Recipe, find_recipe
from quantdet.quant.rules import rule_for


def prepare_qat(
    model: Any,
    calibration: Iterable[Any],
    *,
    recipe: str = "static_wi8_ai8",
    observer: str = "percentile",
    input_range: tuple[float, float] | None = None,
) -> Any:
    """Return a fake-quantized, calibrated copy of a functional Keras model, ready to train.

    Args:
        model: float functional (or sequential) model; it is not changed.
        calibration: batches of input (arrays as the model takes them), typical pictures;
            100 to 500 in all are enough.
        recipe: name in ``recipes.RECIPES``.
        observer: name in ``observers.OBSERVERS``; how ranges follow from the batches.
        input_range: real (minimum, maximum) of the input where it is known, e.g.
            (-128/127.5, 127/127.5) for pixels; None to calibrate it too.

    Returns:
        A functional model with the same inputs, outputs and layer names. It can be compiled,
        trained, saved as ``.keras`` and loaded again. Layers that were not trainable are not.

    Raises:
        QuantizationError: unsupported layer (named), model prepared already, unknown recipe
            or observer, no calibration data.
    """
    prepared = insert_fake_quant(model, find_recipe(recipe), input_range)
    sample = calibrate(prepared, calibration, observer=observer)
    correct_biases(prepared, sample)
    return prepared


def insert_fake_quant(
    model: Any, recipe: Recipe, input_range: tuple[float, float] | None = None
) -> Any:
    """Return the fake-quantized model with ranges that still have to be calibrated."""
    source = read_graph(model)
    if any(isinstance(node.layer, ActivationQuantizer) for node in source.nodes):
        raise QuantizationError(
            f"model {model.name!r} is quantized already; prepare the float model instead"
        )
    # Calls of bare operations (x + 1) have no trainable flag; their rule refuses them below.
    frozen = {n.layer.name for n in source.nodes if not getattr(n.layer, "trainable", True)}
    graph = separate_fixed(simplify(source), input_range)
    plan = plan_ranges(graph, input_range)
    graph = _Inserter(graph, plan, recipe).insert()
    prepared = build_model(graph, f"{model.name}_quant")
    for layer in prepared.layers:
        layer.trainable = layer.name not in frozen
    return prepared


class _Inserter:
    """Copies a simplified graph call by call, with quantizers in between."""

    def __init__(self, graph: Graph, plan: RangePlan, recipe: Recipe) -> None:
        self._graph = graph
        self._plan = plan
        self._recipe = recipe
        self._nodes: list[Node] = []
        self._fresh = graph.new_tensor()
        # Tensor of the source graph → the tensor that stands for it here.
        self._now: dict[int, int] = {}
        self._quantizers: dict[int, ActivationQuantizer] = {}
        self._layers: dict[int, Any] = {}

    def insert(self) -> Graph:
        for tensor, template in zip(self._graph.inputs, self._graph.input_templates, strict=True):
            self._quantize(tensor, tensor, f"{template.name}_quant")
        for node in self._graph.nodes:
            self._copy(node)
        outputs = keras.tree.map_structure(lambda t: self._now[t], self._graph.outputs)
        return replace(self._graph, nodes=tuple(self._nodes), outputs=outputs)

    def _copy(self, node: Node) -> None:
        name = f"{node.layer.name}_quant"
        if self._is_absorbed(node):
            self._quantize(node.output, self._now[node.inputs[0]], name)
            return
        result = self._call(
            self._quantized(node.layer), [self._now[tensor] for tensor in node.inputs]
        )
        exact = is_tied(node) and rule_for(node.layer).exact
        if exact or node.output in self._plan.unquantized:
            self._now[node.output] = result
        else:
            self._quantize(node.output, result, name)

    def _is_absorbed(self, node: Node) -> bool:
        clip = clip_of(node.layer)
        return (
            clip is not None
            and node.inputs[0] in self._plan.unquantized
            and self._plan.clips.get(self._plan.group(node.output)) == clip
        )

    def _quantize(self, tensor: int, value: int, name: str) -> None:
        if tensor in self._plan.fixed:
            fixed = self._plan.fixed[tensor]
            quantizer = ActivationQuantizer(fixed=fixed, name=self._free_name(name))
        else:
            quantizer = self._group_quantizer(tensor, name)
        self._now[tensor] = self._call(quantizer, [value])

    def _group_quantizer(self, tensor: int, name: str) -> ActivationQuantizer:
        group = self._plan.group(tensor)
        if group not in self._quantizers:
            lower, upper = self._plan.clips.get(group, (None, None))
            self._quantizers[group] = ActivationQuantizer(lower, upper, name=self._free_name(name))
        return self._quantizers[group]

    def _free_name(self, name: str) -> str:
        """Return ``name``, numbered if a shared layer has used it before."""
        used = {node.layer.name for node in self._nodes}
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        return next(free for free in itertools.chain([name], numbered) if free not in used)

    def _quantized(self, layer: Any) -> Any:
        if id(layer) not in self._layers:
            weighted = isinstance(layer, WEIGHTED)
            self._layers[id(layer)] = quantized_layer(layer, self._recipe) if weighted else layer
        return self._layers[id(layer)]

    def _call(self, layer: Any, inputs: list[int]) -> int:
        self._nodes.append(Node(layer, tuple(inputs), self._fresh))
        self._fresh += 1
        return self._fresh - 1


def quantized_layer(layer: Any, recipe: Recipe) -> Any:
    """Return the fake-quantizing twin of a Conv2D, DepthwiseConv2D or Dense layer."""
    if not layer.use_bias:
        no_bias = np.zeros(output_channels(layer))
        layer = with_bias(layer, layer.get_weights()[0], no_bias, layer.name)
    kind = QUANTIZED_LAYERS[type(layer)]
    per_channel = recipe.per_channel and kind is not QuantDense
    config = {**layer.get_config(), "per_channel": per_channel, "dtype": "float32"}
    quantized = kind.from_config(config)  # type: ignore[attr-defined]
    quantized.build_from_config(layer.get_build_config())
    quantized.kernel.assign(layer.kernel)
    quantized.bias.assign(layer.bias)
    return quantized
