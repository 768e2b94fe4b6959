"""Training speed on a GPU: float and quantization-aware steps, with data and without.

    KERAS_BACKEND=jax python benchmarks/gpu.py --out gpu.jsonl --seconds 480

SSDLite 300 with the anchors and the augmentation of preset `ssd`, VOC's 20 classes, random weights,
generated pictures: nothing is fetched. Stages: `float`; `qat`, on the labels; `taught`, the same
with the float net as teacher, as the preset does it. Every row is a process of its own, so that one
that hangs or runs out of memory costs its row alone; it is printed and written as soon as it is
measured, the most important first. JAX' compiled programs are kept in --cache; "again" is a row's
second process, which finds them there.

Columns: pictures a second in training; the same step on one batch that is on the device already
(the limit); the share of the time that is lost against it, mostly to waiting for data; pictures a
second of the input pipeline alone, with the same --workers; seconds before the first step's call,
and until its end; programs compiled; memory of the device.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STAGES = ("float", "qat", "taught")
PRECISIONS = ("bfloat16", "float32")
BATCHES = (64, 16, 256)
CLASSES = 20
# What is asked first if the time does not suffice for all.
FIRST = (
    ("float", "bfloat16", 64),
    ("qat", "float32", 16),
    ("qat", "float32", 64),
    ("float", "float32", 64),
    ("float", "bfloat16", 256),
    ("taught", "float32", 64),
    ("qat", "float32", 256),
    ("float", "float32", 16),
    ("qat", "bfloat16", 64),
)
# Steps after which caches, clocks and allocators are warm.
WARM_UP = 3
MARK = "@@"
# Of what a row found: name, width and form.
COLUMNS = (
    ("images_s", 10, ".1f"),
    ("limit_images_s", 8, ".0f"),
    ("lost", 6, ".0%"),
    ("pipeline_images_s", 9, ".0f"),
    ("before_s", 8, ".1f"),
    ("first_step_s", 9, ".1f"),
    ("programs", 9, "d"),
    ("device_mib", 8, ".0f"),
)
HEAD = (
    f"{'stage':7}{'precision':10}{'batch':>5}{'':>6}{'images/s':>10}{'limit':>8}{'lost':>6}"
    f"{'pipeline':>9}{'before':>8}{'1st step':>9}{'programs':>9}{'MiB':>8}"
)


@dataclass(frozen=True)
class Row:
    """What is measured in one process."""

    stage: str
    precision: str
    batch: int
    again: bool = False


# --- the process that starts the others ---


def main() -> None:
    arguments = parse()
    if arguments.row:
        measure(Row(**json.loads(arguments.row)), arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.work = arguments.work or Path(folder)
        arguments.work.mkdir(parents=True, exist_ok=True)
        print(HEAD, flush=True)
        for row in planned(arguments):
            found = run_row(row, arguments)
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            print(line(row, found), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--again", type=int, default=2, help="first rows that are run twice")
    parser.add_argument("--steps", type=int, default=24, help="steps timed in each row")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=480.0, help="for all rows")
    parser.add_argument("--row-seconds", type=float, default=180.0, help="for one row")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--workers", default="auto", help="as data.workers")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--cache", type=Path, help="of JAX' programs; default: none is kept")
    parser.add_argument("--work", type=Path, help="pictures and logs of the rows")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


def planned(arguments: argparse.Namespace) -> Iterator[Row]:
    """Yield rows until the time is up."""
    end = time.monotonic() + arguments.seconds
    for row in ordered(arguments):
        left = end - time.monotonic()
        if left <= 0:
            print(f"no time left for {row}", flush=True)
            continue
        arguments.row_seconds = min(arguments.row_seconds, left)
        yield row


def ordered(arguments: argparse.Namespace) -> list[Row]:
    every = [
        (stage, precision, batch)
        for batch in arguments.batches
        for stage in arguments.stages
        for precision in arguments.precisions
    ]
    rows = [Row(*key) for key in [key for key in FIRST if key in every]]
    rows += [Row(*key) for key in every if key not in FIRST]
    # Once the first figures are in.
    place = arguments.again + 2
    again = [replace(row, again=True) for row in rows[: arguments.again]]
    return [*rows[:place], *again, *rows[place:]]


def run_row(row: Row, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a process of its own found, however far it came."""
    log = arguments.work / "-".join(str(value) for value in asdict(row).values())
    start = time.monotonic()
    with log.open("w+", encoding="utf-8") as file:
        process = subprocess.Popen(
            command(row, arguments),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment(arguments),
        )
        try:
            code: int | None = process.wait(arguments.row_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        file.seek(0)
        said = file.read().splitlines()
    found = {**asdict(row), "seconds": round(time.monotonic() - start, 1)}
    for said_line in said:
        if said_line.startswith(MARK):
            found |= json.loads(said_line.removeprefix(MARK))
    if code is None:
        found["error"] = f"stopped after {found['seconds']} s"
    elif code:
        # An exception's own line is the last that is not indented, but for notes behind it.
        errors = [text for text in said if re.match(r"[\w.]+(Error|Exit|Exhausted)\b", text)]
        found["error"] = errors[-1] if errors else f"exit code {code}: {said[-1:]}"
        found["log"] = "\n".join(said[-40:])
    return found


def command(row: Row, arguments: argparse.Namespace) -> list[str]:
    passed = ("steps", "pictures", "size", "width", "workers", "out", "work")
    options = [f"--{name}={getattr(arguments, name)}" for name in passed]
    return [sys.executable, __file__, *options, f"--row={json.dumps(asdict(row))}"]


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    cache = arguments.cache or arguments.work / "compiled"
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def line(row: Row, found: dict[str, Any]) -> str:
    again = "again" if row.again else ""
    cells = [f"{row.stage:7}{row.precision:10}{row.batch:5}{again:>6}"]
    for name, width, form in COLUMNS:
        value = found.get(name)
        cells.append(f"{'–' if value is None else format(value, form):>{width}}")
    if "error" in found:
        cells.append(f"  after {found.get('phase', 'nothing')}: {found['error']}")
    return "".join(cells)


# --- the process of one row ---


class Said:
    """What a row has found, said at once: a process that is stopped has said the rest."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._compiled: Counter[str] = Counter()
        self.programs = 0
        _listen(self._compiled)

    def say(self, **values: Any) -> None:
        print(MARK + json.dumps(values), flush=True)

    def phase(self, name: str) -> None:
        """Say how long the phase took that ends here, and what was compiled in it."""
        now = time.perf_counter()
        compiled = {key: round(value, 2) for key, value in self._compiled.items()}
        self.say(phase=name, **{name: {"seconds": round(now - self._last, 2), **compiled}})
        self._last = now
        self.programs += int(self._compiled["backend_compile_count"])
        self._compiled.clear()

    def since_start(self) -> float:
        return time.perf_counter() - self._start


def _listen(compiled: Counter[str]) -> None:
    """Add up what JAX tells of its compilations; nothing on other backends."""
    import keras

    if keras.backend.backend() != "jax":
        return
    import jax

    def took(event: str, seconds: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            name = event.rpartition("/")[2].removesuffix("_duration")
            compiled[f"{name}_s"] += seconds
            compiled[f"{name}_count"] += 1

    def happened(event: str, **_: Any) -> None:
        if event.startswith("/jax/compilation_cache/cache_"):
            compiled[event.rpartition("/")[2]] += 1

    jax.monitoring.register_event_duration_secs_listener(took)
    jax.monitoring.register_event_listener(happened)


def measure(row: Row, arguments: argparse.Namespace) -> None:
    said = Said()
    config = configured(arguments, row)
    task, source = examples(config, row.batch * (arguments.steps + WARM_UP))
    said.phase("pictures")
    model = float_model(config)
    said.phase("float_model")
    losses = task.losses
    if row.stage != "float":
        teacher, model = model, quantized(model, source)
        said.phase("prepare_qat")
    if row.stage == "taught":
        model, losses = taught(config, task, model, teacher)
        said.phase("teacher")
    said.say(before_s=round(said.since_start(), 2))
    train(row, model, replace(task.training(source, ()), losses=losses), said, config.data.workers)


def configured(arguments: argparse.Namespace, row: Row) -> Any:
    """Return preset `ssd` on generated pictures, without anything to fetch."""
    from quantdet import generate_scenes, load_config

    root = generate_scenes(arguments.work / "scenes", count=arguments.pictures)
    workers = arguments.workers if arguments.workers == "auto" else int(arguments.workers)
    data = {"root": root, "cache_dir": arguments.work / "pictures", "workers": workers}
    model = {"input_size": arguments.size, "width": arguments.width, "weights": "none"}
    train = {"batch_size": row.batch, "mixed_precision": row.precision == "bfloat16"}
    return load_config(preset="ssd", values={"data": data, "model": model, "train": train})


class Repeated:
    """A source's examples over and over."""

    def __init__(self, source: Any, length: int) -> None:
        self._source = source
        self._length = length

    def __len__(self) -> int:
        return self._length

    def batch(self, indices: Any, rng: Any) -> Any:
        return self._source.batch(indices % len(self._source), rng)

    def pictures(self, indices: Any) -> Any:
        return self._source.pictures(indices % len(self._source))


def examples(config: Any, count: int) -> tuple[Any, Repeated]:
    from quantdet.data import load_configured
    from quantdet.train import build_task

    dataset = load_configured(config.data)
    more = [f"class {number}" for number in range(len(dataset.labels), CLASSES)]
    dataset = replace(dataset, labels=(*dataset.labels, *more))
    task = build_task(config, dataset)
    return task, Repeated(task.train, count)


def float_model(config: Any) -> Any:
    """Return the net that preset `ssd` trains: BatchNorm folded."""
    from quantdet.models import build_model
    from quantdet.quant import fold_batch_norm

    return fold_batch_norm(build_model(config.model, CLASSES), over_borders=True)


def quantized(model: Any, source: Repeated) -> Any:
    import numpy as np

    from quantdet import prepare_qat
    from quantdet.runtime import PIXEL_RANGE

    calibration = [source.pictures(np.arange(start, start + 16)) for start in (0, 16, 32, 48)]
    return prepare_qat(model, calibration, input_range=PIXEL_RANGE, trial_export=False)


def taught(config: Any, task: Any, student: Any, teacher: Any) -> tuple[Any, Any]:
    from quantdet.train import follow, with_teacher

    share = config.qat.distill
    return with_teacher(student, teacher), follow(task.losses, task.agreements, share)


def train(row: Row, model: Any, task: Any, said: Said, workers: int | str) -> None:
    from quantdet.train import FitSettings, choose_workers, fit

    settings = FitSettings(
        epochs=1,
        batch_size=row.batch,
        optimizer="adamw",
        weight_decay=1e-4,
        learning_rate=1e-5,
        schedule="cosine",
        clip_norm=5.0,
        mixed_precision=row.precision == "bfloat16",
        ema=0.995 if row.stage == "float" else 0.0,
        keep="last",
        workers=choose_workers(workers),
    )
    said.say(workers=settings.workers)
    clock = make_clock(row, task.train, said, settings.workers)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            replace(task, metrics={}, validation=None, callbacks=[clock]),
            settings,
            Path(folder),
        )


def make_clock(row: Row, source: Repeated, said: Said, workers: int) -> Any:
    """Return a callback that times the steps; at the end also on a prepared batch, and batches."""
    import keras

    from quantdet.train import EpochBatches

    class Clock(keras.callbacks.Callback):
        # Called behind the step in any case, since Keras waits for the step's losses first; this
        # alone must not make every step wait.
        async_safe = True

        def __init__(self) -> None:
            super().__init__()
            self.ends: list[float] = []

        def on_train_begin(self, logs: Any = None) -> None:
            said.phase("fit")
            self.begin = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.ends.append(time.perf_counter())
            if len(self.ends) <= WARM_UP:
                said.phase(f"step_{len(self.ends)}")
            if len(self.ends) == 1:
                first = round(self.ends[0] - self.begin, 2)
                said.say(first_step_s=first, programs=said.programs, **memory())

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            steps = len(self.ends) - WARM_UP
            step = (self.ends[-1] - self.ends[WARM_UP - 1]) / steps
            said.say(images_s=row.batch / step)
            said.phase("steps")
            batches = EpochBatches(source, row.batch, 0, shuffle=True)
            limit = prepared_step(self.model, batches[0], steps)
            said.say(limit_images_s=row.batch / limit, lost=1 - limit / step, **memory())
            said.phase("limit")
            said.say(pipeline_images_s=row.batch / batch_seconds(batches, workers))
            said.phase("pipeline")

    return Clock()


def prepared_step(model: Any, batch: Any, steps: int) -> float:
    """Return the seconds of the model's own compiled step on one batch that is on the device."""
    import keras

    class Prepared(keras.utils.PyDataset):
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> Any:
            return on_device

    class Epochs(keras.callbacks.Callback):
        """Nothing is called after a step: Keras would wait for its losses then."""

        ends: tuple[float, ...] = ()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.ends = (*self.ends, time.perf_counter())

    on_device = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
    epochs = Epochs()
    model.fit(Prepared(), epochs=2, callbacks=[epochs], verbose=0)
    return (epochs.ends[1] - epochs.ends[0]) / steps


def batch_seconds(batches: Any, workers: int) -> float:
    """Return the seconds of a batch where nothing is trained."""
    # Each worker has some ready when the clock starts.
    ready = max(WARM_UP, 3 * workers)
    numbers = range(ready + max(len(batches), 4 * workers))
    with batches.made_beside(numbers, workers):
        for number in numbers:
            if number == ready:
                start = time.perf_counter()
            batches.epoch, index = divmod(number, len(batches))
            batches[index]
    return (time.perf_counter() - start) / (len(numbers) - ready)


def memory() -> dict[str, Any]:
    """Return the device, and the most memory that it gave so far."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        device = jax.local_devices()[0]
        peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
        return {"device": device.device_kind, "device_mib": peak and peak / 2**20}
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated()
            return {"device": torch.cuda.get_device_name(), "device_mib": peak / 2**20}
    return {"device": "CPU", "device_mib": None}


if __name__ == "__main__":
    main()
