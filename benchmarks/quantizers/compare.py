"""quantdet beside other quantizers: one float detector, the same pictures, steps and measuring.

    python benchmarks/quantizers/compare.py runs/note --out bench --seeds 3
    python benchmarks/quantizers/compare.py runs/ssd --out bench-ssd --seeds 3

RUN is a trained run: a localizer with head "global" (preset note), or an ssdlite. Every row ends as
a .tflite that is measured by the run's own judge on the test split. What is done already in --out
is not done again; each rival has an environment of its own there. Prints Markdown for
docs/quantizers.md.

QAT trains all layers, for the same epochs, batch and seeds, on the same pictures without
augmentation. TFMOT's learns the labels; quantdet's does so for a localizer, and follows the float
model for an ssdlite, as the presets do. Rates are in the rows. Latency: XNNPACK on one thread, all
files in turns. Memory and speed of training: speed.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from environments import make_environment
from exchange import Pictures, write_job

from quantdet import (
    Run,
    benchmark,
    load_config,
    run_evaluate,
    run_export,
    run_qat,
    update_config,
)
from quantdet.data import load_configured
from quantdet.evaluate import host
from quantdet.export import write_contract
from quantdet.quant import load_keras
from quantdet.results import read_results
from quantdet.train import build_task, calibration_pictures

RIVALS = Path(__file__).parent / "rivals"
LATENCY_TURNS = 5
SECOND_ORDER = 'qat.rounding="second_order"'
PER_TENSOR = 'qat.recipe="static_wi8_ai8_per_tensor"'
# Rates of QAT: the reference note's, and the best of 1e-5, 2e-6 on the validation split.
NOTE_RATE, LOW_RATE = 1e-5, 2e-6


@dataclass(frozen=True)
class Bench:
    """What the rows of one kind of detector have in common.

    Attributes:
        losses: output name → name of its loss (rivals/losses.py, or Keras').
        epochs: of QAT.
        batch: pictures a step.
        figures: (title, key in the metrics, factor, digits).
        distill: share of the loss of our QAT that asks for the float model's answers.
    """

    losses: dict[str, str]
    epochs: int
    batch: int
    figures: tuple[tuple[str, str, float, int], ...]
    distill: float = 0.0


LOCALIZER = Bench(
    losses={"boxes": "mse", "scores": "sparse_categorical_crossentropy"},
    epochs=5,
    batch=32,
    figures=(("class accuracy %", "class_accuracy", 100, 1), ("mean IoU", "mean_iou", 1, 3)),
)
SSD = Bench(
    losses={"boxes": "huber", "scores": "focal"},
    epochs=2,
    batch=16,
    figures=(("VOC07 mAP", "map_voc07", 100, 1), ("VOC10 mAP", "map_voc10", 100, 1)),
    distill=0.9,
)
BENCHES = {"localizer": LOCALIZER, "ssd": SSD, "ssdlite": SSD}
# Row → overrides of our run; epochs = 0 is post-training quantization.
OURS = {
    "quantdet PTQ": ["qat.epochs=0"],
    "quantdet PTQ, second order": ["qat.epochs=0", SECOND_ORDER],
    "quantdet PTQ, per tensor": ["qat.epochs=0", PER_TENSOR],
    "quantdet PTQ, per tensor, second order": ["qat.epochs=0", PER_TENSOR, SECOND_ORDER],
    "quantdet QAT, 2e-6": [],
    "quantdet QAT, 2e-6, per tensor": [PER_TENSOR],
    "quantdet QAT, 2e-6, per tensor, second order": [PER_TENSOR, SECOND_ORDER],
}
# Row → (environment, worker, variant, rate).
THEIRS = {
    "litert-quantizer PTQ, min-max": ("ai_edge", "ai_edge_ptq.py", "minmax", 0.0),
    "litert-quantizer PTQ, OCTAV": ("ai_edge", "ai_edge_ptq.py", "octav", 0.0),
    "TFMOT QAT, 1e-5": ("tfmot", "tfmot_qat.py", "default", NOTE_RATE),
    "TFMOT QAT, 2e-6": ("tfmot", "tfmot_qat.py", "default", LOW_RATE),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--without", action="append", default=[], metavar="ROW")
    arguments = parser.parse_args()
    source = Run.open(arguments.run)
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, {arguments.seeds} seeds\n")
    figures = bench_of(source).figures
    titles = ["quantizer", *(title for title, *_ in figures), "MB", "QAT s", "export s"]
    print("|", " | ".join(titles), "|")
    print("|---" * len(titles) + "|")
    made = rows(source, arguments.out)
    for name in arguments.without:
        del made[name]
    for name, make in made.items():
        # The float model is the same for every seed.
        seeds = range(1 if name == "float" else arguments.seeds)
        found = [measured(make, arguments.out / slug(name, seed), seed) for seed in seeds]
        print_row(name, found, figures)
    print_latencies({name: Run(arguments.out / slug(name, 0)).model_file for name in made})


def bench_of(run: Run) -> Bench:
    return BENCHES[run.load_config().model.name]


Make = Callable[[Path, int], dict[str, Any]]
"""(folder, seed) → figures; leaves a run folder there whose export/model.tflite is measured."""


def rows(source: Run, out: Path) -> dict[str, Make]:
    made: dict[str, Make] = {
        "float": lambda folder, seed: baseline(source, folder, "float32"),
        "TFLiteConverter PTQ": lambda folder, seed: baseline(source, folder, "int8-ptq", seed),
    }
    for name, (environment, script, variant, rate) in THEIRS.items():
        made[name] = lambda folder, seed, e=environment, w=(script, variant), r=rate: theirs(
            copy_run(source, folder, [f"qat.seed={seed}", f"qat.learning_rate={r or LOW_RATE}"]),
            (make_environment(e, out / "environments"), *w),
        )
    for name, overrides in OURS.items():
        made[name] = lambda folder, seed, o=overrides: ours(source, folder, seed, o)
    return made


def slug(name: str, seed: int) -> str:
    return f"{name.replace(',', '').replace(' ', '-').lower()}-{seed}"


def measured(make: Make, folder: Path, seed: int) -> dict[str, Any]:
    """Return the figures of one row and seed; made once."""
    done = folder / "row.json"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        figures = make(folder, seed)
        metrics = run_evaluate(Run.open(folder), parity_pictures=0)
        row = metrics.variant("uint8_tflite")
        assert row is not None
        done.write_text(json.dumps({**figures, **row.model_dump(mode="json")}, indent=1))
    found: dict[str, Any] = json.loads(done.read_text())
    return found


def copy_run(source: Run, folder: Path, overrides: list[str]) -> Run:
    """Return a run with the float model of ``source``, to be quantized in its own way."""
    run = source.fork(folder)
    # Every quantizer sees the pictures as they are.
    load_config(run.config_file, overrides=['train.augment="none"']).save(run.config_file)
    update_config(run, overrides)
    return run


def baseline(source: Run, folder: Path, kind: str, seed: int = 0) -> dict[str, Any]:
    run = copy_run(source, folder, [f"qat.seed={seed}"])
    start = time.perf_counter()
    (path,) = run_export(run, (kind,))
    seconds = time.perf_counter() - start
    adopt(run, path)
    return {"train_seconds": 0.0, "convert_seconds": seconds}


def theirs(run: Run, worker: tuple[Path, str, str]) -> dict[str, Any]:
    python, script, variant = worker
    job, out = run.root / "job", run.root / "rival"
    write_run_job(run, job)
    command = [python, RIVALS / script, job, out, "--variant", variant]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    shutil.rmtree(job)
    adopt(run, out / "model.tflite")
    figures: dict[str, Any] = json.loads((out / "result.json").read_text())
    return figures


def ours(source: Run, folder: Path, seed: int, overrides: list[str]) -> dict[str, Any]:
    bench = bench_of(source)
    shared = [
        f"qat.seed={seed}",
        f"qat.epochs={bench.epochs}",
        f"qat.learning_rate={LOW_RATE}",
        "qat.train_backbone=true",
        f"qat.distill={bench.distill}",
    ]
    run = copy_run(source, folder, [*shared, *overrides])
    run_qat(run)
    run_export(run)
    results = read_results(run)
    return {
        "train_seconds": results.stages["qat"].seconds,
        "convert_seconds": results.stages["export"].seconds,
        "kept": results.qat.kept,
    }


def adopt(run: Run, file: Path) -> None:
    """Make ``file`` the product of a run, so that the run's judge measures it."""
    run.export_dir.mkdir(exist_ok=True)
    if file.resolve() != run.model_file.resolve():
        shutil.copy(file, run.model_file)
    write_contract(run.model_file, run.load_config(), run.labels(), "")


def write_run_job(run: Run, job: Path, epochs: int | None = None) -> None:
    """Write the job of a run: its pictures, its float model, its seed and rate."""
    config, bench = run.load_config(), bench_of(run)
    task = build_task(config, load_configured(config.data))
    indices = np.arange(len(task.train))
    pictures = Pictures(
        pixels(task.train.pictures(indices)),
        task.train.targets(indices),
        pixels(calibration_pictures(config, task)),
    )
    settings = {
        "epochs": bench.epochs if epochs is None else epochs,
        "batch_size": bench.batch,
        "learning_rate": config.qat.learning_rate,
        "seed": config.qat.seed,
        "losses": bench.losses,
        "output_ranges": dict(task.output_ranges),
    }
    write_job(load_keras(run.float_dir / "model.keras"), pictures, settings, job)


def pixels(inputs: np.ndarray) -> np.ndarray:
    return np.rint(inputs * 127.5 + 128).astype(np.uint8)


def print_row(
    name: str, found: list[dict[str, Any]], figures: tuple[tuple[str, str, float, int], ...]
) -> None:
    cells = [
        spread([factor * row[key] for row in found], digits) for _, key, factor, digits in figures
    ]
    train, export = (
        np.median([row[key] for row in found]) for key in ("train_seconds", "convert_seconds")
    )
    cells += [f"{found[0]['bytes'] / 1e6:.2f}", f"{train:.0f}", f"{export:.0f}"]
    print("|", " | ".join([name, *cells]), "|", flush=True)


def print_latencies(files: dict[str, Path]) -> None:
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(LATENCY_TURNS):
        for name, path in files.items():
            results = benchmark(path, threads=(1,), warmup=2, runs=10)
            times[name] += [row.median_ms for row in results if row.kernels == "xnnpack"]
    base = np.median(times["float"])
    print("\n| quantizer | ms | float / this |\n|---|---|---|")
    for name, found in times.items():
        print(f"| {name} | {np.median(found):.2f} | {base / np.median(found):.2f} |")


def spread(values: list[float], digits: int) -> str:
    mean, deviation = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


if __name__ == "__main__":
    main()
