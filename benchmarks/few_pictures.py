"""From a folder with a few pictures to a uint8 detector: how much it finds, and how long it takes.

    python benchmarks/few_pictures.py --out bench/few

Trains `quantdet run` with its defaults on 20, 60, 150 and 500 generated pictures, three seeds each,
of classes that the start does not know, and measures the uint8 file at the threshold that people
get: on the training pictures the share with a right box, on 200 others what `quantdet evaluate`
says. One folder a training; what is finished is not run again. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean

import numpy as np

from quantdet import Detector, Run, generate_scenes, load_dataset
from quantdet.boxes import iou_matrix
from quantdet.data import ClassChoice, Dataset, Sample, convert_dataset, load_configured
from quantdet.evaluate import host
from quantdet.results import DetectionMetrics

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
        write_folder(scenes(folder / "scenes", count, seed), "all", pictures)
        for file in (pictures / "ImageSets" / "Main").iterdir():
            file.unlink()
    command = [sys.executable, "-m", "quantdet", "run", "--data", pictures, "--out", folder / "run"]
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


def write_folder(samples: tuple[Sample, ...], split: str, folder: Path) -> None:
    convert_dataset(Dataset(folder, CLASSES, {split: samples}), folder, "voc")


def measure(folder: Path, seed: int, minutes: float) -> Result:
    """Measure the uint8 file of a run."""
    run = Run.open(folder / "run")
    detector = Detector(run.root)
    data = run.load_config().data
    trained = load_configured(data, detector.labels, (data.train_split,)).splits[data.train_split]
    others = folder / "held-out"
    if not others.exists():
        write_folder(scenes(folder / "more-scenes", HELD_OUT, 1000 + seed), "test", others)
    command = [
        sys.executable,
        "-m",
        "quantdet",
        "evaluate",
        run.export_dir / "model.tflite",
        "--data",
        others,
        "--json",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (figures,) = DetectionMetrics.model_validate_json(done.stdout).variants
    return Result(
        trained_pictures_found=float(np.mean([right_box(detector, sample) for sample in trained])),
        **{key: getattr(figures, key) for key in ("precision", "recall", "f1", "map_voc07")},
        minutes=minutes,
    )


def right_box(detector: Detector, sample: Sample) -> bool:
    """Tell whether one of the boxes that people see is of the right class, and where it is."""
    found = detector.predict(sample.image_path)
    if not len(found) or not sample.objects:
        return False
    truth = np.array([item.box_xyxy for item in sample.objects], np.float32)
    labels = np.array([item.label for item in sample.objects])
    same = np.array(found.names())[:, None] == labels[None]
    return bool(((iou_matrix(found.boxes_xyxy, truth) >= 0.5) & same).any())


if __name__ == "__main__":
    main()
