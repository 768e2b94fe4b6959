"""Memory that calibration takes over the net itself, however many pictures there are.

    python benchmarks/calibration_memory.py --pictures 100 1000

MobileNetV2 at 224 px with random weights, pictures from a generator, each count in a process of
its own. Aim: 1,000 pictures below 600 MB, and no more than 100 take. The trial export at the end
takes its own, whatever the pictures; --trial-export adds it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--recipe", default="static_wi8_ai8")
    parser.add_argument("--rounding", default="nearest")
    parser.add_argument("--trial-export", action="store_true")
    parser.add_argument("--here", action="store_true", help="measure the one count in this process")
    options = parser.parse_args()
    if options.here:
        measure(options)
        return
    for count in options.pictures:
        command = [sys.executable, __file__, *sys.argv[1:], "--here", "--pictures", str(count)]
        subprocess.run(command, check=True)


def measure(options: argparse.Namespace) -> None:
    import keras

    from quantdet import prepare_qat

    (count,) = options.pictures
    model = keras.applications.MobileNetV2(input_shape=(SIZE, SIZE, 3), weights=None, classes=10)
    model(next(pictures(1, 1)))
    before, start = peak_megabytes(), time.perf_counter()
    prepare_qat(
        model,
        pictures(count, options.batch),
        recipe=options.recipe,
        rounding=options.rounding,
        input_range=(-1.0, 1.0),
        trial_export=options.trial_export,
    )
    print(
        f"{count} pictures: {peak_megabytes() - before:.0f} MB over the net's {before:.0f} MB, "
        f"{time.perf_counter() - start:.0f} s"
    )


def pictures(count: int, batch: int) -> Any:
    rng = np.random.default_rng(0)
    for start in range(0, count, batch):
        yield rng.uniform(-1, 1, (min(batch, count - start), SIZE, SIZE, 3)).astype(np.float32)


def peak_megabytes() -> float:
    """Return the largest resident memory of this process so far (Linux)."""
    status = Path("/proc/self/status").read_text("utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
