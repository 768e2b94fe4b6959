"""How far calibration alone moves a model, for every observer, without and with bias correction.

    python benchmarks/observers.py runs/note

Compares fake-quantized with float Keras on the test split of a run with head "global".
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from quantdet import pipeline
from quantdet.data.cache import build_cache
from quantdet.evaluate.predictors import keras_outputs
from quantdet.quant.bias_correction import correct_biases
from quantdet.quant.calibrate import calibrate
from quantdet.quant.observers import OBSERVERS
from quantdet.quant.prepare import Scheme, insert_fake_quant
from quantdet.runs import Run
from quantdet.train.float_stage import build_task, load_float_model
from quantdet.train.qat_stage import PIXEL_RANGE, calibration_batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    run = Run.open(parser.parse_args().run)
    config = run.load_config()
    dataset = pipeline.load_configured(config.data)
    task = build_task(config, dataset)
    size = (config.model.input_size,) * 2
    test = dataset.splits[config.data.test_split]
    pixels = build_cache(test, size, config.data.cache_dir).images
    model = load_float_model(run.float_dir / "model.keras")
    floats = keras_outputs(model, pixels)["scores"]
    print(f"{time.strftime('%Y-%m-%d')}, {len(pixels)} pictures: same class % / noise in 1/256")
    for observer in OBSERVERS:
        prepared = insert_fake_quant(model, Scheme(config.qat.recipe), PIXEL_RANGE)
        batches = calibration_batches(config, task, None)
        sample = calibrate(prepared, batches, observer=observer)
        plain = compare(prepared, pixels, floats)
        correct_biases(prepared, sample)
        print(f"{observer}: {plain}, with bias correction {compare(prepared, pixels, floats)}")


def compare(prepared: Any, pixels: np.ndarray, floats: np.ndarray) -> str:
    scores = keras_outputs(prepared, pixels)["scores"]
    same = (scores.argmax(-1) == floats.argmax(-1)).mean()
    noise = 256 * np.sqrt(np.mean(np.square(scores - floats)))
    return f"{100 * same:.1f} / {noise:.2f}"


if __name__ == "__main__":
    main()
