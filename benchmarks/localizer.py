"""The whole road on a real VOC folder, stage by stage: accuracy, parity, seconds.

    python benchmarks/localizer.py --data VOCdevkit/VOC2007 --preset note --out runs/note

Prints Markdown for docs/log.md and the README. Each stage runs once, from nothing: give a new
--out. Seconds are wall time of the stage, with the imports that it is the first to need.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from quantdet import load_config, run_evaluate, run_export, run_qat, run_train
from quantdet.cli import metrics_table
from quantdet.evaluate import host
from quantdet.results import read_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="note")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--parity-pictures", type=int, default=16)
    arguments = parser.parse_args()
    config = load_config(
        preset=arguments.preset,
        overrides=arguments.overrides,
        values={"data": {"root": arguments.data, "cache_dir": arguments.out / "cache"}},
    )
    start = time.perf_counter()
    run = run_train(config, arguments.out)
    run_qat(run)
    run_export(run)
    road = time.perf_counter() - start
    stages = read_results(run).stages
    seconds = {stage: stages[stage].seconds for stage in ("train", "qat", "export")}
    run_export(run, ("int8-ptq", "float32"))
    metrics = run_evaluate(run, parity_pictures=arguments.parity_pictures)
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}, preset {arguments.preset}")
    print(f"\n{metrics_table(metrics)}\n")
    print("| stage | s |\n|---|---|")
    for stage, value in seconds.items():
        print(f"| {stage} | {value:.1f} |")
    print(f"| folder to uint8 file | {road:.1f} |")
    print(f"\nQAT: {json.dumps(stages['qat'].model_dump(include=QAT_KEYS))}")


QAT_KEYS = {"kept", "loss_calibrated", "loss_trained", "best_epoch"}

if __name__ == "__main__":
    main()
