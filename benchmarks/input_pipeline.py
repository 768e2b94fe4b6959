"""Training speed on this machine, and how much of it is spent on waiting for data.

    python benchmarks/input_pipeline.py --data VOCdevkit/VOC2007
    python benchmarks/input_pipeline.py --workers 2 4 8 14 --set train.batch_size=64

Trains with the preset's batches. A step waited if its batch was made after the step before had
ended. The pipeline alone is timed in one thread; with --workers only the pipeline is timed, by so
many threads, by processes of a pool, whose batches come through a pipe as those of Keras' workers
do, and by Grain, whose come in shared memory. Without --data on generated scenes.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from quantdet import Config, generate_scenes, load_config
from quantdet.cli import table
from quantdet.data import load_configured
from quantdet.evaluate import host
from quantdet.models import build_model
from quantdet.quant import fold_batch_norm
from quantdet.train import EpochBatches, build_task, freeze_before


class Clocked(keras.utils.PyDataset):
    """Batches of another, and when each was made."""

    def __init__(self, batches: EpochBatches) -> None:
        super().__init__()
        self._batches = batches
        self.made: list[float] = []

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        batch = self._batches[index]
        self.made.append(time.perf_counter())
        return batch


class StepEnds(keras.callbacks.Callback):
    """When each training step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ends.append(time.perf_counter())


def train(model: Any, batches: EpochBatches) -> tuple[float, float]:
    """Return (seconds a step, share of the time spent on waiting)."""
    clocked, steps = Clocked(batches), StepEnds()
    model.fit(clocked, callbacks=[steps], verbose=0)
    # Keras may ask for one batch more, to learn what batches look like.
    made = np.array(clocked.made[-len(steps.ends) :])
    ends = np.array(steps.ends)
    waited = np.maximum(made[1:] - ends[:-1], 0.0).sum()
    return float(np.median(np.diff(ends))), float(waited / (ends[-1] - ends[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--preset", default="ssd")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=())
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.data or generate_scenes(Path(folder), count=480)
        values = {"data": {"root": root}}
        config = load_config(preset=arguments.preset, overrides=arguments.overrides, values=values)
        if arguments.workers:
            measure_workers(config, arguments.workers)
        else:
            measure(config, arguments.turns)


def measure_workers(config: Config, counts: list[int]) -> None:
    task = build_task(config, load_configured(config.data))
    batches = EpochBatches(task.train, config.train.batch_size, 0, shuffle=True)
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, {len(task.train)} pictures\n")
    timed(batches)  # the pictures are in memory then
    rows = [("1 thread, images/s", f"{len(task.train) / timed(batches):.0f}")]
    for count in counts:
        for name, pool in pools(count, batches):
            with pool:
                seconds = timed_in(pool, count, len(batches))
            rows.append((f"{count} {name}, images/s", f"{len(task.train) / seconds:.0f}"))
        seconds = timed_by_grain(batches, count)
        rows.append((f"{count} processes of Grain, images/s", f"{len(task.train) / seconds:.0f}"))
    print(table(("", ""), rows))


def timed_by_grain(batches: EpochBatches, count: int) -> float:
    """Return the seconds of an epoch, in the middle of so many that all workers are at it."""
    ready = math.ceil(3 * count / len(batches))
    with batches.made_beside(range((2 * ready + 1) * len(batches)), count):
        for batches.epoch in range(ready):
            timed(batches)
        batches.epoch = ready
        return timed(batches)


def pools(count: int, batches: EpochBatches) -> Iterator[tuple[str, Executor]]:
    # A forked process has the batches' pictures without a copy.
    start = {"initializer": use, "initargs": (batches,)}
    yield "threads", ThreadPoolExecutor(count, **start)
    yield "processes of a pool", ProcessPoolExecutor(count, mp_context=get_context("fork"), **start)


def use(batches: EpochBatches) -> None:
    global _in_use  # noqa: PLW0603 - each process has its own
    _in_use = batches


def make(number: int) -> Any:
    return _in_use.plan[number]


def timed_in(pool: Executor, count: int, batches: int) -> float:
    deque(pool.map(make, range(min(count, batches))), 0)  # all have started
    start = time.perf_counter()
    deque(pool.map(make, range(batches)), 0)
    return time.perf_counter() - start


def measure(config: Config, turns: int) -> None:
    dataset = load_configured(config.data)
    task = build_task(config, dataset)
    size = config.train.batch_size
    batches = EpochBatches(task.train, size, 0, shuffle=True)
    model = compiled(config, task, len(dataset.labels))
    train(model, batches)  # compiles
    turns_done = [train(model, batches) for _ in range(turns)]
    seconds, waiting = np.median(turns_done, axis=0)
    count = len(task.train)
    trained = count / len(batches) / seconds
    alone = count / np.median([timed(batches) for _ in range(turns)])
    rows = [
        ("training, images/s", f"{trained:.1f}"),
        ("waiting for data", f"{100 * waiting:.2f} % of the time"),
        ("pipeline alone (1 thread), images/s", f"{alone:.0f}"),
        ("pipeline alone / training", f"{alone / trained:.1f}"),
        ("peak memory, GB", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f}"),
    ]
    print(
        f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, {count} pictures, batch {size}\n"
    )
    print(table(("", ""), rows))


def compiled(config: Config, task: Any, classes: int) -> Any:
    model = fold_batch_norm(build_model(config.model, classes))
    freeze_before(model, config.train.finetune_from)
    model.compile("adamw", loss=dict(task.losses), jit_compile=False)
    return model


def timed(batches: EpochBatches) -> float:
    start = time.perf_counter()
    for number in range(len(batches)):
        batches[number]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
