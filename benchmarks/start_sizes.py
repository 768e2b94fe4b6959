"""What a detector is worth as a start at other input sizes, before any training.

    python benchmarks/start_sizes.py --data VOCdevkit/VOC2007 --out runs/starts

Builds preset `ssd` at each size from the shipped detector, without a step of training, and measures
the float .tflite on the val split. The shipped detector was trained on those pictures: only
differences between sizes, or between versions of quantdet, say something. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from quantdet import load_config, run_evaluate, run_export, run_train
from quantdet.evaluate import host
from quantdet.results import FIGURES

VOC07 = FIGURES["detector"].headline[0]
OVERRIDES = (
    "train.epochs=0",
    "train.finetune_epochs=0",
    "train.min_steps=0",
    "data.test_split=val",
    "predict.score_threshold=0.4",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[192, 224, 256, 300])
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}\n")
    print("| pixels | VOC07 mAP | 95 % interval |\n|---|---|---|")
    for size in arguments.sizes:
        config = load_config(
            preset="ssd",
            overrides=[*OVERRIDES, f"model.input_size={size}"],
            values={"data": {"root": arguments.data}},
        )
        run = run_train(config, arguments.out / str(size))
        run_export(run, ("float32",))
        row = run_evaluate(run, parity_pictures=0).variant("float_tflite")
        print(f"| {size} | {VOC07.text(row)} | {VOC07.between(row)} |", flush=True)


if __name__ == "__main__":
    main()
