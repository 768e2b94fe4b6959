"""Parity of a run's uint8 file on many pictures: layer by layer, and end to end.

    python benchmarks/parity.py runs/note --pictures 200

Layer by layer each layer gets the integers that LiteRT fed to it, on the two kernel sets that keep
them; one-step rounding is what training simulates, "exact" what quant/exact.py predicts. End to
end the noise of each kernel set stands beside that of quantization itself. Prints Markdown.
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
from quantdet.evaluate.end_to_end import (
    KERNELS,
    Reference,
    compare_kernels,
    litert_runner,
    micro_runner,
)
from quantdet.evaluate.latency import host
from quantdet.evaluate.parity import layer_parity, summarize
from quantdet.evaluate.predictors import keras_outputs
from quantdet.quant.exact import ExactModel
from quantdet.quant.saved import load_keras
from quantdet.runs import Run
from quantdet.runtime.contract import load_contract


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    pixels, sizes = test_pictures(run, arguments.pictures)
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, {len(pixels)} pictures\n")
    frozen = load_keras(run.qat_dir / "model.keras")
    for kernels in ("reference", "optimized"):
        print_layers(
            kernels, summarize(layer_parity(frozen, run.model_file, pixels, kernels=kernels))
        )
    print_end_to_end(end_to_end(run, frozen, pixels, sizes))


def test_pictures(run: Run, count: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    config = run.load_config()
    samples = pipeline.load_configured(config.data).splits[config.data.test_split][:count]
    cache = build_cache(samples, (config.model.input_size,) * 2, config.data.cache_dir)
    return cache.images, [sample.size_hw for sample in cache.samples]


def print_layers(kernels: str, found: dict[str, Any]) -> None:
    print(f"| {kernels}: layer type | layers | integers | identical | exact | largest difference |")
    print("|---|---|---|---|---|---|")
    for kind, row in [*found["by_kind"].items(), ("all", found)]:
        cells = [kind, row["layers"], f"{row['values'] / 1e6:.1f} M"]
        cells += [f"{100 * row[key]:.4f} %" for key in ("identical", "identical_exact")]
        print("|", " | ".join(map(str, [*cells, row["max_lsb"]])), "|")
    print(flush=True)


def end_to_end(
    run: Run, frozen: Any, pixels: np.ndarray, sizes: list[tuple[int, int]]
) -> dict[str, Any]:
    contract = load_contract(run.model_file)
    runners = {
        name: micro_runner(run.model_file, contract)
        if name == "tflite-micro"
        else litert_runner(run.model_file, contract, name)
        for name in KERNELS
    }
    floats = load_keras(run.float_dir / "model.keras")
    reference = Reference(
        pixels,
        sizes,
        keras_outputs(frozen, pixels),
        keras_outputs(floats, pixels),
        {name: keras_outputs(ExactModel(frozen, name), pixels) for name in KERNELS},
    )
    return compare_kernels(contract, runners, reference, lambda answers, others: {})


def print_end_to_end(found: dict[str, Any]) -> None:
    print("| kernels | identical | noise, steps | identical to exact | noise to exact |")
    print("|---|---|---|---|---|")
    for row in found["kernels"]:
        cells = [
            figure
            for part in (row, row["exact"])
            for figure in (f"{100 * part['identical']:.2f} %", f"{part['noise_lsb']:.3f}")
        ]
        print("|", " | ".join([row["kernels"], *cells]), "|")
    print(f"\nNoise of quantization itself: {found['quantization_noise_lsb']:.2f} steps.")


if __name__ == "__main__":
    main()
