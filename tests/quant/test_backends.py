"""The engine computes the same on every Keras backend, gradients included; each in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from quantdet.errors import ExportError
from quantdet.export.integer import export_integer
from quantdet.quant.layers import ActivationQuantizer, QuantDense
from quantdet.quant.prepare import prepare_qat

# One step of plain gradient descent at rate 1 moves every weight by its gradient.
_SCRIPT = """
import sys, keras, numpy as np
from keras.src.trainers.trainer import model_supports_jit
from quantdet.quant.prepare import prepare_qat
from tests.quant.cases import random_input, random_model
model = random_model("two_outputs")
x = random_input(model)
found = {}
for ranges in ("calibrated", "learned"):
    prepared = prepare_qat(
        model, [x], ranges=ranges, input_range=(-128/127.5, 127/127.5), trial_export=False
    )
    assert model_supports_jit(prepared) == (keras.backend.backend() != "tensorflow")
    for name, value in prepared(x).items():
        found[f"{ranges} forward {name}"] = keras.ops.convert_to_numpy(value)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in prepared.trainable_variables]
    prepared.compile(
        keras.optimizers.SGD(1.0),
        loss={"scores": "sparse_categorical_crossentropy", "boxes": "mse"},
        jit_compile=False,
    )
    y = {"scores": np.zeros(len(x), "int32"), "boxes": np.full((len(x), 4), 0.5, "float32")}
    prepared.train_on_batch(x, y)
    for number, (old, now) in enumerate(zip(before, prepared.trainable_variables)):
        # Names end in numbers that count up in the process.
        key = f"{ranges} gradient {number} {now.name}"
        found[key] = old - keras.ops.convert_to_numpy(now)
np.savez(sys.argv[1], **found)
"""

# Prints what export_integer said, by case.
_EXPORT = """
import json, sys, keras, numpy as np
from pathlib import Path
from quantdet import QuantdetError, export_integer, prepare_qat
from quantdet.quant.rules import RULES, Range, Rule
from tests.quant.cases import random_input, random_model
folder, said = Path(sys.argv[1]), {}
def export(case, model, **options):
    try:
        export_integer(model, folder / f"{case}.tflite", **options)
        said[case] = ""
    except QuantdetError as error:
        said[case] = f"{type(error).__name__}: {error}"
model = random_model("two_outputs")
prepared = prepare_qat(model, [random_input(model)], input_range=(-1, 1), trial_export=False)
prepared.save(folder / "m.keras")
export("good", prepared)
export("int8", prepared, io_dtype="int8")
export("int16", prepared, io_dtype="int16")
export("float", model)
@keras.saving.register_keras_serializable("mine")
class Double(keras.layers.Layer):
    def call(self, x):
        return x + x
RULES[Double] = Rule(Range.OWN, ("ADD",))
x = keras.Input((4,))
export("own", prepare_qat(keras.Model(x, Double()(x)), np.ones((2, 4)), trial_export=False))
sys.modules["tensorflow"] = None
export("missing", prepared)
print(json.dumps(said))
"""


# Nothing but the one line that docs/quantization.md names.
_LOAD = """
import sys, keras
import quantdet.quant.layers
print(keras.saving.load_model(sys.argv[1]).name)
"""


def _run(backend, script, argument):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(argument)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _compute(backend, file):
    _run(backend, _SCRIPT, file)
    return dict(np.load(file))


@pytest.fixture(scope="module")
def tensorflow(tmp_path_factory):
    return _compute("tensorflow", tmp_path_factory.mktemp("backend") / "tensorflow.npz")


def test_a_plain_compile_leaves_xla_off_where_a_gpu_is(monkeypatch):
    """XLA has no gradient of the native fake quantization; "auto" must not choose it."""
    gpu = SimpleNamespace(device_type="GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    model.compile(loss="mse")
    assert model.jit_compile is True
    for recipe in ("static_wi8_ai8", "static_wi8_ai16"):
        prepared = prepare_qat(model, np.ones((8, 4), np.float32), recipe=recipe)
        prepared.compile(loss="mse")
        assert prepared.jit_compile is False
        told = {type(layer) for layer in prepared.layers if not layer.supports_jit}
        assert told == {ActivationQuantizer, QuantDense}


def _compare(found, tensorflow):
    assert found.keys() == tensorflow.keys()
    ranges = [key for key in found if "learned gradient" in key and key.endswith("imum")]
    assert ranges
    assert any(np.abs(found[key]).max() > 0 for key in ranges)
    for key, value in found.items():
        wanted = tensorflow[key]
        # Sums of floats differ in the last digits, so that single values are rounded otherwise.
        # Measured on JAX: 2e-7 of the largest value.
        limit = 2e-3 * max(np.abs(wanted).max(), 1e-3)
        np.testing.assert_allclose(value, wanted, atol=limit, rtol=0, err_msg=key)


# A minute of compiling.
@pytest.mark.slow
def test_jax_computes_what_tensorflow_does(tensorflow, tmp_path):
    _compare(_compute("jax", tmp_path / "jax.npz"), tensorflow)


_PROGRAMS = """
import jax, json, numpy as np
from quantdet.quant.fake_quant import round_through, to_grid
x = jax.device_put(np.ones((3, 5), np.float32))
ends = [jax.device_put(np.float32(end)) for end in (-1, 1)]
programs = []
def compiled(event, seconds, **about):
    if event.endswith("backend_compile_duration"):
        programs.append(about.get("fun_name"))
jax.monitoring.register_event_duration_secs_listener(compiled)
to_grid(x, *ends)
round_through(x, ends[1])
print(json.dumps(programs))
"""


def test_rounding_is_one_program_on_jax():
    """Calibration calls it outside any step, where JAX compiles each operator for each shape."""
    programs = json.loads(_run("jax", _PROGRAMS, "").splitlines()[-1])
    assert programs == ["jit(_to_grid_keras)", "jit(round_through)"]


def _check_export(backend, folder):
    said = json.loads(_run(backend, _EXPORT, folder).splitlines()[-1])
    loaded = keras.saving.load_model(folder / "m.keras")
    assert _run(backend, _LOAD, folder / "m.keras").splitlines()[-1] == loaded.name
    for case, io_dtype in (("good", None), ("int8", "int8")):
        assert said[case] == ""
        wanted = export_integer(loaded, folder / "wanted.tflite", io_dtype=io_dtype)
        assert (folder / f"{case}.tflite").read_bytes() == wanted.read_bytes()
    with pytest.raises(ExportError) as refused:
        export_integer(loaded, folder / "wanted.tflite", io_dtype="int16")
    assert said["int16"] == f"ExportError: {refused.value}"
    assert "call prepare_qat(model, calibration) first" in said["float"]
    assert said["own"].startswith("ExportError: the TensorFlow process")
    assert "Double" in said["own"]
    assert "with your own layers imported" in said["own"]
    assert said["missing"].startswith("DependencyError: export needs TensorFlow")
    assert f"Keras runs on {backend}" in said["missing"]
    assert "KERAS_BACKEND=tensorflow python -c" in said["missing"]
    assert all("\n" not in sentence for sentence in said.values())


@pytest.mark.slow
def test_export_on_jax(tmp_path):
    _check_export("jax", tmp_path)


@pytest.mark.torch
def test_export_on_torch(tmp_path):
    _check_export("torch", tmp_path)


@pytest.mark.torch
def test_torch_computes_what_tensorflow_does(tensorflow, tmp_path):
    _compare(_compute("torch", tmp_path / "torch.npz"), tensorflow)
