"""Train a small net on so many devices, and print its epochs as JSON.

python -m tests.train.many_devices OUT DEVICES EPOCHS [quantized] [brighter]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np

from quantdet.quant.prepare import prepare_qat
from quantdet.system.processes import join_processes, leave_processes, own_folder
from quantdet.train.batches import ArraySource
from quantdet.train.distill import distilled, with_teacher
from quantdet.train.loop import TrainingTask, fit
from quantdet.train.settings import FitSettings
from quantdet.train.validation import Accuracy

SETTINGS = FitSettings(epochs=3, batch_size=16, learning_rate=1e-2, ema=0.9, validate_every=1)


class MeanAnswer:
    """Stands for mean AP: anything that follows from all outputs in their order."""

    objects = 9

    def measure(self, outputs):
        answers = np.concatenate([batch["out"] for batch in outputs])
        assert len(answers) == self.objects
        weights = np.arange(self.objects)[:, None] / self.objects
        return Accuracy(float(np.clip(np.mean(answers * weights), 0.0, 1.0)))


def build():
    keras.utils.set_random_seed(1)
    picture = keras.Input((16, 16, 3))
    hidden = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(picture)
    pooled = keras.layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(picture, {"out": keras.layers.Dense(4, name="out")(pooled)})


def task(brighter):
    rng = np.random.default_rng(0)
    pixels = (rng.random((57, 16, 16, 3)) * 200).astype(np.uint8) + np.uint8(brighter)
    wanted = {"out": rng.random((57, 4), np.float32)}
    train, held_out = (
        ArraySource(pixels[rows], {"out": wanted["out"][rows]})
        for rows in (slice(0, 48), slice(48, 57))
    )
    losses = {"out": keras.losses.MeanSquaredError()}
    return TrainingTask(train, held_out, losses, fingerprint=str(brighter), validator=MeanAnswer())


def main(out, devices, epochs, *options):
    join_processes()
    model, training = build(), task(brighter=20 * ("brighter" in options))
    if "quantized" in options:
        pictures = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
        prepared = prepare_qat(model, [pictures])
        training = distilled(training, {}, 0.5)
        model = with_teacher(prepared, model, ["conv_activation"])
    settings = FitSettings(**{**vars(SETTINGS), "devices": int(devices), "epochs": int(epochs)})
    with own_folder(Path(out)) as folder:
        history = fit(model, training, settings, folder)
    values = [float(np.abs(variable.numpy()).sum()) for variable in model.variables]
    kept = {key: [row[key] for row in history.rows] for key in ("loss", "val_loss", "val_map")}
    print(json.dumps({**kept, "variables": values, "folder": str(folder)}))
    leave_processes()


if __name__ == "__main__":
    main(*sys.argv[1:])
