"""Latency of several .tflite files, measured in turns in one run.

    python benchmarks/latency.py runs/voc/export/model.tflite runs/voc/export/model-float32.tflite

The ratio is to the first file: median of the ratios of neighbouring runs, which holds when the
machine's speed drifts.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from quantdet.cli import table
from quantdet.evaluate import host
from quantdet.runtime import Engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}")
    for threads in arguments.threads:
        engines = [Engine(path, num_threads=threads) for path in arguments.models]
        times = np.array([[_time(e) for e in engines] for _ in range(arguments.runs)])[20:]
        ratios = np.median(times / times[:, :1], axis=0)
        rows = [
            (path.name, f"{median:.2f}", f"{ratio:.2f}")
            for path, median, ratio in zip(
                arguments.models, np.median(times, axis=0), ratios, strict=True
            )
        ]
        print(f"\n{threads} thread(s)\n" + table(("model", "median ms", "ratio"), rows))


def _time(engine: Engine) -> float:
    tensor = np.zeros(engine.input.shape, engine.input.dtype)
    start = time.perf_counter()
    engine.run(tensor)
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
