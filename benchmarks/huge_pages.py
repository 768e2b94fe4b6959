"""What pages of 2 MB save a float training on Linux (`quantdet.system.memory`), in turns.

    python benchmarks/huge_pages.py --out bench/pages

Each training is a process of its own: one epoch of generated scenes. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

from quantdet import generate_scenes
from quantdet.cli import table
from quantdet.evaluate import host

COLUMNS = ("pages", "images/s", "CPU seconds in the system", "CPU seconds in all", "peak GB")
SETTINGS = {"4 kB": "0", "2 MB": "1"}


@dataclass(frozen=True)
class Cost:
    """Of one training."""

    images_per_second: float
    system_seconds: float
    cpu_seconds: float
    peak_gb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="ssd")
    parser.add_argument("--pictures", type=int, default=300, help="train on seven of ten of them")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    data = generate_scenes(arguments.out / "scenes", count=arguments.pictures)
    command = ["train", "--preset", arguments.preset, "--data", data, "--epochs", 1]
    costs: dict[str, list[Cost]] = {name: [] for name in SETTINGS}
    for _ in range(arguments.turns):
        for name, value in SETTINGS.items():
            costs[name].append(measure([*map(str, command)], arguments.out / "run", value))
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, medians\n")
    rows = [
        (name, *(f"{median(column):.2f}" for column in zip(*map(astuple, turns), strict=True)))
        for name, turns in costs.items()
    ]
    print(table(COLUMNS, rows))


def measure(command: list[str], out: Path, huge_pages: str) -> Cost:
    """Train anew in ``out``."""
    shutil.rmtree(out, ignore_errors=True)
    # Set by hand, so that the process does not start anew.
    process = subprocess.Popen(
        [sys.executable, "-m", "quantdet", *command, "--out", str(out)],
        env={**os.environ, "GLIBC_TUNABLES": f"glibc.malloc.hugetlb={huge_pages}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the training failed with {os.waitstatus_to_exitcode(status)}")
    speeds = re.findall(r"([\d.]+) images/s", (out / "train.log").read_text("utf-8"))
    return Cost(
        float(speeds[-1]), used.ru_stime, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20
    )


if __name__ == "__main__":
    main()
