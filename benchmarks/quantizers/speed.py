"""How fast QAT trains and exports: quantdet, float training of the same net, and TFMOT, in turns.

    python benchmarks/quantizers/speed.py runs/note --out bench --rounds 3

RUN is a trained run with head "global" (preset note). Each measurement is a process of its own:
one epoch on the training pictures, all layers, batch 32, then the integer file. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from compare import RIVALS, write_run_job
from environments import make_environment

from quantdet import Run
from quantdet.evaluate import host

FIGURES = {
    "images_per_second": "images/s",
    "peak_memory_training_mb": "peak MB in training",
    "peak_memory_mb": "peak MB",
    "convert_seconds": "export s",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    job = arguments.out / "speed" / "job"
    run = Run.open(arguments.run)
    shutil.rmtree(job.parent, ignore_errors=True)
    write_run_job(run, job, epochs=1)
    tfmot = make_environment("tfmot", arguments.out / "environments")
    workers = {
        "float, folded": (sys.executable, "quantdet_worker.py", "float"),
        "quantdet QAT": (sys.executable, "quantdet_worker.py", "qat"),
        "TFMOT QAT": (tfmot, "tfmot_qat.py", "default"),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for number in range(arguments.rounds):
        for name, worker in workers.items():
            found[name].append(measure(worker, job, job.parent / f"{number}"))
            print(f"<!-- round {number}: {name} {json.dumps(found[name][-1])} -->", flush=True)
    print_table(found)


def measure(worker: tuple[object, str, str], job: Path, out: Path) -> dict[str, float]:
    python, script, variant = worker
    command = [python, RIVALS / script, job, out, "--variant", variant]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    result = json.loads((out / "result.json").read_text())
    return {key: result[key] for key in FIGURES}


def print_table(found: dict[str, list[dict[str, float]]]) -> None:
    rounds = len(next(iter(found.values())))
    print(
        time.strftime("%Y-%m-%d"), host().model_dump_json(), f"{rounds} rounds in turns, medians\n"
    )
    print("|", " | ".join(["", *FIGURES.values()]), "|")
    print("|---" * (len(FIGURES) + 1) + "|")
    medians = {
        name: {key: median(row[key] for row in rows) for key in FIGURES}
        for name, rows in found.items()
    }
    for name, row in medians.items():
        print("|", " | ".join([name, *(f"{value:.1f}" for value in row.values())]), "|")
    ours, float_, theirs = (medians[n] for n in ("quantdet QAT", "float, folded", "TFMOT QAT"))
    print(
        f"\nA QAT step costs {float_['images_per_second'] / ours['images_per_second']:.2f} x the "
        f"float step. Against TFMOT: {ours['images_per_second'] / theirs['images_per_second']:.2f} "
        f"x the images/s, {ours['peak_memory_training_mb'] / theirs['peak_memory_training_mb']:.2f}"
        " x the memory in training, export in 1/"
        f"{theirs['convert_seconds'] / ours['convert_seconds']:.1f} of the time."
    )


if __name__ == "__main__":
    main()
