"""The peers' suites in benchmarks/peers: all of them can be built, and the judge judges."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "peers"))

import ai_edge_quantizer
import judge
import keras_hub_backbones
import mct
import realistic
import run
import tfmot

# Built without keras_hub, which is not among quantdet's dependencies.
BUILDS = [
    pytest.param(build, id=f"{suite}-{name}")
    for suite, nets in run.SUITES.items()
    if suite != "keras_hub"
    for name, build in nets.items()
]
TFLITE_NAMES = {"CONV_2D_TRANSPOSE": "TRANSPOSE_CONV"}


def test_sizes_of_the_suites():
    sizes = {name: len(nets) for name, nets in run.SUITES.items()}
    assert sizes == {
        "tfmot": 76,
        "mct": 24,
        "mct_further": 14,
        "ai_edge_quantizer": 73,
        "keras_hub": 17,
    }
    assert len(ai_edge_quantizer.FORMS) == 47
    assert len(tfmot.SINGLE_LAYERS) == 40
    assert not mct.NETS.keys() & mct.FURTHER.keys()
    assert all(map(callable, keras_hub_backbones.NETS.values()))


@pytest.mark.parametrize("build", BUILDS)
def test_every_net_can_be_built(build):
    keras.backend.clear_session()
    model = build(keras)
    assert isinstance(model, keras.Model)
    if model.built:
        assert model.inputs
        assert model.outputs


@pytest.mark.parametrize(
    ("build", "verdict"),
    [
        (tfmot.single_conv, "pass"),
        (mct.output_in_middle, "pass"),
        (ai_edge_quantizer.NETS["ADD.layer"], "pass"),
        (tfmot.quantize_subclassed, "refused"),
    ],
)
def test_verdict_of_cheap_nets(build, verdict):
    row = judge.judge("net", build)
    assert row.verdict == verdict, row
    assert (row.db or 0) >= 20 if verdict == "pass" else row.message


def _dense(keras):
    x = keras.Input((6,), name="features")
    return keras.Model(x, keras.layers.Dense(5)(x))


def test_a_net_that_cannot_be_built_is_no_refusal():
    row = judge.judge("net", lambda keras: keras.layers.Dense(-1))
    assert row.verdict == "unbuilt"
    assert "ValueError" in row.message


def test_a_net_whose_outputs_are_not_finite_counts_as_unbuilt():
    def build(keras):
        x = keras.Input((4,))
        return keras.Model(x, keras.ops.log(x))

    assert judge.judge("net", build).verdict == "unbuilt"


def test_a_file_of_another_net_is_wrong(monkeypatch):
    def of_another_net(prepared, path):
        other = keras.models.clone_model(prepared)
        other.set_weights(prepared.get_weights())
        (kernel,) = [weight for weight in other.weights if weight.path.endswith("kernel")]
        kernel.assign(-kernel)
        return export(other, path)

    export = judge.export_integer
    monkeypatch.setattr(judge, "export_integer", of_another_net)
    row = judge.judge("net", _dense)
    assert row.verdict == "wrong"
    assert "dB" in row.message
    assert "steps" in row.message


@pytest.mark.parametrize(
    ("error", "verdict"), [(judge.QuantdetError, "late"), (KeyError, "traceback")]
)
def test_errors_of_the_export(monkeypatch, error, verdict):
    def refuse(prepared, path):
        raise error("no")

    monkeypatch.setattr(judge, "export_integer", refuse)
    assert judge.judge("net", _dense).verdict == verdict


def test_weights_and_statistics_are_not_those_of_an_untouched_net():
    model = mct.NETS["bn_before_conv"](keras)
    rng = np.random.default_rng(0)
    realistic.set_realistic_weights(model, realistic.draw_inputs(model, 32, rng), rng)
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        if "seed" not in weight.path:
            assert values.min() < values.max(), weight.path


def test_pictures_are_smooth_and_in_the_range_that_the_net_takes():
    for scaling, limits in (([], (-1, 1)), ([keras.layers.Rescaling(1 / 255)], (0, 255))):
        model = keras.Sequential([keras.Input((32, 32, 3)), *scaling, keras.layers.Conv2D(2, 3)])
        (pictures,) = realistic.draw_inputs(model, 4, np.random.default_rng(0))
        assert (pictures.min(), pictures.max()) == pytest.approx(limits)
        neighbours = np.abs(np.diff(pictures, axis=1)).mean()
        assert neighbours < 0.3 * pictures.std()


def test_an_operator_is_as_bad_as_its_worse_form():
    rows = [judge.Row("A.layer", "pass", db=30.0), judge.Row("A.ops", "refused")]
    assert [row.verdict for row in run.by_operator(rows)] == ["refused"]
    assert [row.verdict for row in run.by_operator(rows[::-1])] == ["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ai_edge_quantizer.NETS)
def test_float_converter_makes_the_operator(name):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model = ai_edge_quantizer.NETS[name](keras)
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    made = {op["op_name"] for op in Interpreter(model_content=content)._get_ops_details()}
    operator = name.split(".")[0]
    assert (
        ai_edge_quantizer.OTHERWISE_CONVERTED.get(name, TFLITE_NAMES.get(operator, operator))
        in made
    )


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"db": 19.9, "steps": 0.0}, "19.9 dB"),
        ({"db": 17.1, "steps": 0.0, "converter_db": 18.0}, None),
        ({"db": 17.1, "steps": 0.0, "converter_db": 38.0}, "38.0 dB"),
        ({"db": float("nan"), "steps": 0.0}, "nan dB"),
        ({"db": 40.0, "steps": 2.0}, None),
        ({"db": 40.0, "steps": 3.0}, "3.0 steps"),
        ({"db": 25.0, "steps": 9.0, "exact_steps": 0.0}, None),
        ({"db": 25.0, "steps": 9.0, "exact_steps": 3.0}, "rounding by 3.0"),
    ],
)
def test_faults_of_a_file(found, fault):
    faults = list(judge._faults(judge.Row("net", **found)))
    assert [fault in text for text in faults] == ([True] if fault else [])


def test_converter_is_asked_what_8_bits_cost_a_net_of_few_decibels(monkeypatch):
    monkeypatch.setattr(judge, "LEAST_DB", 90.0)
    row = judge.judge("net", _dense)
    assert 30 < row.converter_db < 60
    assert row.verdict == "pass", row
