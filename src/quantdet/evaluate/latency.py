"""Latency of a .tflite on this machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantdet.runtime.engine import Engine

KERNELS = ("xnnpack", "optimized")
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class LatencyResult:
    """Times of one setting, in milliseconds, of single inferences after warm-up.

    Attributes:
        kernels: "xnnpack", or "optimized" for LiteRT without XNNPACK.
        threads: number of threads.
        median_ms: median.
        p90_ms: 90th percentile.
        min_ms: fastest.
        runs: how many were timed.
    """

    kernels: str
    threads: int
    median_ms: float
    p90_ms: float
    min_ms: float
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def benchmark(
    model_file: Path,
    *,
    threads: Sequence[int] = (1, 2),
    warmup: int = 10,
    runs: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> list[LatencyResult]:
    """Time a model for every thread count, with XNNPACK and without.

    The settings take turns run by run, so that a slow spell of the machine hits all of them.

    Args:
        model_file: the .tflite.
        threads: thread counts.
        warmup: untimed runs of each setting.
        runs: timed runs of each setting.
        progress: called with (runs done, all runs).
    """
    settings = [(kernels, count) for kernels in KERNELS for count in threads]
    engines = [
        Engine(model_file, num_threads=count, kernels=kernels) for kernels, count in settings
    ]
    spec = engines[0].input
    picture = np.random.default_rng(0).integers(0, 256, spec.shape).astype(np.uint8)
    tensor = picture.view(np.int8) if spec.dtype == "int8" else picture.astype(spec.dtype)
    times: list[list[float]] = [[] for _ in settings]
    for number in range(warmup + runs):
        for engine, measured in zip(engines, times, strict=True):
            start = time.perf_counter()
            engine.run(tensor)
            if number >= warmup:
                measured.append(1000 * (time.perf_counter() - start))
        if progress is not None:
            progress(number + 1, warmup + runs)
    return [
        LatencyResult(
            kernels,
            count,
            round(float(np.median(measured)), 3),
            round(float(np.percentile(measured, 90)), 3),
            round(min(measured), 3),
            runs,
        )
        for (kernels, count), measured in zip(settings, times, strict=True)
    ]


def host() -> dict[str, Any]:
    """Return processor, cores and system of this machine."""
    model = platform.processor()
    if _CPU_INFO.is_file():
        names = [line for line in _CPU_INFO.read_text().splitlines() if "model name" in line]
        model = names[0].partition(":")[2].strip() if names else model
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(terse=True)}
