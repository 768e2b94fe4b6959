"""Which nets of benchmarks/peers TFMOT quantizes and converts, as JSON.

    VENV/bin/python rivals/tfmot_suites.py [NET ...] > tfmot_suites.json

The very nets of peers/tfmot.py and peers/mct.py, built in legacy Keras; no training, so the
structure counts: quantized by ``quantize_model``, and a file whose tensors are all integer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
import tf_keras
from job import describe_file
from tfmot_coverage import first_lines
from tfmot_qat import open_file, tfmot

sys.path.append(str(Path(__file__).resolve().parents[2] / "peers"))

import mct
import tfmot as tfmot_suite

SUITES = {"tfmot": tfmot_suite.NETS, "mct": mct.NETS, "mct_further": mct.FURTHER}
# quantize_model never returns for some nets: a SeparableConv2D becomes layers with Keras' own
# names, which other layers of the net may have.
LONGEST_SECONDS = 90


def legacy_keras():
    """Return what the nets use of Keras: legacy Keras, and TensorFlow for bare operations."""
    ops = SimpleNamespace(
        add=tf.add,
        concatenate=tf.concat,
        conv=lambda x, kernel, strides=1, padding="valid", dilation_rate=1: tf.nn.conv2d(
            x, kernel, strides, padding.upper(), dilations=dilation_rate
        ),
        depthwise_conv=lambda x, kernel, strides=1, padding="valid": tf.nn.depthwise_conv2d(
            x, kernel, (1, strides, strides, 1), padding.upper()
        ),
        matmul=tf.matmul,
        relu=tf.nn.relu,
        reshape=tf.reshape,
        sigmoid=tf.sigmoid,
        softmax=tf.nn.softmax,
        split=tf.split,
    )
    return SimpleNamespace(
        Input=tf_keras.Input,
        Layer=tf_keras.layers.Layer,
        Model=tf_keras.Model,
        Sequential=tf_keras.Sequential,
        layers=tf_keras.layers,
        ops=ops,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*")
    wanted = parser.parse_args().nets
    signal.signal(signal.SIGALRM, _interrupt)
    # As the peer's own tests do: it turns a SeparableConv1D into layers with Lambdas.
    tf_keras.__internal__.enable_unsafe_deserialization()
    rows = [
        try_net(suite, name, build)
        for suite, nets in SUITES.items()
        for name, build in nets.items()
        if not wanted or name in wanted
    ]
    print(json.dumps(rows, indent=2))


def _interrupt(_number, _frame):
    raise TimeoutError(f"not done after {LONGEST_SECONDS} s")


def try_net(suite, name, build):
    print(suite, name, file=sys.stderr, flush=True)
    row = {"suite": suite, "net": name, "quantized": False, "all_integer": False, "error": None}
    tf_keras.backend.clear_session()
    # Not caught: a net that cannot be built says nothing about TFMOT.
    model = build(legacy_keras())
    signal.alarm(LONGEST_SECONDS)
    try:
        quantized = tfmot.quantization.keras.quantize_model(model)
        row["quantized"] = True
        row["all_integer"] = describe_file(open_file(convert(quantized)))["all_integer"]
    # Whatever TFMOT or the converter raises is the finding.
    except Exception as error:
        row["error"] = first_lines(error)
    finally:
        signal.alarm(0)
    return row


def convert(model):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return converter.convert()


if __name__ == "__main__":
    main()
