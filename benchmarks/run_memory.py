"""Peak memory of `quantdet run` with preset `ssd` on 42 generated training pictures.

    python benchmarks/run_memory.py --out memory

One epoch of each kind: memory does not grow with their number. Prints the largest resident size
of a process that took part.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

from quantdet import generate_scenes
from quantdet.evaluate import host

PICTURES = 60
SETTINGS = ("train.epochs=1", "train.finetune_epochs=1", "train.min_steps=1", "qat.epochs=1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    data = generate_scenes(out / "scenes", count=PICTURES, seed=0)
    command = ["run", "--preset", "ssd", "--data", data, "--out", out / "run"]
    options = [part for item in SETTINGS for part in ("--set", item)]
    subprocess.run([sys.executable, "-m", "quantdet", *map(str, command), *options], check=True)
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # Linux counts in kB
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}: {largest:.2f} GB")


if __name__ == "__main__":
    main()
