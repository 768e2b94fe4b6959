"""From a folder of few pictures, of classes that the start does not know, to a uint8 detector.

    python benchmarks/few_pictures.py --out few
    python benchmarks/few_pictures.py --out few --counts 20 --seeds 0    # one of them, to try

Makes folders of 20, 60, 150 and 500 generated pictures, three of each, without split lists; runs
the documented command on each (quantdet run --data PICTURES --out RUN) and measures the uint8 file
at the threshold that people get: on the pictures it was trained with, and on 200 others. What is
finished is not run again. Prints Markdown for docs/log.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from quantdet.data.classes import ClassChoice
from quantdet.data.configured import load_configured
from quantdet.data.convert import convert
from quantdet.data.dataset import load_dataset
from quantdet.data.sample import Dataset, Sample
from quantdet.data.scenes import generate_scenes
from quantdet.detections import Detections
from quantdet.evaluate.latency import host
from quantdet.evaluate.mean_ap import (
    AP_KINDS,
    RIGHT,
    WRONG,
    judge_picture,
    match_detections,
    mean_over_classes,
)
from quantdet.evaluate.truth import truth_of
from quantdet.runs import Run
from quantdet.runtime.detector import Detector
from quantdet.runtime.thresholds import label_thresholds

CLASSES = ("balloon", "fish", "house", "tree")
"""Of the generated ones those that neither PASCAL VOC nor COCO has."""
HELD_OUT = 200
COLUMNS = ("trained pictures with a right box", "precision", "recall", "F1", "mAP", "minutes")
# One picture of ten shows none of the classes.
_SPARE = 1.3


@dataclass(frozen=True)
class Result:
    """One training: shares from 0 to 1."""

    trained_pictures_found: float
    precision: float
    recall: float
    f1: float
    map_voc07: float
    minutes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[20, 60, 150, 500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}\n")
    print(f"| pictures | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for count in arguments.counts:
        results = [
            result(arguments.out / f"{count}-{seed}", count, seed, arguments.overrides)
            for seed in arguments.seeds
        ]
        print(row(count, results), flush=True)


def row(count: int, results: Sequence[Result]) -> str:
    """Return a line of the table: mean of the seeds, lowest and highest in brackets."""
    cells = []
    for item in fields(Result):
        values = [getattr(found, item.name) for found in results]
        values = values if item.name == "minutes" else [100 * value for value in values]
        cells.append(f"{mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
    return f"| {count} | {' | '.join(cells)} |"


def result(folder: Path, count: int, seed: int, overrides: Sequence[str]) -> Result:
    """Train in ``folder`` and measure, unless it is done."""
    done = folder / "result.json"
    if not done.exists():
        minutes = train(folder, count, seed, overrides)
        done.write_text(json.dumps(asdict(measure(folder, seed, minutes))))
    return Result(**json.loads(done.read_text()))


def train(folder: Path, count: int, seed: int, overrides: Sequence[str]) -> float:
    """Run the documented command; return minutes."""
    pictures = folder / "pictures"
    if not pictures.exists():
        samples = scenes(folder / "scenes", count, seed)
        convert(Dataset(folder, CLASSES, {"all": samples}), pictures, "voc")
        for file in (pictures / "ImageSets" / "Main").iterdir():
            file.unlink()
    command = ["quantdet", "run", "--data", pictures, "--out", folder / "run"]
    command += [part for item in overrides for part in ("--set", item)]
    start = time.perf_counter()
    with (folder / "run.log").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    return (time.perf_counter() - start) / 60


def scenes(folder: Path, count: int, seed: int) -> tuple[Sample, ...]:
    """Return ``count`` generated pictures that show one of the classes."""
    root = generate_scenes(folder, count=round(_SPARE * count) + 10, seed=seed)
    whole = load_dataset(root, choice=ClassChoice({}, CLASSES))
    found = {sample.image_path: sample for part in whole.splits.values() for sample in part}
    shown = tuple(sample for _, sample in sorted(found.items()) if sample.objects)[:count]
    if len(shown) < count:
        raise SystemExit(f"{root}: only {len(shown)} pictures show one of the classes")
    return shown


def measure(folder: Path, seed: int, minutes: float) -> Result:
    """Measure the uint8 file of a run."""
    run = Run.open(folder / "run")
    detector = Detector(run.root)
    data = run.load_config().data
    trained = load_configured(data, detector.labels, (data.train_split,)).splits[data.train_split]
    held_out = scenes(folder / "held-out", HELD_OUT, 1000 + seed)
    return Result(
        trained_pictures_found=share_found(detector, trained),
        **accuracy(detector, held_out),
        minutes=minutes,
    )


def answers(detector: Detector, samples: Sequence[Sample]) -> list[Detections]:
    return [detector.predict(sample.image_path, threshold=0.0) for sample in samples]


def shown(detector: Detector, found: Sequence[Detections]) -> list[Detections]:
    """Return what people see."""
    lowest = label_thresholds(detector.contract)
    return [item[item.scores >= lowest[item.class_ids]] for item in found]


def share_found(detector: Detector, samples: Sequence[Sample]) -> float:
    """Return the share of pictures with a right box among those shown."""
    seen = shown(detector, answers(detector, samples))
    truths = [truth_of(sample, detector.labels) for sample in samples]
    outcomes = [judge_picture(*pair) for pair in zip(seen, truths, strict=True)]
    return float(np.mean([(outcome == RIGHT).any() for outcome in outcomes]))


def accuracy(detector: Detector, samples: Sequence[Sample]) -> dict[str, float]:
    """Return precision, recall and F1 of what is shown, and mean AP of all answers."""
    found = answers(detector, samples)
    truths = [truth_of(sample, detector.labels) for sample in samples]
    pairs = zip(shown(detector, found), truths, strict=True)
    outcome = np.concatenate([judge_picture(*pair) for pair in pairs])
    right, wrong = (outcome == RIGHT).sum(), (outcome == WRONG).sum()
    objects = sum(int((~truth.difficult).sum()) for truth in truths)
    matches = match_detections(found, truths, len(detector.labels))
    values = np.array([AP_KINDS["voc07"](item, None)[0] for item in matches])
    return {
        "precision": float(right / max(right + wrong, 1)),
        "recall": float(right / objects),
        "f1": float(2 * right / max(right + wrong + objects, 1)),
        "map_voc07": float(mean_over_classes(values)),
    }


if __name__ == "__main__":
    main()
