"""What is no Keras model, not prepared, or prepared in part only is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as kl

from quantdet.errors import QuantizationError
from quantdet.export.integer import export_integer
from quantdet.quant.prepare import prepare_qat


@pytest.fixture(scope="module")
def prepared():
    i = keras.Input((6, 6, 3))
    model = keras.Model(i, kl.Conv2D(3, 3, padding="same", name="conv")(i))
    return prepare_qat(model, np.random.default_rng(0).normal(size=(4, 6, 6, 3)))


OUTSIDE = {
    "behind": (lambda q, x: kl.Activation("sigmoid", name="last")(q(x)), "'last' (Activation)"),
    "flat, behind": (lambda q, x: kl.Softmax(name="last")(q.output), "'last' (Softmax)"),
    "unknown, behind": (lambda q, x: kl.GaussianNoise(1.0, name="last")(q(x)), "(GaussianNoise)"),
    "before": (lambda q, x: q(kl.Rescaling(2.0, name="first")(x)), "'first' (Rescaling)"),
    "between": (lambda q, x: q(kl.Conv2D(3, 1, name="mid")(q(x))), "'mid' (Conv2D)"),
    "operator": (lambda q, x: q(x) * 2.0, "computes in float"),
    "cut": (lambda q, x: q.get_layer("conv").output, "'conv' (QuantConv2D)"),
}


@pytest.mark.parametrize("where", OUTSIDE)
def test_layers_around_a_prepared_model_are_named(where, prepared, tmp_path):
    around, name = OUTSIDE[where]
    x = keras.Input((6, 6, 3))
    output = around(prepared, x)
    flat = where in ("flat, behind", "cut")
    model = keras.Model(prepared.input if flat else x, output)
    with pytest.raises(QuantizationError, match="prepare_qat on the whole") as caught:
        export_integer(model, tmp_path / "m.tflite")
    assert name in str(caught.value)


def test_layers_around_a_prepared_model_that_only_move_values_are_exported(prepared, tmp_path):
    x = keras.Input((6, 6, 3))
    export_integer(keras.Model(x, kl.Flatten()(prepared(x))), tmp_path / "m.tflite")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("model.keras", r"keras\.saving\.load_model\('model\.keras'\)"),
        (Path("model.keras"), r"keras\.saving\.load_model\('model\.keras'\)"),
        (None, "not a NoneType"),
        (np.zeros((2, 6, 6, 3)), "not a ndarray of module numpy"),
    ],
)
def test_what_is_no_model(model, message, tmp_path):
    with pytest.raises(QuantizationError, match=message):
        prepare_qat(model, np.zeros((2, 6, 6, 3)))
    with pytest.raises(QuantizationError, match=message):
        export_integer(model, tmp_path / "m.tflite")
