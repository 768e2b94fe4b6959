"""Which nets of keras.applications become all-integer files, and how equal those are.

    python benchmarks/keras_applications.py --tfmot tfmot.json > docs/coverage.md
    python benchmarks/keras_applications.py MobileNetV3Small

tfmot.json is what benchmarks/quantizers/rivals/tfmot_coverage.py prints in its own environment.
10 classes, 96x96 pixels. Weights and statistics are drawn, those of normalizations and
scales of layers, too (benchmarks/peers/realistic.py): nothing may be lost because it was 0 or 1.
The tables of the peers' suites are printed by benchmarks/peers/run.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(Path(__file__).parent / "peers"))

import keras
import numpy as np
from converter_ptq import converter_db
from realistic import draw_inputs, set_realistic_weights

from quantdet import QuantdetError, export_integer, prepare_qat
from quantdet.evaluate import layer_parity, summarize
from quantdet.quant import QuantParams, compare_with_float, freeze, quantize
from quantdet.runtime import Engine

NETS = (
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "MobileNetV3Large",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "NASNetMobile",
    "DenseNet121",
    "ResNet50",
    "Xception",
    "ConvNeXtTiny",
)
SIZE = 96
# Below it LiteRT's own quantizer is asked what 8 bits cost the net.
LEAST_DB = 30.0
CALIBRATION, COMPARED = 64, 8
HEAD = f"""# What can be quantized

`benchmarks/keras_applications.py`, {time.strftime("%Y-%m-%d")}, Keras {keras.__version__}: every
net of keras.applications with random weights and statistics at {SIZE}×{SIZE} pixels,
prepared with `static_wi8_ai8` on {CALIBRATION} pictures, without training.

- dB: SQNR of the worst output against the *given* Keras model, on {COMPARED} other pictures; below
  {LEAST_DB:.0f}, also that of LiteRT's own quantizer (`TFLiteConverter`, int8, same pictures).
- identical, exact, largest difference: the file on LiteRT's reference kernels, integer by integer,
  with each layer given the integers that LiteRT fed to it (2 pictures). "exact": with the integer
  rounding of these kernels modelled ([how](decisions/007-exact-rounding.md)).
- TFMOT: whether `quantize_model` and conversion of the same net in legacy Keras give an all-integer
  file (`benchmarks/quantizers/rivals/tfmot_coverage.py`), or the layer that stops it.

| net | dB | layers | MB | identical | exact | largest difference | seconds | TFMOT 0.8.1 |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--tfmot", type=Path)
    arguments = parser.parse_args()
    rows = json.loads(arguments.tfmot.read_text()) if arguments.tfmot else []
    theirs = {row["net"]: "yes" if row["all_integer"] else f"no: {why(row)}" for row in rows}
    print(HEAD)
    for name in arguments.nets:
        start = time.perf_counter()
        try:
            cells = try_net(name)
        except QuantdetError as error:
            cells = [f"not supported: {error}", *[""] * 5]
        seconds = f"{time.perf_counter() - start:.0f}"
        print(f"| {' | '.join([name, *cells, seconds, theirs.get(name, '–')])} |", flush=True)


def why(row: dict[str, Any]) -> str:
    """Return the layer that TFMOT's message names, with its type, or what it says instead."""
    layer = re.search(r"Layer ([^:]+):<class '[\w.]*\.(\w+)'>", row["error"])
    return f"{layer[1]} ({layer[2]})" if layer else row["error"].split(":")[0]


def try_net(name: str) -> list[str]:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
    (pictures,) = draw_inputs(model, CALIBRATION + COMPARED, rng)
    set_realistic_weights(model, [pictures[:16]], rng)
    draw_batch_statistics(model, rng)
    prepared = prepare_qat(model, pictures[:CALIBRATION], trial_export=False)
    compared = compare_with_float(model, prepared, pictures[CALIBRATION:])
    with tempfile.TemporaryDirectory() as folder:
        path = export_integer(prepared, Path(folder) / "model.tflite")
        given = Engine(path).input
        pixels = quantize(pictures[-2:], QuantParams(given.scale, given.zero_point))
        found = summarize(layer_parity(freeze(prepared), path, pixels))
        megabytes = path.stat().st_size / 1e6
        reached = f"{compared.worst_db:.1f}"
        if compared.worst_db < LEAST_DB:
            parts = pictures[:CALIBRATION], pictures[CALIBRATION:]
            reached += f" (converter: {converter_db(model, *parts, path):.1f})"
    return [
        reached,
        str(found.layers),
        f"{megabytes:.1f}",
        f"{100 * found.identical:.2f} %",
        f"{100 * found.identical_exact:.3f} %",
        str(found.max_lsb),
    ]


def draw_batch_statistics(model: Any, rng: np.random.Generator) -> None:
    """Draw the statistics of BatchNorm around those of an untrained layer.

    Taken from pictures, they make of drawn weights a net that enlarges every difference from layer
    to layer, as no trained one does (docs/log.md, 2026-11-26).
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, layer.moving_variance.shape))
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))


if __name__ == "__main__":
    main()
