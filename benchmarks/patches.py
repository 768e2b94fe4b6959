"""Patch-wise files beside the ordinary one: every integer on real pictures, and what they cost.

    python benchmarks/patches.py VOCdevkit/VOC2007 --pictures 60 --patches 2x2 3x3 4x4

Every integer of every output is compared, on LiteRT's kernels and TFLite-Micro's. The tables are
those of `quantdet export --patches`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from quantdet.evaluate import equal_integers
from quantdet.runtime import find_model, load_contract, read_image, resize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="VOC folder")
    parser.add_argument("--model", type=Path, default=find_model("voc-ssd300"))
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--patches", nargs="+", default=["2x2", "3x3", "4x4"])
    given = parser.parse_args()
    size_hw = load_contract(given.model).input.size_hw
    files = sorted((given.data / "JPEGImages").glob("*.jpg"))[: given.pictures]
    pixels = np.stack([resize(read_image(file), size_hw) for file in files])
    with tempfile.TemporaryDirectory() as folder:
        for grid in given.patches:
            compare(given.model, grid, Path(folder) / grid, pixels)


def compare(model: Path, grid: str, out: Path, pixels: np.ndarray) -> None:
    options = ["export", model, "--patches", grid, "--out", out]
    subprocess.run([sys.executable, "-m", "quantdet", *map(str, options)], check=True)
    (made,) = out.glob("*.tflite")
    for kernels, (same, count) in equal_integers(model, made, pixels).items():
        print(f"{grid} {kernels}: {same} of {count} equal, {len(pixels)} pictures", flush=True)


if __name__ == "__main__":
    main()
