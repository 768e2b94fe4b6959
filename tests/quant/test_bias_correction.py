"""Rounding the weights moves no channel on average, whatever the number of pictures."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from quantdet.quant import calibration_data, prepare
from quantdet.quant.bias_correction import correct_biases
from quantdet.quant.layers import QuantizedWeights


@pytest.fixture
def pictures(monkeypatch):
    """Forty, in slices of which the last is shorter; not square, and other channels than sides."""
    monkeypatch.setattr(calibration_data, "_SLICE_PICTURES", 16)
    return np.random.default_rng(0).uniform(0, 1, (40, 6, 5, 3)).astype(np.float32)


@pytest.fixture
def uncorrected(pictures, monkeypatch):
    keras.utils.set_random_seed(2)
    x = keras.Input((6, 5, 3))
    y = kl.Conv2D(7, 3, activation="relu", name="first")(x)
    model = keras.Model(x, kl.Dense(4, name="last")(kl.Flatten()(y)))
    monkeypatch.setattr(prepare, "correct_biases", lambda *_: None)
    # Four bits round coarsely, so that there is something to correct.
    return prepare.prepare_qat(model, [pictures], recipe="static_wi4_ai8", trial_export=False)


def mean_of_channels(values):
    return np.asarray(values).mean(axis=tuple(range(values.ndim - 1)), dtype=np.float64)


def test_every_layer_is_right_on_average(uncorrected, pictures):
    layers = [layer for layer in uncorrected.layers if isinstance(layer, QuantizedWeights)]
    assert len(layers) == 2
    before = [np.array(layer.bias) for layer in layers]
    correct_biases(uncorrected, [pictures])
    # From the end, since a layer that gets its old bias back changes what comes after it.
    for layer, bias in reversed([*zip(layers, before, strict=True)]):
        inputs = keras.Model(uncorrected.input, layer.input)(pictures)
        corrected = mean_of_channels(layer.call(inputs))
        layer.bias.assign(bias)
        wanted = mean_of_channels(layer.call_float(inputs))
        np.testing.assert_allclose(corrected, wanted, atol=2e-7)
        assert np.abs(mean_of_channels(layer.call(inputs)) - wanted).max() > 1e-3
