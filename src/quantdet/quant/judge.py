"""The float model as the user gave it judges what was made of it.

Every other comparison of the engine starts behind its own rewriting (fold.py, reader.py). This one
runs the given Keras model itself, so that what the rewriting loses is seen, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.calibration_data import Inputs, read_calibration
from quantdet.quant.graph import Node, call_layer
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.noise import decibels, energy, numbers
from quantdet.quant.reader import functional_form, labelled_tensors, read_graph
from quantdet.quant.tensors import Structure, Tensor

# All tensors of the float model are in memory for some pictures at once: so many numbers (64 MB).
_NUMBERS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Band:
    """What quantization of some width costs on nets that quantize well, in dB of an output.

    Attributes:
        usual: lowest and highest figure of the nets in docs/coverage.md.
        least: below it something other than rounding is at work.
    """

    usual: tuple[float, float]
    least: float


BANDS: dict[tuple[int, int], Band] = {
    (8, 8): Band((28.0, 45.0), 20.0),
    (4, 8): Band((15.0, 36.0), 8.0),
    (8, 16): Band((40.0, 60.0), 30.0),
}
"""(bits of the weights, bits of the activations) → what to expect."""


@dataclass(frozen=True)
class FloatComparison:
    """A quantized model compared with the float model that it was made from.

    Attributes:
        outputs: output name → SQNR in dB against the given float model; 6 dB are one bit.
        layers: label of a layer of the given model → SQNR of its output, in order of execution;
            those whose tensor has a range of its own.
        band: what quantization of this width should cost.
        pictures: how many were compared.
    """

    outputs: dict[str, float]
    layers: dict[str, float]
    band: Band
    pictures: int

    @property
    def worst_db(self) -> float:
        """SQNR of the worst output."""
        return min(self.outputs.values())

    @property
    def suspect(self) -> str | None:
        """The first layer whose output is below the band; None if the worst output is within."""
        if self.worst_db >= self.band.least:
            return None
        below = (label for label, value in self.layers.items() if value < self.band.least)
        return next(below, next(reversed(self.layers), None))

    def warning(self) -> str | None:
        """Return one sentence if the worst output falls out of the band, else None."""
        if self.worst_db >= self.band.least:
            return None
        name = min(self.outputs, key=lambda output: self.outputs[output])
        low, high = self.band.usual
        where = f"; look at layer {self.suspect!r} first" if self.suspect else ""
        return (
            f"output {name!r} of the quantized model has {self.worst_db:.1f} dB against the float "
            f"model on {self.pictures} calibration pictures, where {low:.0f} to {high:.0f} dB are "
            f"usual{where} (quantdet.quant.analyse names the causes)"
        )


def compare_with_float(
    model: keras.Model, quantized: keras.Model, pictures: object
) -> FloatComparison:
    """Compare a quantized model with the given float model on the same pictures.

    Args:
        model: the float Keras model that ``prepare_qat`` was called with; it is run as it is.
        quantized: what ``prepare_qat`` returned, trained or not.
        pictures: inputs in any form that ``prepare_qat`` takes for calibration; a few are enough.

    Raises:
        QuantizationError: the pictures are no input of the model.
    """
    given = GivenModel(model)
    graph = read_graph(quantized, clone=False)
    sums = {label: np.zeros(2) for label in given.labels}
    outputs = {name: np.zeros(2) for name in named_outputs(graph.outputs)}
    count = 0
    for inputs in _parts(read_calibration(model, pictures), given.pictures_at_once):
        count += len(inputs[0])
        exact = given.run(inputs)
        known = graph.run(
            [ops.convert_to_tensor(values) for values in inputs],
            partial(_call_and_compare, exact, sums),
            forget=True,
        )
        for name, tensor in named_outputs(graph.outputs).items():
            outputs[name] += _energies(exact.outputs[name], known[tensor])
    return FloatComparison(
        outputs={name: decibels(*both) for name, both in outputs.items()},
        layers={label: decibels(*both) for label, both in sums.items() if both[0] > 0},
        band=band_of(quantized),
        pictures=count,
    )


def _call_and_compare(
    given: GivenValues,
    sums: Mapping[str, NDArray[np.float64]],
    node: Node,
    arguments: list[Tensor],
) -> Tensor:
    """Call a layer, and add the energies of its output and of its error to ``sums``."""
    result = call_layer(node.layer, arguments)
    wanted = given.counterpart(node.layer)
    if wanted is not None and wanted.shape == result.shape:
        sums[node.layer.stands_for] += _energies(wanted, result)
    return result


def band_of(quantized: keras.Model) -> Band:
    """Return what quantization of a model's widths should cost."""
    layers = functional_form(quantized)._flatten_layers()
    weights = [layer.bits for layer in layers if isinstance(layer, QuantizedWeights)]
    activations = [layer.bits for layer in layers if isinstance(layer, ActivationQuantizer)]
    return BANDS[min(weights, default=8), max(activations, default=8)]


@dataclass(frozen=True)
class GivenValues:
    """Tensors of the given model by label, and its outputs by name."""

    tensors: Mapping[str, NDArray[np.float32]]
    outputs: Mapping[str, NDArray[np.float32]]

    def counterpart(self, layer: keras.Layer) -> NDArray[np.float32] | None:
        """Return what a quantizer rounds, as the given model has it; None if it has no such."""
        is_quantizer = isinstance(layer, ActivationQuantizer)
        found = self.tensors.get(layer.stands_for or "") if is_quantizer else None
        if found is None or layer.divided_by is None:
            return found
        divisors: NDArray[np.float32] = np.asarray(layer.divided_by, np.float32)
        return np.divide(found, divisors)


class GivenModel:
    """A float Keras model with every tensor between its layers in view.

    Args:
        model: functional or sequential; it is run in inference mode and not changed.
    """

    def __init__(self, model: keras.Model) -> None:
        functional = functional_form(model)
        self.labels = labelled_tensors(functional)
        inputs = functional.inputs
        self._probe = keras.Model(
            inputs if len(inputs) > 1 else inputs[0],
            {"tensors": self.labels, "outputs": functional._outputs_struct},
        )

    @property
    def pictures_at_once(self) -> int:
        """Pictures whose tensors are a few dozen megabytes together, at least one."""
        shapes = (tensor.shape[1:] for tensor in self.labels.values())
        numbers_each = sum(math.prod(size or 1 for size in shape) for shape in shapes)
        return max(1, _NUMBERS_AT_ONCE // max(1, numbers_each))

    def run(self, inputs: Inputs) -> GivenValues:
        """Return every tensor for a batch, float32."""
        found = self._probe(inputs if len(inputs) > 1 else inputs[0], training=False)
        values = {label: numbers(tensor) for label, tensor in found["tensors"].items()}
        outputs = {name: numbers(t) for name, t in named_outputs(found["outputs"]).items()}
        return GivenValues(values, outputs)


def named_outputs(outputs: Structure) -> dict[str, Tensor]:
    """Return output name → output: dict keys, "output_0", … of a list, "output" of a single one."""
    if isinstance(outputs, dict):
        return dict(outputs)
    flat = keras.tree.flatten(outputs)
    if not isinstance(outputs, list | tuple):
        return {"output": flat[0]}
    return {f"output_{number}": value for number, value in enumerate(flat)}


def file_outputs(outputs: Structure) -> dict[str, Tensor]:
    """Return output name in an exported file → output: dict keys, otherwise output_0, output_1."""
    if isinstance(outputs, dict):
        return dict(outputs)
    return {f"output_{n}": value for n, value in enumerate(keras.tree.flatten(outputs))}


def _parts(slices: Iterable[Inputs], size: int) -> Iterable[Inputs]:
    if keras.backend.backend() == "jax":  # which compiled its operators for slices
        yield from slices
        return
    for inputs in slices:
        for start in range(0, len(inputs[0]), size):
            yield [values[start : start + size] for values in inputs]


def _energies(exact: NDArray[np.float32], rounded: Tensor) -> NDArray[np.float64]:
    return np.array([energy(exact), energy(numbers(rounded) - exact)])
