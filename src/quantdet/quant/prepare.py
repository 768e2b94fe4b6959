"""Turn a float Keras model into one that simulates its integer form.

float model → simplify (fold.py) → plan of ranges (ranges.py) → fake quantization (here)
            → calibration (calibrate.py) → train → freeze (freeze.py) → export
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from quantdet.errors import ExportError, QuantizationError, QuantizationWarning
from quantdet.quant.bias_correction import correct_biases
from quantdet.quant.calibrate import calibrate
from quantdet.quant.calibration_data import (
    CalibrationData,
    InputRange,
    Inputs,
    as_given,
    check_input_range,
)
from quantdet.quant.equalize import equalize
from quantdet.quant.fold import dense_as_convolution, simplify
from quantdet.quant.graph import Graph, Node, build_model, free_name, with_shapes
from quantdet.quant.judge import compare_with_float, file_outputs
from quantdet.quant.layers import (
    INT4_KERNELS,
    PER_TENSOR_ONLY,
    QUANTIZED_LAYERS,
    RANGES,
    ActivationQuantizer,
)
from quantdet.quant.litert.run import run_litert
from quantdet.quant.litert.writer import integer_content
from quantdet.quant.noise import numbers, sqnr_db
from quantdet.quant.observers import OBSERVERS
from quantdet.quant.ranges import (
    KnownRanges,
    RangePlan,
    clip_of,
    is_tied,
    plan_ranges,
    separate_fixed,
)
from quantdet.quant.reader import check_keras_model, functional_form, read_graph
from quantdet.quant.recipes import Recipe, RecipeBook, Rules, equalizes
from quantdet.quant.rounding import ROUNDINGS
from quantdet.quant.rules import rule_for
from quantdet.quant.tensors import Tensor
from quantdet.quant.weight_scales import best_scale
from quantdet.quant.weighted import WEIGHTED, output_channels, with_bias

_COMPARED_PICTURES = 8
_TRIED_PICTURES = 2
# Kernels round otherwise than the simulation; in a deep net that grows to 15 to 20 dB.
_LEAST_ALIKE_DB = 10.0


def prepare_qat(  # noqa: PLR0913 - keywords of the entry point, each with a good default
    model: keras.Model,
    calibration: object,
    *,
    recipe: str | Rules = "static_wi8_ai8",
    observer: str = "mse",
    rounding: str = "nearest",
    ranges: str = "calibrated",
    track_steps: int = 200,
    input_range: InputRange = None,
    trial_export: bool = True,
) -> keras.Model:
    """Return a fake-quantized, calibrated copy of a functional Keras model, ready to train.

    Args:
        model: float functional (or sequential) model; it is not changed.
        calibration: typical pictures as the model takes them, 100 to 500 in all; they are
            read once, and memory does not grow with their number. Every form that
            ``model.fit`` or TFLiteConverter takes: an array (pictures, …), or for several
            inputs a list, tuple or dict of arrays; an iterable of such batches, of (x, y) or
            of (x, y, weights): list, generator, tf.data.Dataset, keras.utils.PyDataset, torch
            DataLoader; or a function without arguments that yields lists of one array per
            input. A list of arrays for one input is a list of batches, or of single pictures.
        recipe: name in ``recipes.RECIPES``, or (pattern, name) rules: the first pattern that
            matches the whole name of a layer counts.
        observer: name in ``observers.OBSERVERS``; how ranges follow from the batches.
        rounding: name in ``rounding.ROUNDINGS``; how the weights are rounded.
        ranges: name in ``layers.RANGES``; what training does with calibrated ranges.
        track_steps: training steps after which ``ranges="tracked"`` stay.
        input_range: real (minimum, maximum) of the input where it is known, e.g.
            (-128/127.5, 127/127.5) for pixels; for several inputs one for all, or a dict by
            name. None to calibrate it too.
        trial_export: export the calibrated model once, without a file, so that what cannot be
            exported is refused here and not after the training; takes as long as an export.

    Warns:
        QuantizationWarning: an output is much further from the float model than quantization of
            this width explains; names the layer to look at. Or an input never changed in the
            calibration.

    Returns:
        A functional model with the same inputs, outputs and layer names. It can be compiled,
        trained, saved as ``.keras`` and loaded again. Layers that were not trainable stay so.

    Raises:
        QuantizationError: no Keras model, unsupported layer (named), model prepared already,
            unknown recipe, observer, rounding or ranges; no calibration data, or none that the
            model takes; an input range without 0.
    """
    for name, value, known in (
        ("observer", observer, OBSERVERS),
        ("rounding", rounding, ROUNDINGS),
        ("ranges", ranges, RANGES),
    ):
        if value not in known:
            raise QuantizationError(f"{name} {value!r} is unknown; choose one of {sorted(known)}")
    stored = "learned" if ranges == "learned" else "stored"
    scheme = Scheme(
        recipe=recipe,
        scales="largest" if (rounding, ranges) == ("nearest", "calibrated") else stored,
        ranges=ranges,
        track_steps=track_steps,
    )
    check_keras_model(model)
    _refuse_quantized(model)
    input_range = check_input_range(model, input_range)
    data = CalibrationData(model, calibration)
    slices = data.replayable() if equalizes(recipe) else data
    prepared = insert_fake_quant(model, scheme, input_range, slices)
    sample = calibrate(prepared, slices, observer=observer)
    correct_biases(prepared, sample, ROUNDINGS[rounding])
    _warn_if_constant(prepared, sample)
    _warn_if_far(model, prepared, sample)
    if trial_export:
        _try_export(prepared, sample)
    return prepared


def _try_export(prepared: keras.Model, sample: Inputs) -> None:
    """Refuse now what ``export_integer`` would refuse after the training.

    And run the file: what its operators compute must be what training simulates.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow" and importlib.util.find_spec("tensorflow") is None:
        return  # Training needs no TensorFlow; the export elsewhere will tell.
    try:
        content = integer_content(prepared)
    except ExportError as error:
        raise QuantizationError(
            f"model {prepared.name!r} could be trained, but not exported: {error}; "
            "trial_export=False prepares it anyway"
        ) from None
    names = [tensor.name.split(":")[0] for tensor in functional_form(prepared).inputs]
    few = [values[:_TRIED_PICTURES] for values in sample]
    found = run_litert(content, dict(zip(names, few, strict=True)))
    simulated = prepared(few if len(few) > 1 else few[0], training=False)
    for name, wanted in file_outputs(simulated).items():
        exact = numbers(wanted)
        reached = sqnr_db(exact, found[name])
        if reached < _LEAST_ALIKE_DB and not _within_steps(found[name], exact):
            raise QuantizationError(
                f"output {name!r} of the exported file has {reached:.1f} dB against its own "
                "simulation: an operator computes something other than its layer; this is a defect "
                "of quantdet, please report it with the model"
            )


def _within_steps(found: Tensor, exact: Tensor) -> bool:
    """Tell whether two outputs differ by a few steps of 255, as in one that is nearly constant."""
    largest = np.abs(exact).max(initial=0.0)
    return bool(np.abs(found - exact).mean() <= 4 * largest / 255)


def _warn_if_constant(prepared: keras.Model, sample: Inputs) -> None:
    """Say what the comparison with the float model cannot: both see the same pictures."""
    for tensor, values in zip(functional_form(prepared).inputs, sample, strict=True):
        if values.min() == values.max():
            warnings.warn(
                f"calibration: input {tensor.name.split(':')[0]!r} is {values.flat[0]:g} in every "
                "picture; the ranges fit nothing else, give typical pictures",
                QuantizationWarning,
                stacklevel=3,
            )


def _warn_if_far(model: keras.Model, prepared: keras.Model, sample: Inputs) -> None:
    few = as_given(model, [values[:_COMPARED_PICTURES] for values in sample])
    compared = compare_with_float(model, prepared, few)
    warning = compared.warning()
    if warning is not None:
        warnings.warn(warning, QuantizationWarning, stacklevel=3)


@dataclass(frozen=True)
class Scheme:
    """How fake quantization is inserted.

    Attributes:
        recipe: name or rules.
        scales: of 8 bit weights, see ``QuantizedWeights``; those of 4 bits are always stored.
        ranges: name in ``layers.RANGES``.
        track_steps: of ranges that are tracked.
    """

    recipe: str | Rules = "static_wi8_ai8"
    scales: str = "largest"
    ranges: str = "calibrated"
    track_steps: int = 0


def insert_fake_quant(
    model: keras.Model,
    scheme: Scheme,
    input_range: InputRange = None,
    slices: Iterable[Inputs] = (),
) -> keras.Model:
    """Return the fake-quantized model with ranges that still have to be calibrated.

    Args:
        model: float functional model.
        scheme: see there.
        input_range: see ``prepare_qat``.
        slices: typical inputs; read where the recipe equalizes.
    """
    _refuse_quantized(model)
    source = read_graph(model)
    # Calls of bare operations (x + 1) have no trainable flag; their rule refuses them below.
    frozen = {n.layer.name for n in source.nodes if not getattr(n.layer, "trainable", True)}
    simple = simplify(source)
    _refuse_unread_inputs(simple)
    _refuse_nested_outputs(simple)
    weighted = [node.layer.name for node in simple.nodes if isinstance(node.layer, WEIGHTED)]
    book = RecipeBook(scheme.recipe, dict.fromkeys(weighted))
    if equalizes(scheme.recipe):
        simple = equalize(simple, slices)
    simple = dense_as_convolution(simple, lambda name: book.for_layer(name).dense_per_channel)
    known = KnownRanges(input_range, book.activation_bits)
    graph = with_shapes(separate_fixed(with_shapes(simple), known))
    graph = _Inserter(graph, plan_ranges(graph, known), scheme, book).insert()
    prepared = build_model(graph, f"{model.name}_quant")
    for layer in prepared.layers:
        layer.trainable = layer.name not in frozen
    return prepared


def _refuse_quantized(model: keras.Model) -> None:
    layers = functional_form(model)._flatten_layers()
    if any(isinstance(layer, ActivationQuantizer) for layer in layers):
        raise QuantizationError(
            f"model {model.name!r} is quantized already; prepare the float model instead"
        )


def _refuse_unread_inputs(graph: Graph) -> None:
    """Refuse an input that no output depends on: it would stay float in the file."""
    read = {*graph.consumers(), *graph.output_ids}
    for tensor, template in zip(graph.inputs, graph.input_templates, strict=True):
        if tensor not in read:
            raise QuantizationError(
                f"input {template.name!r}: no output depends on its values; "
                "build the model without it"
            )


def _refuse_nested_outputs(graph: Graph) -> None:
    """Refuse a dict of lists or dicts: each tensor of a file has one name."""
    outputs = graph.outputs if isinstance(graph.outputs, dict) else {}
    nested = [name for name, value in outputs.items() if not isinstance(value, int)]
    if nested:
        raise QuantizationError(
            f"output {nested[0]!r} holds several tensors; each tensor of the file has one name: "
            "build the model with a flat dict, or a list, of outputs"
        )


class _Inserter:
    """Copies a simplified graph call by call, with quantizers in between."""

    def __init__(self, graph: Graph, plan: RangePlan, scheme: Scheme, book: RecipeBook) -> None:
        self._graph = graph
        self._plan = plan
        self._scheme = scheme
        self._book = book
        self._nodes: list[Node] = []
        self._fresh = graph.new_tensor()
        # Tensor of the source graph → the tensor that stands for it here.
        self._now: dict[int, int] = {}
        self._quantizers: dict[int, ActivationQuantizer] = {}
        self._layers: dict[int, keras.Layer] = {}
        self._names = {node.layer.name for node in graph.nodes}
        self._names |= {template.name for template in graph.input_templates}

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
            lower, upper = self._plan.clips.get(self._plan.group(tensor), (None, None))
            quantizer = self._new_quantizer(
                name, fixed=self._plan.fixed[tensor], lower=lower, upper=upper
            )
        else:
            quantizer = self._group_quantizer(tensor, name)
        self._now[tensor] = self._call(quantizer, [value])
        shared = sum(node.layer is quantizer for node in self._nodes) > 1
        quantizer.stands_for = None if shared else self._graph.origins.get(tensor)
        quantizer.divided_by = self._graph.divisors.get(tensor)

    def _group_quantizer(self, tensor: int, name: str) -> ActivationQuantizer:
        group = self._plan.group(tensor)
        if group not in self._quantizers:
            lower, upper = self._plan.clips.get(group, (None, None))
            self._quantizers[group] = self._new_quantizer(name, lower=lower, upper=upper)
        return self._quantizers[group]

    def _new_quantizer(self, name: str, **limits: Any) -> ActivationQuantizer:
        return ActivationQuantizer(
            **limits,
            bits=self._book.activation_bits,
            ranges=self._scheme.ranges,
            track_steps=self._scheme.track_steps,
            name=self._free_name(name),
        )

    def _free_name(self, name: str) -> str:
        """Return ``name``, numbered if another layer has it."""
        return free_name(name, self._names | {node.layer.name for node in self._nodes})

    def _quantized(self, layer: keras.Layer) -> keras.Layer:
        if id(layer) not in self._layers:
            weighted = isinstance(layer, WEIGHTED)
            self._layers[id(layer)] = self._quantize_weights(layer) if weighted else layer
        return self._layers[id(layer)]

    def _quantize_weights(self, layer: keras.Layer) -> keras.Layer:
        recipe, scales = self._book.for_layer(layer.name), self._scheme.scales
        if type(layer) not in INT4_KERNELS:
            recipe = replace(recipe, weight_bits=8)
        if recipe.weight_bits < 8 and scales == "largest":
            # With 15 steps the largest weight is a bad measure.
            scales = "stored"
        return quantized_layer(layer, recipe, scales)

    def _call(self, layer: keras.Layer, inputs: list[int]) -> int:
        self._nodes.append(Node(layer, tuple(inputs), self._fresh))
        self._fresh += 1
        return self._fresh - 1


def quantized_layer(layer: keras.Layer, recipe: Recipe, scales: str) -> keras.Layer:
    """Return the fake-quantizing twin of a layer with weights.

    Args:
        layer: Conv2D, DepthwiseConv2D, Conv2DTranspose or Dense without activation.
        recipe: bits, and per channel or not.
        scales: see ``QuantizedWeights``.
    """
    if not layer.use_bias:
        no_bias = np.zeros(output_channels(layer))
        layer = with_bias(layer, layer.get_weights()[0], no_bias, layer.name)
    kind = QUANTIZED_LAYERS[type(layer)]
    own = {
        "per_channel": recipe.per_channel and kind not in PER_TENSOR_ONLY,
        "bits": recipe.weight_bits,
        "scales": scales,
    }
    quantized = kind.from_config({**layer.get_config(), **own, "dtype": "float32"})  # type: ignore[attr-defined]
    quantized.build_from_config(layer.get_build_config())
    quantized.kernel.assign(layer.kernel)
    quantized.bias.assign(layer.bias)
    quantized.set_scale(best_scale(quantized))
    return quantized
