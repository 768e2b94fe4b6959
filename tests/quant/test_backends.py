"""The engine runs on every Keras backend; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_SCRIPT = """
import keras, numpy as np
from quantdet.quant.prepare import prepare_qat
from tests.quant.cases import random_input, random_model
model = random_model("two_outputs")
x = random_input(model)
prepared = prepare_qat(model, [x], input_range=(-128/127.5, 127/127.5))
before = keras.ops.convert_to_numpy(prepared(x)["boxes"])
prepared.compile("adam", loss={"scores": "sparse_categorical_crossentropy", "boxes": "mse"})
y = {"scores": np.zeros(len(x), "int32"), "boxes": np.full((len(x), 4), 0.5, "float32")}
prepared.fit(x, y, epochs=2, verbose=0)
assert np.isfinite(keras.ops.convert_to_numpy(prepared(x)["boxes"])).all()
print("SUM", float(np.abs(before).sum()))
"""


def _run(backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split("SUM")[1])


def test_jax_computes_what_tensorflow_does():
    # Float sums differ in the last digits, so single roundings may; measured difference 0.
    assert _run("jax") == pytest.approx(_run("tensorflow"), rel=2e-3)


@pytest.mark.torch
def test_torch_computes_what_tensorflow_does():
    assert _run("torch") == pytest.approx(_run("tensorflow"), rel=2e-3)
