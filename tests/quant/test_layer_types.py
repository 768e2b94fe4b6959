"""Every supported layer type × every recipe: prepared, exported all-integer, same integers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from quantdet.errors import QuantizationError
from quantdet.evaluate.parity import layer_parity
from quantdet.export.integer import export_integer
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.freezing import freeze
from quantdet.quant.litert_file import read_litert
from quantdet.quant.match import file_params
from quantdet.quant.numerics import dequantize, quantize
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.recipes import RECIPES
from quantdet.runtime.engine import Engine
from tests.quant.cases import CASES, random_input, random_model

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


def flat_outputs(model, x):
    return [np.asarray(value) for value in keras.tree.flatten(model(x, training=False))]


@pytest.mark.parametrize("name", CASES)
def test_folding_keeps_the_function(name):
    model = random_model(name)
    x = random_input(model)
    before, after = flat_outputs(model, x), flat_outputs(fold_batch_norm(model), x)
    for a, b in zip(before, after, strict=True):
        # Measured: at most 3e-6 over all cases.
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)


# Every layer with the recipe of most users in `make test`; the others with a few layers, and with
# all of them in `make test-slow`.
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
MATRIX = [
    pytest.param(
        name, recipe, marks=() if recipe == "static_wi8_ai8" or name in FEW else pytest.mark.slow
    )
    for name in CASES
    for recipe in RECIPES
]


@pytest.mark.parametrize(("name", "recipe"), MATRIX)
def test_file_computes_what_training_simulated(name, recipe, tmp_path):
    model = random_model(name)
    x = random_input(model)
    prepared = prepare_qat(model, [x], recipe=recipe, input_range=PIXELS, trial_export=False)
    path = export_integer(prepared, tmp_path / "model.tflite")
    (index,) = (file := read_litert(path)).inputs.values()
    # The uint8 file takes the pixels as they are.
    pixels = quantize(x, file_params(file.tensors[index]))
    most, least = COARSE.get((name, recipe), (1, 1.0))
    for layer in layer_parity(freeze(prepared), path, pixels):
        assert layer.max_lsb <= most, layer
        # LiteRT rounds twice; ties of means (GlobalAveragePooling, 0.67) suffer the most.
        once = min(
            LEAST_ROUNDED_ONCE.get(layer.kind, 0.983), LEAST_OF_RECIPE.get(recipe, 1.0), least
        )
        assert layer.identical >= once, layer
        assert layer.identical_exact == (1.0 if recipe != "static_wi8_ai16" else layer.identical)


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
