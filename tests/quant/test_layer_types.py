"""Every supported layer type × every recipe: prepared, exported, the same integers, analysed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from quantdet.errors import QuantizationError
from quantdet.evaluate.parity import layer_parity
from quantdet.export.integer import export_integer
from quantdet.quant.analysis import analyse
from quantdet.quant.exact import ExactModel
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.freezing import freeze
from quantdet.quant.kernel_sets import KERNEL_SETS
from quantdet.quant.litert.convert import output_names
from quantdet.quant.litert_file import read_litert
from quantdet.quant.match import file_params
from quantdet.quant.noise import decibels
from quantdet.quant.numerics import dequantize, quantize
from quantdet.quant.pair import Pair
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.prepared import check_prepared
from quantdet.quant.reader import read_graph
from quantdet.quant.recipes import RECIPES
from quantdet.runtime.engine import Engine
from tests.quant.cases import CASES, random_input, random_model
from tests.quant.test_exact import outputs_of

PIXELS = (-128 / 127.5, 127 / 127.5)
# Measured over all cases with LiteRT's reference kernels, lowest per kind of layer.
LEAST_ROUNDED_ONCE = {
    "AveragePooling2D": 0.87,
    "GlobalAveragePooling2D": 0.65,
    "UpSampling2D": 0.94,
    "Multiply": 0.98,
    "LeakyReLU": 0.77,
    "Resizing": 0.9,
}
# Large scales of 4 bit weights make the first of the two roundings coarse. int16 kernels multiply
# with 15 instead of 31 bits, which is not modelled: a step more or less of 65535.
LEAST_OF_RECIPE = {"static_wi4_ai8": 0.786, "static_wi8_ai16": 0.52}
# (case, recipe) → (largest difference in steps, share of equal integers): int16 tanh is a table
# that is coarser than its steps.
COARSE = {("tanh", "static_wi8_ai16"): (3, 0.33)}


# With other recipes a few layers in `make test`, and all of them in `make test-slow`.
FEW = (
    "conv2d_fused_activation",
    "depthwise_multiplier",
    "dense_relu_dense",
    "batch_norm_alone",
    "relu_after_add",
    "concatenate_with_input",
    "average_pool",
    "two_outputs",
    "shared_layer",
)
# Of operators: every kernel set gives its very integers.
ONE_OF_EACH_KIND = (
    "batch_norm_after_conv",
    "depthwise_multiplier",
    "dense_relu_dense",
    "conv2d_transpose",
    "relu_after_add",
    "subtract",
    "squeeze_and_excite",
    "average_pool",
    "mean_of_uneven_count",
    "leaky_relu",
    "resizing_bilinear",
    "two_outputs",
    "nested_model",
)


def flat_outputs(model, x):
    return [np.asarray(value) for value in keras.tree.flatten(model(x, training=False))]


@dataclass(frozen=True)
class Made:
    """One case, prepared with the recipe of most users, on its integers, and as a file."""

    name: str
    model: keras.Model
    x: np.ndarray
    prepared: keras.Model
    frozen: keras.Model
    path: Path


def make(name, folder, recipe="static_wi8_ai8"):
    model = random_model(name)
    x = random_input(model)
    prepared = prepare_qat(model, [x], recipe=recipe, input_range=PIXELS, trial_export=False)
    path = export_integer(prepared, folder / "model.tflite")
    return Made(name, model, x, prepared, freeze(prepared), path)


# Made once for all tests of a case: that takes longer than any of them.
@pytest.fixture(scope="module", params=CASES)
def made(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp(request.param))


def test_folding_keeps_the_function(made):
    before = flat_outputs(made.model, made.x)
    after = flat_outputs(fold_batch_norm(made.model), made.x)
    for a, b in zip(before, after, strict=True):
        # Measured: at most 3e-6 over all cases.
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)


def test_what_prepare_qat_returns_is_prepared_and_its_argument_is_not(made):
    with pytest.raises(QuantizationError, match=r"call prepare_qat\(model, calibration\) first"):
        check_prepared(made.model)
    check_prepared(made.prepared)
    check_prepared(made.frozen)


def check_layers(made, recipe="static_wi8_ai8"):
    """Compare every layer of the file with the simulation."""
    most, least = COARSE.get((made.name, recipe), (1, 1.0))
    for layer in layer_parity(made.frozen, made.path, pixels_of(made)):
        assert layer.max_lsb <= most, layer
        # LiteRT rounds twice; ties of means (GlobalAveragePooling, 0.67) suffer the most.
        once = min(
            LEAST_ROUNDED_ONCE.get(layer.kind, 0.983), LEAST_OF_RECIPE.get(recipe, 1.0), least
        )
        assert layer.identical >= once, layer
        assert layer.identical_exact == (1.0 if recipe != "static_wi8_ai16" else layer.identical)


def pixels_of(made):
    """Return the pictures as the uint8 file takes them."""
    file = read_litert(made.path)
    (index,) = file.inputs.values()
    return quantize(made.x, file_params(file.tensors[index]))


def test_file_computes_what_training_simulated(made):
    check_layers(made)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        pytest.param(name, recipe, marks=() if name in FEW else pytest.mark.slow)
        for name in CASES
        for recipe in RECIPES
        if recipe != "static_wi8_ai8"
    ],
)
def test_file_of_another_recipe_computes_what_training_simulated(name, recipe, tmp_path):
    check_layers(make(name, tmp_path, recipe), recipe)


@pytest.mark.parametrize(
    "made",
    [pytest.param(n, marks=() if n in ONE_OF_EACH_KIND else pytest.mark.slow) for n in CASES],
    indirect=True,
)
def test_files_give_the_integers_that_are_told(made):
    file, pixels = read_litert(made.path), pixels_of(made)
    graph = read_graph(made.frozen, clone=False)
    for kernels in KERNEL_SETS:
        values = keras.tree.flatten(ExactModel(made.frozen, kernels)(made.x))
        told = dict(zip(graph.output_ids, values, strict=True))
        theirs = outputs_of(file, made.path, kernels, pixels)
        for output, tensor in output_names(graph).items():
            params = file_params(file.tensors[file.outputs[output]])
            same = (quantize(told[tensor], params) == theirs[output]).mean()
            assert same == 1.0, (kernels, output)


def test_float_side_is_the_float_model_and_sums_are_the_plain_formulas(made):
    pair = Pair(made.frozen, made.model)
    tensors = pair.run_float(made.x)
    wanted = {key: np.array(value) for key, value in outputs(made.model, made.x).items()}
    for key, tensor in pair.outputs.items():
        np.testing.assert_allclose(tensors[tensor], wanted[key], rtol=1e-4, atol=2e-5)
    found = analyse(pair, [made.x[:6], made.x[6:]])
    given = outputs(made.frozen, made.x)
    for key, value in found.outputs.items():
        noise = np.square(np.array(given[key]) - wanted[key]).sum(dtype=np.float64)
        signal = np.square(wanted[key]).sum(dtype=np.float64)
        assert value == pytest.approx(decibels(signal, noise), abs=0.1)
    json.dumps([layer.to_dict() for layer in found.layers], allow_nan=False)


def outputs(model, x):
    """Return the outputs by the names that ``Pair`` gives them."""
    found = model(x)
    if isinstance(found, dict):
        return found
    if isinstance(found, list | tuple):
        return {f"output_{number}": value for number, value in enumerate(found)}
    return {"output": found}


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.0, 3.0), (-1.0, 1.0)])
def test_values_that_are_cut_have_16_bits(ends, tmp_path):
    picture = keras.Input((8, 8, 3))
    model = keras.Model(picture, keras.ops.clip(keras.layers.Conv2D(4, 3)(picture), *ends))
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    x = random.uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32)
    prepared = prepare_qat(model, [x], recipe="static_wi8_ai16", trial_export=False)
    path = export_integer(prepared, tmp_path / "model.tflite")
    file, engine = read_litert(path), Engine(path, kernels="reference")
    (source,), (result,) = file.inputs.values(), file.outputs.values()
    integers = quantize(x, file_params(file.tensors[source]))
    rows = [next(iter(engine.run(picture[None]).values())) for picture in integers]
    real = dequantize(np.concatenate(rows), file_params(file.tensors[result]))
    step = file.tensors[result].scales[0]
    assert ends[0] - 1.01 * step <= real.min() < ends[0] + step
    assert real.max() == pytest.approx(ends[1])
    np.testing.assert_allclose(real, prepared(x), atol=4 * step)


def test_values_that_are_cut_unevenly_have_8_bits_only():
    picture = keras.Input((8, 8, 3))
    model = keras.Model(picture, keras.ops.clip(picture, -1.0, 3.0))
    x = np.zeros((2, 8, 8, 3), np.float32)
    with pytest.raises(QuantizationError, match=r"clips to \[-1, 3\]; 16 bit integers"):
        prepare_qat(model, [x], recipe="static_wi8_ai16")
