"""Kill training and QAT with SIGKILL in the middle, start again, compare with an unbroken run.

    python benchmarks/kill_resume.py --data VOCdevkit/VOC2007 --out runs/kill

Prints the largest difference of any weight, and whether the exported files are equal byte for byte.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SETTINGS = ("train.epochs=3", "train.finetune_epochs=3", "train.augment=mild", "model.head=grid",
            "model.input_size=96", "qat.epochs=4", "qat.train_backbone=true")  # fmt: skip


def command(stage: str, run: Path, data: Path) -> list[str]:
    start = [sys.executable, "-m", "quantdet", stage]
    if stage != "train":
        return [*start, str(run)]
    options = [part for item in SETTINGS for part in ("--set", item)]
    return [*start, "--data", str(data), "--out", str(run), *options]


def killed_after(arguments: list[str], state: Path) -> str:
    """Start, wait until one epoch is saved, kill in the middle of the next."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not state.exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.7)
    process.send_signal(signal.SIGKILL)
    return "killed" if process.wait() == -signal.SIGKILL else "had finished before the kill"


def weights(path: Path) -> list[np.ndarray]:
    from quantdet.quant import load_keras

    return load_keras(path).get_weights()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    whole, broken = arguments.out / "whole", arguments.out / "broken"
    for stage in ("train", "qat", "export"):
        subprocess.run(command(stage, whole, arguments.data), check=True, stderr=subprocess.DEVNULL)
    for stage, state in (
        ("train", "float/finetune/last.npz"),
        ("qat", "qat/finetune/last.npz"),
    ):
        print(stage, killed_after(command(stage, broken, arguments.data), broken / state))
        subprocess.run(
            command(stage, broken, arguments.data), check=True, stderr=subprocess.DEVNULL
        )
    subprocess.run(command("export", broken, arguments.data), check=True, stderr=subprocess.DEVNULL)
    for name in ("float/model.keras", "qat/model.keras"):
        pairs = zip(weights(whole / name), weights(broken / name), strict=True)
        print(name, "largest difference", max(float(np.abs(a - b).max()) for a, b in pairs))
    files = [(run / "export/model.tflite").read_bytes() for run in (whole, broken)]
    print("exported files equal:", files[0] == files[1])


if __name__ == "__main__":
    main()
