"""quantdet, or float training of the same folded net, as a worker like the rivals'.

    python rivals/quantdet_worker.py JOB_FOLDER OUT_FOLDER --variant qat

Reads float.keras beside what the others read. Trains on the labels, or distilled: then 90 % of the
loss ask for the float model's answers. No choice of the best epoch.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

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
from losses import LOSSES
from pictures import Steps, batches

from quantdet import export_integer, prepare_qat
from quantdet.export import export_float
from quantdet.quant import fold_batch_norm, load_keras, set_output_ranges
from quantdet.runtime import PIXEL_RANGE
from quantdet.train import follow, logit_agreement, offset_agreement, with_teacher

PER_TENSOR = "static_wi8_ai8_per_tensor"


@dataclass(frozen=True)
class Variant:
    """How the net is quantized; ``None`` as recipe stays float."""

    recipe: str | None = "static_wi8_ai8"
    distill: float = 0.0
    trained: bool = True


VARIANTS = {
    "qat": Variant(),
    "qat_per_tensor": Variant(PER_TENSOR),
    "qat_distilled": Variant(distill=0.9),
    "qat_distilled_per_tensor": Variant(PER_TENSOR, distill=0.9),
    "ptq": Variant(trained=False),
    "ptq_per_tensor": Variant(PER_TENSOR, trained=False),
    "float": Variant(recipe=None),
}


class Pace(Steps, keras.callbacks.Callback):
    """Notes when each step ended."""


def main() -> None:
    arguments = parse_arguments(__doc__.splitlines()[0], tuple(VARIANTS))
    variant = VARIANTS[arguments.variant]
    job = read_json(arguments.job / "job.json")
    keras.utils.set_random_seed(job["seed"])
    floats = load_keras(arguments.job / "float.keras")
    start = time.perf_counter()
    model = make(floats, variant, arguments.job)
    prepare_seconds = time.perf_counter() - start
    trained = {"train_seconds": 0.0, "images_per_second": None}
    if variant.trained:
        learner, losses = what_to_train(model, floats, variant, job)
        trained = train(learner, losses, job, arguments.job / "train.npz")
    peak_training = peak_memory_mb()
    start = time.perf_counter()
    arguments.out.mkdir(parents=True, exist_ok=True)
    export = export_integer if variant.recipe else export_float
    content = export(model, arguments.out / "exported.tflite").read_bytes()
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


def make(floats, variant, folder):
    """Return the model to train, all layers."""
    if variant.recipe is None:
        made = fold_batch_norm(floats)
    else:
        made = prepare_qat(
            floats, calibration(folder), recipe=variant.recipe, input_range=PIXEL_RANGE
        )
        set_output_ranges(made, read_json(folder / "job.json").get("output_ranges", {}))
    made.trainable = True
    return made


def calibration(folder):
    with np.load(folder / "calibration.npz") as file:
        pixels = file["x"]
    return (float_inputs(pixels[start : start + 16]) for start in range(0, len(pixels), 16))


def what_to_train(model, floats, variant, job):
    """Return the model to fit, with the float one beside it where it is followed, and losses."""
    losses = {name: Labels(job["losses"][name]) for name in model.output}
    if not variant.distill:
        return model, losses
    agreements = {"boxes": offset_agreement, "scores": logit_agreement}
    chosen = agreements if "focal" in job["losses"].values() else {}
    return with_teacher(model, floats), follow(losses, chosen, variant.distill)


class Labels(keras.losses.Loss):
    """A loss by its name in a job."""

    def __init__(self, name):
        super().__init__()
        self._compute = LOSSES.get(name) or keras.losses.get(name)

    def call(self, y_true, y_pred):
        """Return the loss of each example, or of the batch."""
        return self._compute(y_true, y_pred)


def train(model, losses, job, file):
    """Train all layers; return seconds, steps and the steady rate."""
    names = list(model.output)
    model.compile(
        optimizer=keras.optimizers.Adam(job["learning_rate"]), loss=losses, jit_compile=False
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
