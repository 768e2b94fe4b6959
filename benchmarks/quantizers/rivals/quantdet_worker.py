"""quantdet, or float training of the same folded net, as a worker like the rivals'.

    python rivals/quantdet_worker.py JOB_FOLDER OUT_FOLDER --variant qat

Reads float.keras beside what the others read. No distillation, no choice of the best epoch.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from job import (
    float_inputs,
    parse_arguments,
    peak_memory_mb,
    read_json,
    versions,
    write_result,
)
from pictures import Steps, batches

from quantdet.export.integer import export_integer
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.prepare import prepare_qat
from quantdet.train.qat_stage import PIXEL_RANGE, load_quantized_model

RECIPES = {"qat": "static_wi8_ai8", "qat_per_tensor": "static_wi8_ai8_per_tensor"}


class Pace(Steps, keras.callbacks.Callback):
    """Notes when each step ended."""


def main() -> None:
    arguments = parse_arguments(__doc__.splitlines()[0], (*RECIPES, "ptq", "float"))
    job = read_json(arguments.job / "job.json")
    keras.utils.set_random_seed(job["seed"])
    model = load_quantized_model(arguments.job / "float.keras")
    start = time.perf_counter()
    model = make(model, arguments)
    prepare_seconds = time.perf_counter() - start
    trained = {"train_seconds": 0.0, "images_per_second": None}
    if arguments.variant != "ptq":
        trained = train(model, job, arguments.job / "train.npz")
    peak_training = peak_memory_mb()
    start = time.perf_counter()
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = b""
    if arguments.variant != "float":
        content = export_integer(model, arguments.out / "exported.tflite").read_bytes()
    result = {
        "rival": f"quantdet {arguments.variant}",
        "versions": versions("tensorflow-cpu", "keras"),
        "prepare_seconds": round(prepare_seconds, 2),
        **trained,
        "convert_seconds": round(time.perf_counter() - start, 2),
        "peak_memory_mb": peak_memory_mb(),
        "peak_memory_training_mb": peak_training,
    }
    write_result(arguments.out, content, result)


def make(model, arguments):
    """Return the model to train, all layers."""
    if arguments.variant == "float":
        made = fold_batch_norm(model)
    else:
        made = prepare_qat(
            model,
            calibration(arguments.job),
            recipe=RECIPES.get(arguments.variant, "static_wi8_ai8"),
            input_range=PIXEL_RANGE,
        )
    made.trainable = True
    return made


def calibration(folder):
    with np.load(folder / "calibration.npz") as file:
        pixels = file["x"]
    return (float_inputs(pixels[start : start + 16]) for start in range(0, len(pixels), 16))


def train(model, job, file):
    """Train all layers; return seconds, steps and the steady rate."""
    names = list(model.output)
    model.compile(
        optimizer=keras.optimizers.Adam(job["learning_rate"]),
        loss={name: job["losses"][name] for name in names},
        jit_compile=False,
    )
    pictures, count = batches(job, names, file)
    if len(names) > 1:
        named = pictures.map(lambda x, y: (x, dict(zip(names, y, strict=True))))
    else:
        named = pictures.map(lambda x, y: (x, {names[0]: y}))
    pace = Pace()
    start = time.perf_counter()
    model.fit(named, epochs=job["epochs"], verbose=2, callbacks=[pace])
    return {
        "train_seconds": round(time.perf_counter() - start, 2),
        "steps": len(pace.ends),
        "images_per_second": pace.images_per_second(job, count),
    }


if __name__ == "__main__":
    main()
