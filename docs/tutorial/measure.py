"""Measure what the tutorial's figures draw, on the detector that comes with quantdet.

    python docs/tutorial/measure.py [NAME …]     # a minute on two cores; needs quantdet[train]

Writes measured.json next to this script, or the named parts of it. Pictures are generated, so
the figures say how quantization acts on a real net, not how accurate that net is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from quantdet import Detector, load_config
from quantdet.data import render_scene
from quantdet.models import build_model, resolve_start
from quantdet.quant import OBSERVERS, Pair, QuantParams, analyse, prepare_qat, quantize
from quantdet.runtime import PIXEL_RANGE, to_real

HERE = Path(__file__).parent
# Of the shipped detector: the layer with the most unequal channels, and the one with rare outliers.
DEPTHWISE = "block_1_depthwise"
OUTLIERS = "block_12_add"
BINS = 100

Values = NDArray[np.float32]


def pictures(count: int, size: int = 300) -> Values:
    """Return generated pictures as real values, (N, size, size, 3)."""
    scenes = [render_scene(7, index, (size, size))[0] for index in range(count)]
    return to_real(np.stack(scenes))


def shipped_net() -> keras.Model:
    """Return the shipped detector as a float Keras model: its integers times their scales."""
    config = load_config(preset="voc_ssd300", overrides=['model.weights="voc-ssd300"']).model
    labels = Detector.pretrained().contract.labels
    return build_model(config, len(labels), resolve_start(config, labels))


def kernel_facts(kernel: Values) -> dict[str, Any]:
    """Compare one scale per channel with one for all, on a depthwise kernel (3, 3, C, 1)."""
    weights = kernel.reshape(-1, kernel.shape[2])
    largest = np.abs(weights).max(axis=0)
    shared, typical = largest.max() / 127, np.argsort(largest)[len(largest) // 2]
    steps = np.round(weights / shared)
    lost = np.square(weights - steps * shared).sum(axis=0)
    signal = np.square(weights).sum(axis=0)
    # Channels already on the shared grid have no noise.
    ratios = signal / np.maximum(lost, signal * 1e-12)
    return {
        "largest": [round(float(value), 6) for value in largest],
        "zeroed": int((~steps.any(axis=0)).sum()),
        "median_db": round(float(np.median(10 * np.log10(ratios))), 1),
        "weights": [round(float(value), 6) for value in weights[:, typical]],
    }


def histogram_facts(values: Values) -> dict[str, Any]:
    """Return an even histogram of values, and what range each observer proposes for them."""
    counts, edges = np.histogram(values, BINS)
    found = {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}
    return {**found, "ranges": {name: observed(name, values) for name in OBSERVERS}}


def observed(name: str, values: Values) -> dict[str, float]:
    """Return the range of one observer, and the error of the values on its grid."""
    observer = OBSERVERS[name]()
    observer.update(values)
    low, high = observer.range()
    scale = (high - low) / 255
    grid = QuantParams(scale, round(-low / scale))
    back = (quantize(values, grid).astype(np.float32) - grid.zero_point) * scale
    db = 10 * np.log10(np.square(values).sum() / np.square(back - values).sum())
    return {"low": round(low, 3), "high": round(high, 3), "db": round(float(db), 1)}


def noise() -> dict[str, Any]:
    """Return the noise that every layer of a net adds, and what arrives at the outputs."""
    model, batch = shipped_net(), pictures(4)
    prepared = prepare_qat(model, batch, input_range=PIXEL_RANGE, trial_export=False)
    found = analyse(Pair(prepared, model), [batch])
    rows = [
        (layer.layer, round(layer.sqnr_own_db, 1), round(layer.sqnr_db, 1))
        for layer in found.layers
        if layer.weights is not None
    ]
    return {"layers": rows, "outputs": {k: round(v, 1) for k, v in found.outputs.items()}}


def float_tensors(has_range: bool) -> int:
    """Return how many float tensors stay in a file whose last layer has a range, or has none."""
    grid = (-6.0, 6.0)

    @tf.function(input_signature=[tf.TensorSpec((1, 8))])
    def net(x: tf.Tensor) -> tf.Tensor:
        x = tf.quantization.fake_quant_with_min_max_args(x, *grid)
        kernel = tf.quantization.fake_quant_with_min_max_args(tf.ones((8, 4)) / 3, *grid)
        y = tf.matmul(x, kernel)
        y = tf.quantization.fake_quant_with_min_max_args(y, *grid) if has_range else y
        y = tf.nn.sigmoid(y)
        return tf.quantization.fake_quant_with_min_max_args(y, 0.0, 1.0) if has_range else y

    converter = tf.lite.TFLiteConverter.from_concrete_functions([net.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    file = tf.lite.Interpreter(model_content=converter.convert())
    return sum(tensor["dtype"] is np.float32 for tensor in file.get_tensor_details())


def depthwise() -> dict[str, Any]:
    """Return the facts of the layer with the most unequal channels."""
    (kernel, *_) = shipped_net().get_layer(DEPTHWISE).get_weights()
    return {"layer": DEPTHWISE, **kernel_facts(kernel)}


def histogram() -> dict[str, Any]:
    """Return the values of the layer with rare outliers."""
    net = shipped_net()
    until = keras.Model(net.inputs, net.get_layer(OUTLIERS).output)
    return {"layer": OUTLIERS, **histogram_facts(until.predict(pictures(8), verbose=0))}


MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "depthwise": depthwise,
    "histogram": histogram,
    "float_tensors": lambda: {"without": float_tensors(False), "with": float_tensors(True)},
    "noise": noise,
}


if __name__ == "__main__":
    file = HERE / "measured.json"
    for wanted in sys.argv[1:] or MEASUREMENTS:
        known = json.loads(file.read_text("utf-8")) if file.exists() else {}
        known[wanted] = MEASUREMENTS[wanted]()
        file.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
