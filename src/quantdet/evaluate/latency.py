"""Latency of a .tflite on this machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ConfigError
from quantdet.progress import Tick, no_tick
from quantdet.results.part import Host
from quantdet.runtime.contract import TensorSpec
from quantdet.runtime.engine import Engine
from quantdet.runtime.pixels import to_real
from quantdet.system.processor import processor_name

KERNELS = ("xnnpack", "optimized")
# Timed runs in one turn; each turn starts with an untimed run, which brings the weights back
# into the cache and lets the threads of the setting before fall asleep.
_TURN = 5


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
        bytes: size of the model file.
    """

    kernels: str
    threads: int
    median_ms: float
    p90_ms: float
    min_ms: float
    runs: int
    bytes: int


def benchmark(
    model_file: Path | str,
    *,
    threads: Sequence[int] = (1, 2),
    warmup: int = 10,
    runs: int = 50,
    progress: Tick = no_tick,
) -> list[LatencyResult]:
    """Time a model for every thread count, with XNNPACK and without.

    The settings take turns of a few runs, so that a slow spell of the machine hits all of them.

    Args:
        model_file: the .tflite.
        threads: thread counts.
        warmup: untimed runs of each setting.
        runs: timed runs of each setting.
        progress: called with (timed runs done, all timed runs).

    Returns:
        One result for each kernel set and thread count, XNNPACK first.

    Raises:
        ModelError: the file is missing or corrupt.
        ConfigError: no thread count or no run.
    """
    model_file = Path(model_file)
    if runs < 1 or not threads:
        raise ConfigError(f"runs is {runs}, threads {list(threads)}; measure at least one of each")
    settings = [(kernels, count) for kernels in KERNELS for count in threads]
    engines = [
        Engine(model_file, num_threads=count, kernels=kernels) for kernels, count in settings
    ]
    tensor = _random_input(engines[0].input)
    for engine in engines:
        for _ in range(warmup):
            engine.run(tensor)
    times: list[list[float]] = [[] for _ in settings]
    for start in range(0, runs, _TURN):
        for engine, measured in zip(engines, times, strict=True):
            measured.extend(_time_turn(engine, tensor, min(_TURN, runs - start)))
            progress(sum(map(len, times)), runs * len(settings))
    size = model_file.stat().st_size
    return [
        _result(setting, measured, size) for setting, measured in zip(settings, times, strict=True)
    ]


def host() -> Host:
    """Return processor, cores and system of this machine."""
    return Host(
        cpu=processor_name(),
        cores=os.cpu_count(),
        system=platform.platform(terse=True),
    )


def _random_input(spec: TensorSpec) -> NDArray[np.number]:
    """Return noise as input, the same every time."""
    pixels = np.random.default_rng(0).integers(0, 256, spec.shape)
    if spec.dtype == "float32":
        return to_real(pixels)
    return pixels.astype(np.uint8).view(spec.dtype)


def _time_turn(engine: Engine, tensor: NDArray[np.number], runs: int) -> list[float]:
    engine.run(tensor)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        engine.run(tensor)
        times.append(1000 * (time.perf_counter() - start))
    return times


def _result(setting: tuple[str, int], times: list[float], size: int) -> LatencyResult:
    kernels, threads = setting
    return LatencyResult(
        kernels=kernels,
        threads=threads,
        median_ms=round(float(np.median(times)), 3),
        p90_ms=round(float(np.percentile(times, 90)), 3),
        min_ms=round(min(times), 3),
        runs=len(times),
        bytes=size,
    )
