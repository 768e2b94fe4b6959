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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from quantdet import Run
from quantdet.evaluate import compare_file, host, layer_parity, open_judge, summarize
from quantdet.quant import load_keras


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    test = open_judge(run).test
    pixels, sizes = test.pixels[: arguments.pictures], test.sizes[: arguments.pictures]
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, {len(pixels)} pictures\n")
    frozen = load_keras(run.qat_dir / "model.keras")
    for kernels in ("reference", "optimized"):
        print_layers(
            kernels, summarize(layer_parity(frozen, run.model_file, pixels, kernels=kernels))
        )
    floats = load_keras(run.float_dir / "model.keras")
    print_end_to_end(compare_file(run.model_file, (frozen, floats), (pixels, sizes)))


def print_layers(kernels: str, found) -> None:
    print(f"| {kernels}: layer type | layers | integers | identical | exact | largest difference |")
    print("|---|---|---|---|---|---|")
    for kind, row in [*found.by_kind.items(), ("all", found)]:
        cells = [kind, row.layers, f"{row.values / 1e6:.1f} M"]
        cells += [f"{100 * share:.4f} %" for share in (row.identical, row.identical_exact)]
        print("|", " | ".join(map(str, [*cells, row.max_lsb])), "|")
    print(flush=True)


def print_end_to_end(found) -> None:
    for kernels, reason in found.skipped.items():
        print(f"{kernels} is left out: {reason}\n")
    print("| kernels | identical | noise, steps | identical to exact | noise to exact |")
    print("|---|---|---|---|---|")
    for row in found.end_to_end.kernels:
        cells = [
            figure
            for part in (row, row.exact)
            for figure in (f"{100 * part.identical:.2f} %", f"{part.noise_lsb:.3f}")
        ]
        print("|", " | ".join([row.kernels, *cells]), "|")
    print(f"\nNoise of quantization itself: {found.end_to_end.quantization_noise_lsb:.2f} steps.")


if __name__ == "__main__":
    main()
