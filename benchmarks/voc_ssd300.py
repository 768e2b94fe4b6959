"""Make and measure the model that comes with quantdet, with several seeds of quantization.

    python benchmarks/voc_ssd300.py --data VOCdevkit/VOC2007 --out runs/voc-ssd300 --seeds 3
    python benchmarks/voc_ssd300.py ... --package    # and put seed 0 into the package

The float model is trained once. For each seed it is quantized anew: other calibration pictures
(for the converter's own quantization too), another order and augmentation. Every stage resumes.
Prints Markdown for docs/models/voc-ssd300.md. --weights takes a local copy of the start weights.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from quantdet import (
    Run,
    load_config,
    run_evaluate,
    run_export,
    run_qat,
    run_train,
    update_config,
)
from quantdet.cli import bar
from quantdet.evaluate import host
from quantdet.export import embed_contract
from quantdet.results import FIGURES, DetectionMetrics
from quantdet.runtime import find_model, load_contract

MODEL = "voc-ssd300"
VOC07 = FIGURES["detector"].headline[0]
FORMATS = ("uint8", "int8-ptq", "float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--package", action="store_true")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    values: dict[str, Any] = {"data": {"root": arguments.data}}
    if arguments.weights:
        values["model"] = {"weights": arguments.weights}
    config = load_config(preset="voc_ssd300", overrides=arguments.overrides, values=values)
    with bar() as progress:
        first = run_train(config, arguments.out, progress)
        metrics = [
            quantize_and_measure(_copy(first, seed), progress) for seed in range(arguments.seeds)
        ]
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}\n")
    print(table(metrics))
    if arguments.package:
        package(first, metrics[0])


def _copy(run: Run, seed: int) -> Run:
    """Return the run itself for seed 0, else a run that shares its float model."""
    if not seed:
        return run
    root = run.root.with_name(f"{run.root.name}-seed{seed}")
    copy = Run.open(root) if root.exists() else run.fork(root)
    update_config(copy, [f"qat.seed={seed}"])
    return copy


def quantize_and_measure(run: Run, progress: Any) -> DetectionMetrics:
    run_qat(run, progress)
    run_export(run, FORMATS, progress)
    return run_evaluate(run, progress=progress)


def table(metrics: list[DetectionMetrics]) -> str:
    lines = ["| model | VOC07 mAP, each seed | mean ± spread | 95 % interval (seed 0) | bytes |"]
    lines.append("|---|---|---|---|---|")
    for number, row in enumerate(metrics[0].variants):
        values = [100 * (VOC07.value(item.variants[number]) or 0.0) for item in metrics]
        lines.append(
            f"| {row.name} | {', '.join(f'{v:.1f}' for v in values)} | {np.mean(values):.2f} ± "
            f"{np.std(values):.2f} | {VOC07.between(row)} | {row.bytes} |"
        )
    return "\n".join(lines)


def package(run: Run, metrics: DetectionMetrics) -> None:
    """Copy model and contract into the package; the contract gets the figures."""
    target = find_model(MODEL)
    shutil.copyfile(run.model_file, target)
    row = metrics.variant("uint8_tflite")
    assert row is not None
    keys = {"pictures", "map_voc07", "map_voc07_interval", "map_voc10", "coco"}
    figures = {"split": metrics.split, **row.model_dump(mode="json", include=keys)}
    contract = load_contract(run.model_file).model_copy(update={"metrics": figures})
    embed_contract(target, contract)
    print(f"\n{target}")


if __name__ == "__main__":
    main()
