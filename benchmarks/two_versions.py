"""What a training and a quantization-aware training cost in two checkouts, in turns.

    git worktree add ../before REVISION
    python benchmarks/two_versions.py --before ../before --out bench/versions

Each stage is a process of its own: two epochs of generated scenes, preset ssd. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

from quantdet import generate_scenes
from quantdet.cli import table
from quantdet.evaluate import host

HERE = Path(__file__).parents[1]
# The same work for both, whatever their presets say.
SETTINGS = (
    "train.min_steps=0",
    "train.finetune_epochs=2",
    "train.finetune_learning_rate=4e-4",
    "qat.epochs=2",
)


@dataclass(frozen=True)
class Cost:
    """CPU seconds and memory of a stage; images a second and loss on val of its last epoch."""

    images_per_second: float
    cpu_seconds: float
    peak_gb: float
    val_loss: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=300, help="train on seven of ten of them")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    data = generate_scenes(arguments.out / "scenes", count=arguments.pictures)
    checkouts = {"before": arguments.before, "now": HERE}
    costs: dict[tuple[str, str], list[Cost]] = {}
    for _ in range(arguments.turns):
        for name, checkout in checkouts.items():
            run = arguments.out / name
            shutil.rmtree(run, ignore_errors=True)
            train = ["train", "--preset", "ssd", "--data", str(data), "--out", str(run)]
            train += [part for item in SETTINGS for part in ("--set", item)]
            for command in (train, ["qat", str(run)]):
                cost = measure(checkout, command, run / "train.log")
                costs.setdefault((command[0], name), []).append(cost)
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, medians (lowest to highest)\n")
    print(table(("stage", "version", *(item.name for item in fields(Cost))), rows(costs)))


def measure(checkout: Path, command: list[str], log: Path) -> Cost:
    """Run a stage with the package of ``checkout``; ``log`` is where it writes."""
    source = str((checkout / "src").resolve())
    process = subprocess.Popen(
        [sys.executable, "-m", "quantdet", *command],
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{source}: {command[0]} failed with {os.waitstatus_to_exitcode(status)}")
    text = log.read_text("utf-8")
    return Cost(
        float(re.findall(r"([\d.]+) images/s", text)[-1]),
        used.ru_utime + used.ru_stime,
        used.ru_maxrss / 2**20,
        float(re.findall(r"val loss ([\d.]+)", text)[-1]),
    )


def rows(costs: dict[tuple[str, str], list[Cost]]) -> list[tuple[str, ...]]:
    return [
        (*key, *(spread(column) for column in zip(*map(astuple, turns), strict=True)))
        for key, turns in costs.items()
    ]


def spread(values: tuple[float, ...]) -> str:
    return f"{median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


if __name__ == "__main__":
    main()
