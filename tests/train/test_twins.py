import keras
import numpy as np

from quantdet.config import ModelConfig
from quantdet.models.localizer import build_localizer
from quantdet.train.optimizer import make_optimizer
from quantdet.train.settings import FitSettings
from quantdet.train.twins import mixed_precision_twin


def test_twin_computes_the_same_in_fewer_bits():
    model = build_localizer(
        ModelConfig(input_size=64, width=0.35, weights="none", head="grid"), num_classes=3
    )
    twin = mixed_precision_twin(model)
    assert twin.get_layer("Conv1").compute_dtype == "bfloat16"
    assert model.get_layer("Conv1").compute_dtype == "float32"
    assert all(v.dtype == "float32" for v in twin.trainable_variables)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    for name in ("boxes", "scores"):
        assert twin(x)[name].dtype == "float32"
    exact, rough = (
        np.asarray(keras.ops.cast(net(x), "float32")) for net in (_first(model), _first(twin))
    )
    assert np.ptp(exact) > 0.5
    assert not np.array_equal(rough, exact)
    # bfloat16 has 8 bits; measured 0.01
    np.testing.assert_allclose(rough, exact, atol=0.03)


def _first(model):
    return keras.Model(model.input, model.get_layer("Conv1_relu").output)


def test_a_model_that_was_trained_before_has_a_twin():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    model.compile(make_optimizer(FitSettings(epochs=1, batch_size=1), 1), loss="mse")
    assert not mixed_precision_twin(model).compiled
