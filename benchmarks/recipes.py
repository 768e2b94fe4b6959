"""What every recipe and rounding does to a trained localizer before any QAT: noise and file size.

    python benchmarks/recipes.py runs/note

Compares fake-quantized with float Keras on the test split: share of pictures with the same class,
and the error of the class scores in 1/256 (root mean square).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from quantdet import Run, export_integer, prepare_qat
from quantdet.data import load_configured
from quantdet.errors import ExportError
from quantdet.evaluate import keras_outputs, open_judge
from quantdet.quant import RECIPES, ROUNDINGS, load_keras
from quantdet.runtime import PIXEL_RANGE
from quantdet.train import build_task, calibration_pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    run = Run.open(parser.parse_args().run)
    config = run.load_config()
    calibration = calibration_pictures(config, build_task(config, load_configured(config.data)))
    pixels = open_judge(run).test.pixels
    model = load_keras(run.float_dir / "model.keras")
    floats = keras_outputs(model, pixels)["scores"]
    print(f"{time.strftime('%Y-%m-%d')}, {len(pixels)} pictures\n")
    print("| recipe | rounding | same class % | noise | MB | seconds |\n|---|---|---|---|---|---|")
    for recipe in RECIPES:
        for rounding in ROUNDINGS:
            start = time.perf_counter()
            prepared = prepare_qat(
                model,
                calibration,
                recipe=recipe,
                rounding=rounding,
                input_range=PIXEL_RANGE,
            )
            seconds = time.perf_counter() - start
            figures = f"{compare(prepared, pixels, floats)} | {megabytes(prepared)}"
            print(f"| {recipe} | {rounding} | {figures} | {seconds:.0f} |", flush=True)


def compare(prepared: Any, pixels: np.ndarray, floats: np.ndarray) -> str:
    scores = keras_outputs(prepared, pixels)["scores"]
    same = (scores.argmax(-1) == floats.argmax(-1)).mean()
    noise = 256 * np.sqrt(np.mean(np.square(scores - floats)))
    return f"{100 * same:.1f} | {noise:.2f}"


def megabytes(prepared: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = export_integer(prepared, Path(folder) / "model.tflite")
        except ExportError as error:
            return f"refused: {str(error)[:60]}"
        return f"{path.stat().st_size / 1e6:.2f}"


if __name__ == "__main__":
    main()
