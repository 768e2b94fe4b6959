"""Noise of layers, sensitivity of outputs, and the layers that are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as kl

from quantdet.errors import ModelError, QuantizationError
from quantdet.quant.analysis import analyse
from quantdet.quant.calibrate import set_output_ranges
from quantdet.quant.diagnosis import diagnose, explain
from quantdet.quant.freezing import freeze
from quantdet.quant.judge import compare_with_float
from quantdet.quant.noise import LIMIT_DB, decibels
from quantdet.quant.pair import Pair
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.recipes import RECIPES, Recipe
from quantdet.quant.sensitivities import sensitivity
from quantdet.train.analyse_stage import check_divided
from tests.quant.cases import random_input, random_model
from tests.quant.test_accuracy import uneven_net

PIXELS = (-128 / 127.5, 127 / 127.5)


def small_net(classes=4):
    """Return a net of four layers with drawn weights, each of a name of its own."""
    keras.utils.clear_session()
    x = keras.Input((8, 8, 3), name="image")
    y = kl.Conv2D(8, 3, padding="same", activation="relu6", name="first")(x)
    y = kl.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = kl.Conv2D(8, 1, activation="relu", name="second")(y)
    y = kl.GlobalAveragePooling2D(name="mean")(y)
    model = keras.Model(x, kl.Dense(classes, name="answer")(y))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    return model


def quantized(model, **options):
    return prepare_qat(model, [random_input(model, 32)], input_range=PIXELS, **options)


def batches(model, count=16):
    x = random_input(model, count, seed=5)
    return [x[start : start + 8] for start in range(0, count, 8)]


def by_name(layers):
    return {item.layer: item for item in layers}


def ruin_range(model, name, factor):
    """Multiply the range behind a layer by ``factor``."""
    (point,) = [p for p in Pair(model).points if p.name == name]
    params = point.quantizer.params()
    point.quantizer.set_range(params.minimum * factor, params.maximum * factor)


def test_decibels():
    assert decibels(100.0, 1.0) == pytest.approx(20.0)
    assert decibels(1.0, 0.0) == decibels(0.0, 0.0) == LIMIT_DB
    assert decibels(0.0, 1.0) == -LIMIT_DB


def test_own_noise_of_rounding_is_a_twelfth_of_a_step_squared():
    model = small_net()
    layer = by_name(analyse(Pair(quantized(model)), batches(model)).layers)["depthwise"]
    model_out = keras.Model(model.input, model.get_layer("depthwise").output)
    signal = np.square(np.array(model_out(random_input(model, 16, seed=5)))).mean()
    step = (layer.maximum - layer.minimum) / 255
    assert layer.from_rounding > 0.5
    rounding = ratio_of(layer) * layer.from_rounding
    assert 10 * np.log10(rounding / (step**2 / 12 / signal)) == pytest.approx(0, abs=0.5)


def ratio_of(layer):
    return 10 ** (-layer.sqnr_own_db / 10)


def test_every_layer_is_there_in_order_and_the_pixels_are_exact():
    model = small_net()
    found = analyse(Pair(quantized(model), model), batches(model)).layers
    assert [layer.layer for layer in found] == ["image", "first", "depthwise", "second", "mean",
                                                "answer"]  # fmt: skip
    assert [layer.kind for layer in found][:3] == ["InputLayer", "Conv2D", "DepthwiseConv2D"]
    assert found[0].sqnr_db > 120
    assert found[0].fixed_range
    assert all(30 < layer.sqnr_own_db < 70 for layer in found[1:])
    assert all(layer.cosine > 0.999 for layer in found)
    parts = [layer.from_weights + layer.from_clipping + layer.from_rounding for layer in found]
    np.testing.assert_allclose(parts, 1.0)


def test_noise_adds_up_along_the_net():
    model = small_net()
    found = by_name(analyse(Pair(quantized(model), model), batches(model)).layers)
    assert found["first"].sqnr_db == pytest.approx(found["first"].sqnr_own_db, abs=0.1)
    assert found["second"].sqnr_db < found["second"].sqnr_own_db - 1


@pytest.mark.parametrize(
    ("factor", "cause", "advice"),
    [(0.2, "clipping", "observer mse"), (30.0, "rounding", "a few large values")],
)
def test_a_ruined_range_is_named_with_its_cause(factor, cause, advice):
    model = small_net()
    prepared = quantized(model)
    ruin_range(prepared, "second", factor)
    pair = Pair(prepared, model)
    found = analyse(pair, batches(model)).layers
    for sensitivities in (None, sensitivity(pair, batches(model))):
        worst = diagnose(found, sensitivities, "percentile")[0]
        assert (worst.layer, worst.cause) == ("second", cause)
        assert advice in worst.text
        assert worst.share > 0.9
    layer = by_name(found)["second"]
    assert (layer.clipped > 0.1) == (cause == "clipping")
    assert (layer.range_use < 0.05) == (cause == "rounding")


def test_a_healthy_net_has_no_layer_that_stands_out():
    model = small_net()
    prepared = quantized(model, observer="minmax")
    pair = Pair(prepared, model)
    layers = analyse(pair, batches(model)).layers
    moved = sensitivity(pair, batches(model))
    assert diagnose(layers, moved) == []
    # The very shares, but of much more noise.
    loud = [replace(item, output_sqnr_db=item.output_sqnr_db - 20) for item in moved]
    assert diagnose(layers, loud)[0].layer == max(moved, key=lambda item: item.share).layer


def test_what_a_relu_clips_is_no_clipping():
    model = small_net()
    prepared = quantized(model, observer="minmax")
    pair = Pair(prepared, model)
    layer = by_name(analyse(pair, [random_input(model, 32)]).layers)["first"]
    before = keras.Model(model.input, model.get_layer("first").output)
    assert (np.array(before(random_input(model, 32))) == 0).mean() > 0.2
    assert layer.clipped == layer.from_clipping == 0


def padded_net():
    """Equalized over a padding and between dense layers; one tensor has two readers."""
    keras.utils.clear_session()
    x = keras.Input((9, 9, 3), name="image")
    y = kl.Conv2D(6, 3, use_bias=False, name="first")(x)
    y = kl.ReLU(name="kept")(kl.BatchNormalization(name="norm")(y))
    y = kl.ZeroPadding2D(1, name="border")(y)
    y = kl.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(y)
    y = kl.Add(name="both")([kl.Conv2D(6, 1, name="left")(y), kl.Conv2D(6, 1, name="right")(y)])
    y = kl.Dense(8, activation="relu", name="hidden")(kl.GlobalAveragePooling2D(name="mean")(y))
    model = keras.Model(x, kl.Dense(4, name="answer")(y))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.05, 1.5, weight.shape) * rng.choice([-1, 1], weight.shape))
    model.get_layer("norm").moving_variance.assign(rng.uniform(0.5, 2, 6))
    return model


EQUALIZED = {
    "relu": lambda: uneven_net("relu"),
    "relu6": lambda: uneven_net("relu6"),
    "linear": lambda: uneven_net(None),
    "padded": padded_net,
}


@pytest.mark.parametrize("name", EQUALIZED)
def test_an_equalized_net_compares_with_the_given_one(name):
    """Its inner tensors and kernels are those of the given net, divided."""
    model = EQUALIZED[name]()
    x = random_input(model, 32)
    prepared = prepare_qat(model, [x], recipe="static_wi8_ai8_per_tensor", input_range=PIXELS)
    for loaded in (prepared, type(prepared).from_config(prepared.get_config())):
        loaded.set_weights(prepared.get_weights())
        pair = Pair(loaded, model)
        assert pair.is_divided
        for layer in analyse(pair, [x]).layers:
            assert layer.sqnr_own_db > 30, layer
            assert layer.weights is None or layer.weights.sqnr_db > 35, layer
        assert min(compare_with_float(model, loaded, x).layers.values()) > 30


def test_an_equalized_model_of_an_older_version_is_refused():
    model = uneven_net("relu")
    options = {"recipe": "static_wi8_ai8_per_tensor", "input_range": PIXELS}
    pair = Pair(prepare_qat(model, [random_input(model, 8)], **options), model)
    check_divided(pair, Path("run/qat/model.keras"))
    for point in pair.points:
        point.quantizer.divided_by = None
    with pytest.raises(ModelError, match="older version made it; remove run/qat"):
        check_divided(pair, Path("run/qat/model.keras"))


def test_channels_of_different_size_under_one_scale_are_named(monkeypatch):
    # The recipe of that kind equalizes the channels first; here they shall differ.
    monkeypatch.setitem(RECIPES, "one_scale", Recipe(per_channel=False))
    model = small_net()
    kernel, bias = model.get_layer("depthwise").get_weights()
    kernel *= np.logspace(0, -3, 8, dtype=np.float32)[:, None]
    model.get_layer("depthwise").set_weights([kernel, bias * 0])
    spread = np.abs(kernel).max((0, 1)).max() / np.abs(kernel).max((0, 1)).min()
    # The small channels count: what follows makes them as large as the others.
    following, other_bias = model.get_layer("second").get_weights()
    following *= np.logspace(0, 3, 8, dtype=np.float32)[:, None]
    model.get_layer("second").set_weights([following, other_bias])
    recipes = ("one_scale", "static_wi8_ai8")
    whole, each = (analyse(Pair(quantized(model, recipe=recipe), model), batches(model)).layers
                   for recipe in recipes)  # fmt: skip
    weights = by_name(whole)["depthwise"].weights
    assert weights.spread == pytest.approx(spread, rel=1e-5)
    assert (weights.scales, by_name(each)["depthwise"].weights.scales) == (1, 8)
    assert weights.sqnr_db < by_name(each)["depthwise"].weights.sqnr_db - 3
    assert "differ" in explain_of(whole, "depthwise", "weights")


def explain_of(layers, name, cause):
    """Return the text for a layer, its own noise wholly of one cause."""
    parts = {"from_weights": 0.0, "from_clipping": 0.0, "from_rounding": 0.0}
    return explain(replace(by_name(layers)[name], **{**parts, f"from_{cause}": 1.0}))


def test_what_training_moved_is_not_called_rounding():
    model = small_net()
    prepared = quantized(model)
    layer = prepared.get_layer("second")
    moves = np.random.default_rng(0).choice([-9, 9], layer.kernel.shape)
    layer.kernel.assign_add(moves * np.array(layer.weight_scale()))
    found = analyse(Pair(freeze(prepared), model), batches(model)).layers
    assert by_name(found)["second"].weights.moved_steps == pytest.approx(9, rel=0.1)
    assert by_name(found)["depthwise"].weights.moved_steps == pytest.approx(12**-0.5, abs=0.05)
    worst = diagnose(found)[0]
    assert worst.layer == "second"
    assert "Training moved its weights by" in worst.text
    # Without the float model, what training gave is the signal.
    alone = by_name(analyse(Pair(freeze(prepared)), batches(model)).layers)["second"]
    assert alone.weights.sqnr_db == LIMIT_DB


def test_layers_with_one_range_name_each_other():
    keras.utils.clear_session()
    x = keras.Input((8, 8, 3), name="image")
    large = kl.Conv2D(4, 1, name="large", kernel_initializer=keras.initializers.Constant(20))(x)
    small = kl.Conv2D(4, 1, name="small", kernel_initializer=keras.initializers.Constant(0.02))(x)
    model = keras.Model(x, kl.Concatenate(name="join")([large, small]))
    pair = Pair(quantized(model), model)
    layers = analyse(pair, batches(model)).layers
    assert by_name(layers)["small"].shares_range == ("large",)
    (finding,) = diagnose(layers)
    assert finding.layer == "small"
    assert "shares with large" in finding.text


def names_in(case):
    return [point.name for point in Pair(quantized(random_model(case))).points]


def test_fused_relu_and_repeated_calls_have_their_names():
    two = names_in("concatenate_mixed_activations")
    assert len(two) == 3
    assert not [name for name in two if "relu" in name]
    shared = names_in("shared_layer")
    assert len(set(shared)) == len(shared)
    assert any(name.endswith("#2") for name in shared)


def test_sensitivity_is_a_model_with_one_layer_quantized():
    model = small_net()
    x = random_input(model, 16, seed=5)
    prepared = quantized(model)
    found = by_name(sensitivity(Pair(prepared, model), batches(model)))
    layer = prepared.get_layer("answer")
    quantizer = prepared.get_layer("answer_quant")
    inner = keras.Model(model.input, model.get_layer("mean").output)
    moved, wanted = np.array(quantizer(layer(inner(x)))), np.array(model(x))
    expected = decibels(np.square(wanted).sum(), np.square(moved - wanted).sum())
    assert found["answer"].output_sqnr_db == pytest.approx(expected, abs=0.01)
    assert found["image"].output_sqnr_db > 100
    assert sum(item.share for item in found.values()) == pytest.approx(1.0)


def test_sensitivity_moves_only_the_outputs_that_depend_on_a_layer():
    keras.utils.clear_session()
    x = keras.Input((8, 8, 3), name="image")
    trunk = kl.Conv2D(4, 3, name="trunk")(x)
    model = keras.Model(x, {"a": kl.Conv2D(2, 1, name="left")(trunk),
                            "b": kl.Conv2D(2, 1, name="right")(trunk)})  # fmt: skip
    prepared = quantized(model)
    before = by_name(sensitivity(Pair(prepared, model), batches(model)))
    ruin_range(prepared, "left", 0.1)
    after = by_name(sensitivity(Pair(prepared, model), batches(model)))
    assert after["left"].output_sqnr_db < before["left"].output_sqnr_db - 10
    assert after["right"].output_sqnr_db == before["right"].output_sqnr_db
    assert after["trunk"].output_sqnr_db == before["trunk"].output_sqnr_db


def test_outputs_cut_on_purpose_are_not_clipping():
    keras.utils.clear_session()
    x = keras.Input((8, 8, 3), name="image")
    model = keras.Model(x, {"scores": kl.Conv2D(2, 1, name="logits")(x)})
    prepared = quantized(model)
    set_output_ranges(prepared, {"scores": (-0.1, 0.1)})
    blamed = by_name(analyse(Pair(prepared, model), batches(model)).layers)["logits"]
    meant = Pair(prepared, model, ["scores"])
    excused = by_name(analyse(meant, batches(model)).layers)["logits"]
    assert blamed.clipped > 0.3
    assert excused.clipped == 0
    assert excused.sqnr_db > blamed.sqnr_db + 20
    with pytest.raises(QuantizationError, match="no output 'boxes'"):
        Pair(prepared, model, ["boxes"])


def test_progress_reaches_the_total():
    model = small_net()
    pair = Pair(quantized(model), model)
    seen = []
    analyse(pair, batches(model), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    seen.clear()
    sensitivity(pair, batches(model), lambda done, total: seen.append((done, total)))
    assert seen == [(number, 12) for number in range(1, 13)]


def test_refused():
    model = small_net()
    prepared = quantized(model)
    with pytest.raises(QuantizationError, match="is not quantized"):
        Pair(model)
    with pytest.raises(QuantizationError, match="layer 'answer' with a kernel of"):
        Pair(prepared, small_net(classes=5))
    with pytest.raises(QuantizationError, match="no pictures"):
        analyse(Pair(prepared, model), [])
    broken = random_input(model)
    broken[0] = np.nan
    with pytest.raises(QuantizationError, match="not finite"):
        analyse(Pair(prepared, model), [broken])
