"""Training speed on this machine, and how much of it is spent on waiting for data.

    python benchmarks/input_pipeline.py --data VOCdevkit/VOC2007

Trains with the preset's batches, and, in turns, with one batch that is at hand. A step waited if
its batch was made after the step before had ended; what training is slower by than with the batch
at hand also counts the cores that the pipeline takes. The pipeline alone is timed in one thread.
Without --data on generated scenes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from quantdet.config import Config, load_config
from quantdet.data.configured import load_configured
from quantdet.data.scenes import generate_scenes
from quantdet.evaluate.latency import host
from quantdet.models import build_ssd
from quantdet.quant.fold import fold_batch_norm
from quantdet.tables import table
from quantdet.train.batches import EpochBatches
from quantdet.train.float_stage import build_task, freeze_before


class AtHand(keras.utils.PyDataset):
    """The first batch of others, again and again."""

    def __init__(self, batches: EpochBatches) -> None:
        super().__init__()
        self._count = len(batches)
        self._batch = batches[0]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._batch


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


def waiting_share(model: Any, batches: EpochBatches) -> float:
    clocked, steps = Clocked(batches), StepEnds()
    model.fit(clocked, callbacks=[steps], verbose=0)
    # Keras may ask for one batch more, to learn what batches look like.
    made = np.array(clocked.made[-len(steps.ends) :])
    ends = np.array(steps.ends)
    waited = np.maximum(made[1:] - ends[:-1], 0.0).sum()
    return float(waited / (ends[-1] - ends[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--preset", default="ssd")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.data or generate_scenes(Path(folder), count=480)
        values = {"data": {"root": root}}
        config = load_config(preset=arguments.preset, overrides=arguments.overrides, values=values)
        measure(config, arguments.turns)


def measure(config: Config, turns: int) -> None:
    dataset = load_configured(config.data)
    task = build_task(config, dataset)
    size = config.train.batch_size
    batches = EpochBatches(task.train, size, 0, shuffle=True)
    model = compiled(config, task, len(dataset.labels))
    both = {"pipeline": batches, "at hand": AtHand(batches)}
    seconds: dict[str, list[float]] = {name: [] for name in both}
    for _ in range(turns + 1):
        for name, source in both.items():
            seconds[name].append(timed(lambda source=source: model.fit(source, verbose=0)))
    count = len(task.train)
    ratios = np.array(seconds["at hand"][1:]) / np.array(seconds["pipeline"][1:])
    trained = count / np.median(seconds["pipeline"][1:])
    alone = count / np.median(
        [timed(lambda: [batches[i] for i in range(len(batches))]) for _ in range(turns)]
    )
    rows = [
        ("training, images/s", f"{trained:.1f}"),
        ("waiting for data", f"{100 * waiting_share(model, batches):.2f} % of the time"),
        ("slower than with a batch at hand", f"{100 * (1 - np.median(ratios)):.1f} %"),
        ("pipeline alone (1 thread), images/s", f"{alone:.0f}"),
        ("pipeline alone / training", f"{alone / trained:.1f}"),
        ("peak memory, GB", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f}"),
    ]
    print(f"{time.strftime('%Y-%m-%d')}, {json.dumps(host())}, {count} pictures, batch {size}\n")
    print(table(("", ""), rows))


def compiled(config: Config, task: Any, classes: int) -> Any:
    model = fold_batch_norm(build_ssd(config.model, classes))
    freeze_before(model, config.train.finetune_from)
    model.compile("adamw", loss=dict(task.losses), jit_compile=False)
    return model


def timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
