"""Layers of another project, registered from outside."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from quantdet.evaluate.parity import layer_parity
from quantdet.export.integer import export_integer
from quantdet.quant.equivalents import EQUIVALENTS
from quantdet.quant.freezing import freeze
from quantdet.quant.judge import compare_with_float
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.rules import RULES, Range, Rule
from tests.quant.cases import random_input

PIXELS = (-128 / 127.5, 127 / 127.5)


class Gate(kl.Layer):
    """Product of two tensors."""

    def call(self, inputs):
        return inputs[0] * inputs[1]


class SpatialAttention(kl.Layer):
    """x * sigmoid(conv(x))."""

    def build(self, input_shape):
        self.conv = kl.Conv2D(input_shape[-1], 1)
        self.conv.build(input_shape)

    def call(self, inputs):
        return inputs * keras.ops.sigmoid(self.conv(inputs))


def attention(layer, shape):
    x = keras.Input(shape[1:])
    y = kl.Conv2D(shape[-1], 1, activation="sigmoid", name=f"{layer.name}_conv")
    model = keras.Model(x, kl.Multiply(name=f"{layer.name}_product")([x, y(x)]))
    y.set_weights(layer.conv.get_weights())
    return model


@pytest.fixture
def registered():
    RULES[Gate] = Rule(Range.OWN, ("MUL",))
    EQUIVALENTS[SpatialAttention] = attention
    yield
    del RULES[Gate], EQUIVALENTS[SpatialAttention]


def _parity(model, tmp_path):
    x = random_input(model)
    prepared = prepare_qat(model, [x], input_range=PIXELS)
    # The rarest values are cut off by calibration.
    error = np.abs(np.array(prepared(x)) - np.array(model(x)))
    assert error.mean() < 0.02 * np.abs(np.array(model(x))).max()
    path = export_integer(prepared, tmp_path / "m.tflite")
    pixels = np.round(x * 127.5 + 128).astype(np.uint8)
    return layer_parity(freeze(prepared), path, pixels)


@pytest.mark.usefixtures("registered")
def test_a_rule_makes_a_layer_of_one_operator_known(tmp_path):
    x = keras.Input((8, 8, 3), name="image")
    model = keras.Model(x, Gate(name="gate")([kl.Conv2D(4, 3)(x), kl.Conv2D(4, 3)(x)]))
    layers = _parity(model, tmp_path)
    assert "gate" in {layer.layer for layer in layers}
    assert max(layer.max_lsb for layer in layers) <= 1


@pytest.mark.usefixtures("registered")
def test_an_equivalent_takes_the_place_of_a_layer(tmp_path):
    x = keras.Input((8, 8, 3), name="image")
    model = keras.Model(x, SpatialAttention(name="attention")(kl.Conv2D(4, 3)(x)))
    layers = _parity(model, tmp_path)
    assert {"attention_conv", "attention_product"} <= {layer.layer for layer in layers}
    assert max(layer.max_lsb for layer in layers) <= 1


class ScaleAndShift(kl.Layer):
    """The variables stand on the left, as they do in formulas."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")
        self.shift = self.add_weight(shape=(input_shape[-1],), initializer="zeros")

    def call(self, inputs):
        return self.shift + self.scale * (1.5 - inputs) / 2.0


def test_variables_may_stand_on_the_left():
    x = keras.Input((8, 8, 3), name="image")
    model = keras.Model(x, ScaleAndShift()(kl.Conv2D(4, 3)(x)))
    layer = model.layers[-1]
    layer.set_weights([np.array([0.5, 1, -1, 2]), np.array([0.1, 0, 0.3, -2])])
    pictures = random_input(model)
    prepared = prepare_qat(model, pictures, observer="minmax")
    assert compare_with_float(model, prepared, pictures).worst_db > 30
    # Outside, variables are Keras' own again: they compute at once.
    assert float(keras.ops.sum(layer.scale * np.ones(4, np.float32))) == 2.5
    with pytest.raises(ValueError, match="KerasTensor"):
        layer.scale * x
