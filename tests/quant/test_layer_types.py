"""Every supported layer type × every recipe: prepared, exported all-integer, same integers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from quantdet.evaluate.parity import layer_parity
from quantdet.export.integer import export_integer
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.freeze import freeze
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.recipes import RECIPES
from tests.quant.cases import CASES, random_input, random_model

PIXELS = (-128 / 127.5, 127 / 127.5)
# Measured over all cases with LiteRT's reference kernels, lowest per kind of layer.
LEAST_ROUNDED_ONCE = {
    "AveragePooling2D": 0.87,
    "GlobalAveragePooling2D": 0.65,
    "UpSampling2D": 0.94,
    "Multiply": 0.98,
    "LeakyReLU": 0.78,
}
LEAST_IDENTICAL = {"UpSampling2D": 0.94}


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


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", CASES)
def test_file_computes_what_training_simulated(name, recipe, tmp_path):
    model = random_model(name)
    x = random_input(model)
    prepared = prepare_qat(model, [x], recipe=recipe, input_range=PIXELS)
    path = export_integer(prepared, tmp_path / "model.tflite")
    pixels = np.round(x * 127.5 + 128).astype(np.uint8)
    for layer in layer_parity(freeze(prepared), path, pixels):
        assert layer.max_lsb <= 1, layer
        # LiteRT rounds twice; ties of means (GlobalAveragePooling, 0.67) suffer the most.
        assert layer.identical >= LEAST_ROUNDED_ONCE.get(layer.kind, 0.984), layer
        assert layer.identical_two_step >= LEAST_IDENTICAL.get(layer.kind, 0.999), layer
