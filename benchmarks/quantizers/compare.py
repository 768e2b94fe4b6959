"""quantdet beside other quantizers: one float localizer, the same pictures, steps and measuring.

    python benchmarks/quantizers/compare.py runs/note --out bench --seeds 3

RUN is a trained run with head "global" (preset note). Every row ends as a .tflite that is measured
by the run's own judge on the test split. What is done already in --out is not done again; each
rival has an environment of its own there. Prints Markdown for docs/quantizers.md.

QAT trains all layers, for the same epochs, batch, rate and seeds, on the labels alone but where a
row says that it is distilled: 90 % of the loss asks for the float model's answers. Latency:
XNNPACK on one thread, all files in turns. Memory and speed of training: speed.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from environments import make_environment
from exchange import Pictures, write_job

from quantdet import pipeline
from quantdet.evaluate.latency import benchmark, host
from quantdet.export.contract import write_contract
from quantdet.runs import Run
from quantdet.train.float_stage import build_task, load_float_model
from quantdet.train.qat_stage import calibration_pictures

RIVALS = Path(__file__).parent / "rivals"
EPOCHS, BATCH, RATE = 5, 32, 1e-5
LATENCY_TURNS = 5
LOSSES = {"boxes": "mse", "scores": "sparse_categorical_crossentropy"}
# Row → overrides of our run; epochs = 0 is post-training quantization.
OURS = {
    "quantdet PTQ": ["qat.epochs=0"],
    "quantdet PTQ, second order": ["qat.epochs=0", 'qat.rounding="second_order"'],
    "quantdet PTQ, per tensor": ["qat.epochs=0", 'qat.recipe="static_wi8_ai8_per_tensor"'],
    "quantdet QAT": [],
    "quantdet QAT, per tensor": ['qat.recipe="static_wi8_ai8_per_tensor"'],
    "quantdet QAT, distilled": ["qat.distill=0.9"],
    "quantdet QAT, distilled, per tensor": [
        "qat.distill=0.9",
        'qat.recipe="static_wi8_ai8_per_tensor"',
    ],
}
# Row → (environment, worker, variant).
THEIRS = {
    "litert-quantizer PTQ, min-max": ("ai_edge", "ai_edge_ptq.py", "minmax"),
    "litert-quantizer PTQ, OCTAV": ("ai_edge", "ai_edge_ptq.py", "octav"),
    "TFMOT QAT": ("tfmot", "tfmot_qat.py", "default"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    source = Run.open(arguments.run)
    seeds = range(arguments.seeds)
    print(f"{time.strftime('%Y-%m-%d')}, {json.dumps(host())}, {len(seeds)} seeds\n")
    print("| quantizer | class accuracy % | mean IoU | MB | QAT s | export s |")
    print("|---|---|---|---|---|---|")
    made = rows(source, arguments.out)
    for name, make in made.items():
        print_row(name, [measured(make, arguments.out / slug(name, seed), seed) for seed in seeds])
    print_latencies({name: Run(arguments.out / slug(name, 0)).model_file for name in made})


Make = Callable[[Path, int], dict[str, Any]]
"""(folder, seed) → figures; leaves a run folder there whose export/model.tflite is measured."""


def rows(source: Run, out: Path) -> dict[str, Make]:
    made: dict[str, Make] = {
        "float": lambda folder, seed: baseline(source, folder, "float32"),
        "TFLiteConverter PTQ": lambda folder, seed: baseline(source, folder, "int8-ptq", seed),
    }
    for name, (environment, worker, variant) in THEIRS.items():
        made[name] = lambda folder, seed, e=environment, w=worker, v=variant: theirs(
            source, folder, seed, (make_environment(e, out / "environments"), w, v)
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
        metrics = pipeline.run_evaluate(Run.open(folder), parity_pictures=0)
        (row,) = [v for v in metrics["variants"] if v["variant"] == "uint8_tflite"]
        done.write_text(json.dumps({**figures, **row}, indent=1))
    found: dict[str, Any] = json.loads(done.read_text())
    return found


def copy_run(source: Run, folder: Path, overrides: list[str]) -> Run:
    """Return a run with the float model of ``source``, to be quantized in its own way."""
    folder.mkdir(parents=True)
    shutil.copy(source.config_file, folder)
    shutil.copy(source.manifest_file, folder)
    shutil.copytree(source.float_dir, folder / "float")
    run = Run.open(folder)
    pipeline.update_config(run, overrides)
    return run


def baseline(source: Run, folder: Path, kind: str, seed: int = 0) -> dict[str, Any]:
    run = copy_run(source, folder, [f"qat.seed={seed}"])
    start = time.perf_counter()
    (path,) = pipeline.run_export(run, (kind,))
    seconds = time.perf_counter() - start
    adopt(run, path)
    return {"train_seconds": 0.0, "convert_seconds": seconds}


def theirs(source: Run, folder: Path, seed: int, worker: tuple[Path, str, str]) -> dict[str, Any]:
    run = copy_run(source, folder, [f"qat.seed={seed}"])
    python, script, variant = worker
    write_run_job(run, folder / "job", seed)
    command = [python, RIVALS / script, folder / "job", folder / "rival", "--variant", variant]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    shutil.rmtree(folder / "job")
    adopt(run, folder / "rival" / "model.tflite")
    figures: dict[str, Any] = json.loads((folder / "rival" / "result.json").read_text())
    return figures


def ours(source: Run, folder: Path, seed: int, overrides: list[str]) -> dict[str, Any]:
    shared = [
        f"qat.seed={seed}",
        f"qat.epochs={EPOCHS}",
        f"qat.learning_rate={RATE}",
        "qat.train_backbone=true",
    ]
    run = copy_run(source, folder, [*shared, *overrides])
    pipeline.run_qat(run)
    pipeline.run_export(run)
    manifest = run.manifest()
    return {
        "train_seconds": manifest["qat"]["seconds"],
        "convert_seconds": manifest["export"]["seconds"],
        "kept": manifest["qat"].get("kept"),
    }


def adopt(run: Run, file: Path) -> None:
    """Make ``file`` the product of a run, so that the run's judge measures it."""
    run.export_dir.mkdir(exist_ok=True)
    if file.resolve() != run.model_file.resolve():
        shutil.copy(file, run.model_file)
    labels = tuple(run.manifest()["train"]["identity"]["labels"])
    write_contract(run.model_file, run.load_config(), labels, "")


def write_run_job(run: Run, job: Path, seed: int, epochs: int = EPOCHS) -> None:
    config = run.load_config()
    task = build_task(config, pipeline.load_configured(config.data))
    indices = np.arange(len(task.train))
    pictures = Pictures(
        pixels(task.train.pictures(indices)),
        task.train.targets(indices),
        pixels(calibration_pictures(config, task)),
    )
    settings = {"epochs": epochs, "batch_size": BATCH, "learning_rate": RATE, "seed": seed}
    model = load_float_model(run.float_dir / "model.keras")
    write_job(model, pictures, {**settings, "losses": LOSSES}, job)


def pixels(inputs: np.ndarray) -> np.ndarray:
    return np.rint(inputs * 127.5 + 128).astype(np.uint8)


def print_row(name: str, found: list[dict[str, Any]]) -> None:
    accuracy = spread([100 * row["class_accuracy"] for row in found], 1)
    iou = spread([row["mean_iou"] for row in found], 3)
    train, export = (
        np.median([row[key] for row in found]) for key in ("train_seconds", "convert_seconds")
    )
    cells = [name, accuracy, iou, f"{found[0]['bytes'] / 1e6:.2f}", f"{train:.0f}", f"{export:.0f}"]
    print("|", " | ".join(cells), "|", flush=True)


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
