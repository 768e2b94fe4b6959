"""Run a target on the pictures, and time it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from quantdet.evaluate.end_to_end import Outputs, Runner
from quantdet.progress import Tick
from quantdet.runtime.cores import usable_cores
from quantdet.verify.subject import Subject, real_outputs


@dataclass(frozen=True)
class Answers:
    """Outputs of every picture, real values, and the median time of one inference."""

    outputs: Outputs
    median_ms: float


def answer(run: Runner, subject: Subject, tick: Tick) -> Answers:
    """Run every picture once."""
    times: list[float] = []

    def timed(picture: NDArray[np.uint8]) -> Outputs:
        start = time.perf_counter()
        outputs = run(picture)
        times.append(1000 * (time.perf_counter() - start))
        return outputs

    outputs = real_outputs(timed, subject.contract, subject.pictures.pixels, tick)
    return Answers(outputs, round(median(times), 3))


def by_threads(make: Callable[[int], Runner], subject: Subject, tick: Tick) -> dict[int, Answers]:
    """Return threads → answers, for every thread count of this machine.

    Args:
        make: threads → runner.
        subject: what is verified.
        tick: called with (pictures done, all pictures), over all thread counts.
    """
    counts = thread_counts()
    every = len(subject.pictures.pixels)
    found = {}
    for number, threads in enumerate(counts):

        def shifted(done: int, _: int, before: int = number * every) -> None:
            tick(before + done, every * len(counts))

        found[threads] = answer(make(threads), subject, shifted)
    return found


def thread_counts(cores: int | None = None) -> Sequence[int]:
    """Return 1, 2, 4 … and the number of cores this process may use."""
    cores = usable_cores() if cores is None else cores
    return sorted({2**power for power in range(cores.bit_length())} | {cores})
