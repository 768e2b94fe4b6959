"""Preparing, training, saving and refusing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from quantdet.errors import QuantizationError
from quantdet.export.integer import export_integer
from quantdet.quant import prepare
from quantdet.quant.freezing import freeze
from quantdet.quant.layers import ActivationQuantizer, QuantConv2D, QuantDepthwiseConv2D
from quantdet.quant.prepare import prepare_qat
from tests.quant.cases import random_input, random_model

PIXELS = (-128 / 127.5, 127 / 127.5)


@pytest.fixture
def model():
    return random_model("two_outputs")


def test_argument_is_not_changed(model):
    before = [np.array(w) for w in model.get_weights()]
    config = model.get_config()
    prepare_qat(model, [random_input(model)])
    assert model.get_config() == config
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_saved_and_loaded_gives_the_same_integers(model, tmp_path):
    x = random_input(model)
    prepared = prepare_qat(model, [x], input_range=PIXELS)
    prepared.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    for name, values in prepared(x).items():
        np.testing.assert_array_equal(values, loaded(x)[name])
    a = export_integer(prepared, tmp_path / "a.tflite").read_bytes()
    b = export_integer(loaded, tmp_path / "b.tflite").read_bytes()
    assert a == b


def test_training_lowers_the_loss_and_moves_weights_not_ranges(model):
    x = random_input(model, count=32)
    prepared = prepare_qat(model, [x], input_range=PIXELS)
    ranges = [q.params() for q in prepared.layers if isinstance(q, ActivationQuantizer)]
    y = {"scores": np.arange(32) % 3, "boxes": np.full((32, 4), 0.5, np.float32)}
    prepared.compile(
        keras.optimizers.Adam(1e-2),
        loss={"scores": "sparse_categorical_crossentropy", "boxes": "mse"},
        jit_compile=False,
    )
    history = prepared.fit(x, y, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    assert ranges == [q.params() for q in prepared.layers if isinstance(q, ActivationQuantizer)]


def test_frozen_layers_stay_frozen():
    model = random_model("batch_norm_after_conv")
    for layer in model.layers:
        layer.trainable = False
    prepared = prepare_qat(model, [random_input(model)])
    assert prepared.trainable_variables == []


def test_freeze_is_idempotent_and_puts_weights_on_integers(model):
    prepared = prepare_qat(model, [random_input(model)], input_range=PIXELS)
    frozen = freeze(prepared)
    for layer in frozen.layers:
        if isinstance(layer, QuantConv2D):
            steps = np.array(layer.kernel) / np.array(layer.weight_scale())
            np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    x = random_input(model)
    twice = freeze(frozen)
    for name, values in frozen(x).items():
        np.testing.assert_allclose(values, twice(x)[name], atol=1e-6)


def test_frozen_kernels_keep_their_scales_to_the_last_bit(model):
    prepared = prepare_qat(model, [random_input(model)], observer="minmax", trial_export=False)
    before, after = (
        [np.array(layer.weight_scale()) for layer in each.layers if isinstance(layer, QuantConv2D)]
        for each in (prepared, freeze(prepared))
    )
    assert before
    for own, frozen in zip(before, after, strict=True):
        np.testing.assert_array_equal(own, frozen)


def test_depthwise_scales_are_per_channel():
    model = random_model("depthwise_multiplier")
    (layer,) = [
        layer
        for layer in prepare_qat(model, [random_input(model)]).layers
        if isinstance(layer, QuantDepthwiseConv2D)
    ]
    kernel = np.abs(np.array(layer.kernel))
    # The trap of TFMOT: (3, 3, C, 1) kernels quantized on the last axis are per tensor in truth.
    np.testing.assert_allclose(np.array(layer.weight_scale()), kernel.max((0, 1)) / 127, rtol=1e-6)
    assert len(np.unique(np.array(layer.weight_scale()))) == 4


def test_fake_quant_gradient_at_and_around_the_boundary():
    import tensorflow as tf

    layer = ActivationQuantizer(fixed=(0.0, 2.55))
    x = tf.constant([-0.1, 0.0, 1.234, 2.55, 2.7])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x))
    np.testing.assert_allclose(layer(x), [0, 0, 1.23, 2.55, 2.55], atol=1e-6)
    assert tape.gradient(y, x).numpy().tolist() == [0, 1, 1, 1, 0]


def test_empty_channel_with_bias_keeps_its_int32_bias_in_range(tmp_path):
    x = keras.Input((8, 8, 3), name="image")
    model = keras.Model(x, keras.layers.Conv2D(2, 1)(x))
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[..., 1] = 0.5
    model.layers[1].set_weights([kernel, np.array([1.7, -0.3], np.float32)])
    data = random_input(model)
    path = export_integer(prepare_qat(model, [data], input_range=PIXELS), tmp_path / "m.tflite")
    from quantdet.quant.litert_file import read_litert

    biases = [
        t.data for t in read_litert(path).tensors if t.dtype == "int32" and t.data is not None
    ]
    assert all(np.abs(b.astype(np.int64)).max() < 2**30 for b in biases)


def _by_tensorflow(x):
    class Twice(keras.layers.Layer):
        def call(self, inputs):
            import tensorflow as tf

            return tf.add(inputs, inputs)

        def compute_output_shape(self, input_shape):
            return input_shape

    return Twice(name="my_twice")(x)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (_by_tensorflow, ["my_twice", "Twice", "keras.ops"]),
        (keras.layers.Activation("sparsemax", name="bend"), ["bend", "sparsemax"]),
        (
            lambda x: keras.layers.LSTM(3, name="memory")(keras.layers.Reshape((64, 3))(x)),
            ["memory", "LSTM"],
        ),
        (keras.ops.sort, ["sort", "keras.ops"]),
    ],
)
def test_unsupported_layers_are_named(build, names):
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, build(x))
    with pytest.raises(QuantizationError) as caught:
        prepare_qat(model, [random_input(model)])
    assert all(name.lower() in str(caught.value).lower() for name in names)


def test_refusals_say_what_to_do(model):
    x = random_input(model)
    with pytest.raises(QuantizationError, match=r"static_wi8_ai8"):
        prepare_qat(model, [x], recipe="int8")
    with pytest.raises(QuantizationError, match=r"percentile"):
        prepare_qat(model, [x], observer="best")
    with pytest.raises(QuantizationError, match=r"no calibration data"):
        prepare_qat(model, [])
    with pytest.raises(QuantizationError, match=r"quantized already"):
        prepare_qat(prepare_qat(model, [x]), [x])
    with pytest.raises(QuantizationError, match=r"not finite"):
        prepare_qat(model, [x * np.nan])


def test_an_input_that_no_output_depends_on_is_refused():
    a, b = keras.Input((6, 6, 3), name="kept"), keras.Input((6, 6, 3), name="idle")
    model = keras.Model([a, b], keras.layers.Conv2D(2, 3)(a))
    pixels = np.zeros((2, 6, 6, 3), np.float32)
    with pytest.raises(QuantizationError, match="input 'idle': no output depends"):
        prepare_qat(model, [[pixels, pixels]])


def test_subclassed_model_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(QuantizationError, match="not a functional"):
        prepare_qat(Own(), [np.zeros((1, 2), np.float32)])


def test_rounded_layers_are_right_on_average(monkeypatch):
    """One convolution: the mean error of each channel is what bias correction takes out."""
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 16))
    model = keras.Model(x, keras.layers.Conv2D(8, 3)(x))
    pictures = np.random.default_rng(0).uniform(0, 1, (16, 8, 8, 16)).astype(np.float32)

    def mean_error():
        prepared = prepare_qat(model, [pictures], observer="minmax", trial_export=False)
        error = np.array(prepared(pictures)) - np.array(model(pictures))
        return np.abs(error.mean(axis=(0, 1, 2))).mean()

    corrected = mean_error()
    monkeypatch.setattr(prepare, "correct_biases", lambda *_: None)
    assert corrected < 0.3 * mean_error()
