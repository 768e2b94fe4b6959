"""Quantization-aware training by tensorflow-model-optimization, on legacy Keras.

    VENV/bin/python rivals/tfmot_qat.py JOB_FOLDER OUT_FOLDER

Rebuilds the net of net.json and weights.npz, checks it against reference.npz, then does what
TFMOT's guide does: quantize_model, compile, fit, TFLiteConverter; input and output are uint8.
"""

from __future__ import annotations

import os
import tempfile
import time

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from job import (
    describe_file,
    float_inputs,
    parse_arguments,
    peak_memory_mb,
    read_json,
    versions,
    write_result,
)
from losses import LOSSES
from pictures import Steps, alone_or_all, batches

TOLERANCE = 1e-3


def main() -> None:
    arguments = parse_arguments(__doc__.splitlines()[0], ("default",))
    job = read_json(arguments.job / "job.json")
    net = read_json(arguments.job / "net.json")
    tf_keras.utils.set_random_seed(job["seed"])
    model = rebuild(net, arguments.job / "weights.npz")
    difference = check(model, net, arguments.job / "reference.npz")
    quantized = tfmot.quantization.keras.quantize_model(model)
    trained = train(quantized, job, list(net["outputs"]), arguments.job / "train.npz")
    peak_training = peak_memory_mb()
    start = time.perf_counter()
    content = convert(quantized, list(net["outputs"]), net["input"]["shape"])
    convert_seconds = time.perf_counter() - start
    result = {
        "rival": "tfmot_qat",
        "versions": versions("tensorflow-model-optimization", "tensorflow-cpu", "tf_keras"),
        **trained,
        "convert_seconds": round(convert_seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
        "peak_memory_training_mb": peak_training,
        **describe_file(open_file(content)),
        "rebuilt_difference": difference,
        "notes": [f"float net rebuilt in legacy Keras: largest difference {difference:.2g}"],
    }
    write_result(arguments.out, content, result)


def rebuild(net, weights):
    """Return the net as a model of legacy Keras; its outputs are in the order of net.json."""
    picture = tf_keras.Input(net["input"]["shape"], name="picture")
    tensors = {net["input"]["tensor"]: picture}
    made = {}
    for node in net["nodes"]:
        if node["name"] not in made:
            made[node["name"]] = make_layers(node)
        arguments = [tensors[tensor] for tensor in node["inputs"]]
        value = arguments if len(arguments) > 1 else arguments[0]
        for layer in made[node["name"]]:
            value = layer(value)
        tensors[node["output"]] = value
    with np.load(weights) as values:
        for node in net["nodes"]:
            made[node["name"]][0].set_weights([values[key] for key in node["weights"]])
    outputs = [tensors[tensor] for tensor in net["outputs"].values()]
    return tf_keras.Model(picture, alone_or_all(outputs), name=net["name"])


def make_layers(node):
    """Return the layer of a node; two for a fused ReLU6.

    TFMOT's patterns know ReLU6 only as a ReLU layer; inside of another it refuses it.
    """
    # TFMOT splits a SeparableConv2D into layers with Keras' own names, "conv2d" and so on; where
    # the net has a layer called so, quantize_model never returns.
    name = f"net_{node['name']}"
    if node["config"].get("activation") != "relu6":
        return [getattr(tf_keras.layers, node["class"])(name=name, **node["config"])]
    if node["class"] == "Activation":
        return [tf_keras.layers.ReLU(6.0, name=name)]
    plain = {**node, "config": {**node["config"], "activation": "linear"}}
    return [*make_layers(plain), tf_keras.layers.ReLU(6.0, name=f"{name}_relu6")]


def check(model, net, reference):
    """Return the largest difference to what Keras 3 computed.

    Raises:
        SystemExit: it is above the tolerance: this is another net.
    """
    with np.load(reference) as file:
        outputs = tf.nest.flatten(model(float_inputs(file["x"]), training=False))
        found = {
            name: float(np.abs(output.numpy() - file[f"y_{name}"]).max())
            for name, output in zip(net["outputs"], outputs, strict=True)
        }
    if not max(found.values()) <= TOLERANCE:
        raise SystemExit(f"the net rebuilt in legacy Keras differs from Keras 3's: {found}")
    return max(found.values())


def train(model, job, names, file):
    """Train all layers; return seconds, steps and the steady rate."""
    losses = [LOSSES.get(job["losses"][name], job["losses"][name]) for name in names]
    weights = [job.get("loss_weights", {}).get(name, 1.0) for name in names]
    model.compile(
        optimizer=tf_keras.optimizers.Adam(job["learning_rate"]),
        loss=alone_or_all(losses),
        loss_weights=weights,
    )
    pictures, count = batches(job, names, file)
    pace = Pace()
    start = time.perf_counter()
    model.fit(pictures, epochs=job["epochs"], verbose=2, callbacks=[pace])
    seconds = time.perf_counter() - start
    return {
        "train_seconds": round(seconds, 2),
        "steps": len(pace.ends),
        "images_per_second": pace.images_per_second(job, count),
    }


class Pace(Steps, tf_keras.callbacks.Callback):
    """Notes when each step ended."""


def convert(model, names, shape):
    """Return the integer .tflite of a model with fake quantization; its outputs carry ``names``."""

    def serve(picture):
        return dict(zip(names, tf.nest.flatten(model(picture, training=False)), strict=True))

    module = tf.Module()
    module.model = model
    module.serve = tf.function(
        serve, input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="picture")]
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        return converter.convert()


def open_file(content):
    return tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=(
            tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )


if __name__ == "__main__":
    main()
