"""What makes quantized nets better: equalization, rounding, learned and tracked ranges, recipes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from quantdet.errors import QuantizationError
from quantdet.export.integer import export_integer
from quantdet.quant.equalize import equalize
from quantdet.quant.fold import simplify
from quantdet.quant.graph import build_model
from quantdet.quant.layers import ActivationQuantizer, QuantDepthwiseConv2D, QuantizedWeights
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.reader import read_graph
from quantdet.quant.recipes import RecipeBook
from quantdet.quant.rounding import patches
from tests.quant.cases import random_input, random_model

PIXELS = (-128 / 127.5, 127 / 127.5)


def uneven_net(activation="relu6", spread=100.0):
    """A small inverted residual whose channels have weights of very different size."""
    keras.utils.set_random_seed(1)
    x = keras.Input((12, 12, 3), name="image")
    y = kl.Conv2D(16, 3, padding="same", activation=activation, name="expand")(x)
    y = kl.DepthwiseConv2D(3, padding="same", activation=activation, name="depthwise")(y)
    y = kl.Conv2D(6, 1, name="project")(y)
    model = keras.Model(x, y)
    factor = np.geomspace(1, spread, 16)
    expand, depthwise = model.get_layer("expand"), model.get_layer("depthwise")
    expand.kernel.assign(np.array(expand.kernel) / factor)
    depthwise.kernel.assign(3 * np.array(depthwise.kernel) * factor[:, None])
    return model


def noise(model, prepared, x):
    return float(np.mean(np.square(np.array(model(x)) - np.array(prepared(x)))))


@pytest.mark.parametrize("activation", ["relu", "relu6", None])
def test_equalization_keeps_the_function_and_evens_the_weights(activation):
    model = uneven_net(activation)
    x = random_input(model, count=8)
    before = [np.array(weight) for weight in model.get_weights()]
    even = build_model(equalize(simplify(read_graph(model)), [[x]]), "even")
    # Measured: 3e-7 of outputs up to 1.
    np.testing.assert_allclose(np.array(model(x)), np.array(even(x)), atol=1e-5)
    kernels = [np.abs(np.array(m.get_layer("depthwise").kernel)) for m in (model, even)]
    uneven, evened = (k.max((0, 1)).max() / k.max((0, 1)).min() for k in kernels)
    assert evened < uneven / 10
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


def test_per_tensor_recipe_is_saved_by_equalization():
    model = uneven_net("relu")
    x = random_input(model)
    per_tensor = prepare_qat(model, [x], recipe="static_wi8_ai8_per_tensor", input_range=PIXELS)
    per_channel = prepare_qat(model, [x], input_range=PIXELS)
    # Measured 1.5; without equalization 60.
    assert noise(model, per_tensor, x) < 4 * noise(model, per_channel, x)


@pytest.mark.parametrize("recipe", ["static_wi8_ai8", "static_wi4_ai8"])
def test_second_order_rounding_beats_rounding_to_nearest(recipe, tmp_path):
    model = uneven_net("relu", spread=2.0)
    # Neighbouring pixels alike, as in pictures: that is what rounding can make use of.
    x = np.repeat(np.repeat(random_input(model)[:, ::3, ::3], 3, 1), 3, 2)
    nets = {
        rounding: prepare_qat(model, [x], recipe=recipe, rounding=rounding, input_range=PIXELS)
        for rounding in ("nearest", "second_order")
    }
    errors = {name: noise(model, net, x) for name, net in nets.items()}
    # Measured: 0.97 with 8 bits, where rounding of activations is most of the noise; 0.8 with 4.
    bar = {"static_wi8_ai8": 0.985, "static_wi4_ai8": 0.95}[recipe]
    assert errors["second_order"] < bar * errors["nearest"]
    export_integer(nets["second_order"], tmp_path / "m.tflite")


def _fit(prepared, x, y, rate=3e-3, epochs=15):
    prepared.compile(keras.optimizers.Adam(rate), loss="mse", jit_compile=False)
    return prepared.fit(x, y, epochs=epochs, batch_size=8, verbose=0).history["loss"]


def test_learned_ranges_repair_a_bad_range_and_export(tmp_path):
    model = uneven_net("relu6", spread=1.0)
    x = random_input(model, count=32)
    losses = {}
    for ranges in ("calibrated", "learned"):
        prepared = prepare_qat(model, [x], ranges=ranges, input_range=PIXELS)
        (last,) = [q for q in prepared.layers if q.name == "project_quant"]
        last.set_range(*(0.3 * np.array([last.params().minimum, last.params().maximum])))
        # Only ranges may move: the weights cannot make up for them.
        for layer in prepared.layers:
            layer.trainable = isinstance(layer, ActivationQuantizer)
        if ranges == "learned":
            _fit(prepared, x, np.array(model(x)), rate=2e-2, epochs=30)
        losses[ranges] = noise(model, prepared, x)
    assert losses["learned"] < 0.3 * losses["calibrated"]
    export_integer(prepared, tmp_path / "m.tflite")


def test_learned_range_has_the_gradient_of_lsq():
    import tensorflow as tf

    layer = ActivationQuantizer(ranges="learned")
    layer.build((None, 5))
    layer.set_range(-1.0, 1.55)
    x = tf.constant([[-3.0, -0.014, 0.503, 1.0, 2.0]])
    with tf.GradientTape() as tape:
        y = layer(x)
        total = tf.reduce_sum(y)
    low, high = tape.gradient(total, [layer.minimum.value, layer.maximum.value])
    scale = (5 * 255) ** -0.5
    inside = float(tf.reduce_sum((y - x)[0, 1:4])) / 2.55
    # One value above, one below, three inside.
    assert float(high) == pytest.approx(scale * (1 + inside), rel=1e-4)
    assert float(low) == pytest.approx(scale * (1 - inside), rel=1e-4)


def test_tracked_ranges_follow_for_some_steps_and_then_stay():
    model = uneven_net("relu", spread=1.0)
    x = random_input(model, count=16)
    prepared = prepare_qat(model, [x], ranges="tracked", track_steps=4, input_range=PIXELS)
    (tracked,) = [q for q in prepared.layers if q.name == "project_quant"]
    start = tracked.params()
    _fit(prepared, x, 3 * np.array(model(x)), epochs=2)
    moved = tracked.params()
    assert moved != start
    _fit(prepared, x, 3 * np.array(model(x)), epochs=2)
    assert tracked.params() == moved
    prepared(x)
    assert tracked.params() == moved


def test_rules_mix_recipes_by_layer_name(tmp_path):
    model = uneven_net("relu", spread=1.0)
    x = random_input(model)
    rules = [("expand|project", "static_wi4_ai8"), (".*", "static_wi8_ai8")]
    prepared = prepare_qat(model, [x], recipe=rules, input_range=PIXELS)
    bits = {q.name: q.bits for q in prepared.layers if isinstance(q, QuantizedWeights)}
    assert bits == {"expand": 4, "depthwise": 8, "project": 4}
    mixed = export_integer(prepared, tmp_path / "mixed.tflite")
    eight = export_integer(prepare_qat(model, [x], input_range=PIXELS), tmp_path / "8.tflite")
    assert mixed.stat().st_size < eight.stat().st_size


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([("stem", "static_wi4_ai8"), (".*", "static_wi8_ai8")], "'stem' matches no layer"),
        ([("expand", "static_wi4_ai8")], "no rule matches layer 'depthwise'"),
        ([("(", "static_wi8_ai8")], "not a regular expression"),
        ([(".*", "int3")], "static_wi4_ai8"),
        ([("expand", "static_wi8_ai16"), (".*", "static_wi8_ai8")], "8 and 16 bits"),
    ],
)
def test_wrong_rules_are_refused(rules, message):
    with pytest.raises(QuantizationError) as caught:
        RecipeBook(rules, ["expand", "depthwise", "project"])
    assert message in str(caught.value)


def test_wrong_names_are_refused():
    model = random_model("conv2d")
    x = random_input(model)
    with pytest.raises(QuantizationError, match="second_order"):
        prepare_qat(model, [x], rounding="up")
    with pytest.raises(QuantizationError, match="learned"):
        prepare_qat(model, [x], ranges="free")


@pytest.mark.parametrize("ranges", ["learned", "tracked"])
def test_training_goes_on_from_a_saved_model(ranges, tmp_path):
    model = uneven_net("relu6", spread=1.0)
    x = random_input(model)
    prepared = prepare_qat(model, [x], ranges=ranges, input_range=PIXELS)
    _fit(prepared, x, np.array(model(x)), epochs=2)
    prepared.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    first = _fit(prepared, x, np.array(model(x)), epochs=1)
    assert _fit(loaded, x, np.array(model(x)), epochs=1) == pytest.approx(first, rel=1e-5)
    np.testing.assert_allclose(np.array(prepared(x)), np.array(loaded(x)), atol=1e-6)


def test_4_bit_scales_are_not_those_of_the_largest_weight():
    model = uneven_net("relu", spread=1.0)
    largest = np.abs(np.array(model.get_layer("project").kernel)).max((0, 1, 2))
    prepared = prepare_qat(model, [random_input(model)], recipe="static_wi4_ai8")
    layer = prepared.get_layer("project")
    share = np.array(layer.weight_scale()) / (largest / 7)
    assert (share <= 1).all()
    assert share.min() < 0.95
    assert np.abs(layer.integer_kernel()).max() == 7
    assert not any(q.bits == 4 for q in prepared.layers if isinstance(q, QuantDepthwiseConv2D))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": (3, 5), "strides": 2},
        {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    ],
)
def test_rounding_sees_what_the_kernel_is_multiplied_with(options):
    layer = kl.Conv2D(4, use_bias=False, **options)
    x = np.random.default_rng(0).normal(size=(2, 9, 10, 3)).astype(np.float32)
    wanted = np.array(layer(x)).reshape(-1, 4)
    sample = patches(layer, x) @ np.array(layer.kernel).reshape(-1, 4)
    np.testing.assert_allclose(sample, wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(65, 63), (30, 30), (150, 150)])
def test_rounding_samples_all_columns_of_a_picture_alike(size):
    """With a fixed step of 21 only columns 0, 21 and 42 of 63 were seen."""
    height, width = size
    layer = kl.Conv2D(1, 1)
    layer.build((None, height, width, 1))
    columns = np.broadcast_to(np.arange(width, dtype=np.float32)[:, None], (48, *size, 1))
    seen = np.bincount(patches(layer, columns)[:, 0].astype(int), minlength=width)
    assert seen.sum() == 48 * 200
    # Six standard deviations of counts of independent draws.
    mean = seen.sum() / width
    assert np.abs(seen - mean).max() < 6 * np.sqrt(mean)
