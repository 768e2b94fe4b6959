"""Whose boxes are better, and whose are only larger: the rows of compare.py for a localizer.

    python benchmarks/quantizers/boxes.py bench/localizer

For every row that compare.py left in the folder: mean IoU on the test split, the difference to the
float file on the same pictures with its standard error, the mean area of the boxes as a share of
the picture, and the best mean IoU when all boxes are enlarged about their centres by one factor.
A row that gains by the factor alone has no better boxes. Prints Markdown for docs/quantizers.md.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from quantdet import Detector, Run
from quantdet.boxes import iou_pairs
from quantdet.evaluate import EvaluationSet, open_judge

FACTORS = np.arange(0.8, 1.61, 0.05)
REFERENCE = "float-0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=Path, help="folder that compare.py wrote with --out")
    arguments = parser.parse_args()
    test = open_judge(Run.open(arguments.bench / REFERENCE)).test
    truth = np.array([item.boxes_xyxy[0] for item in test.truths])
    reference = iou_pairs(boxes_of(arguments.bench / REFERENCE, test), truth)
    print(
        f"{time.strftime('%Y-%m-%d')}, {len(truth)} pictures, mean area of the annotated boxes ",
        end="",
    )
    print(f"{area(truth, test).mean():.3f}\n")
    print("| row | mean IoU | against float | mean area | best factor | mean IoU with it |")
    print("|---|---|---|---|---|---|")
    for folder in sorted(arguments.bench.iterdir()):
        if (folder / "row.json").is_file():
            print_row(folder, test, truth, reference)


def print_row(folder: Path, test: EvaluationSet, truth: np.ndarray, reference: np.ndarray) -> None:
    boxes = boxes_of(folder, test)
    iou = iou_pairs(boxes, truth)
    change = iou - reference
    best, factor = max(
        (float(iou_pairs(enlarged(boxes, factor, test), truth).mean()), factor)
        for factor in FACTORS
    )
    error = change.std() / np.sqrt(len(change))
    print(
        f"| {folder.name} | {iou.mean():.3f} | {change.mean():+.3f} ± {error:.3f} | "
        f"{area(boxes, test).mean():.3f} | {factor:.2f} | {best:.3f} |",
        flush=True,
    )


def boxes_of(folder: Path, test: EvaluationSet) -> np.ndarray:
    """Return the best box of each picture, float32 (N, 4)."""
    detector = Detector(Run(folder).model_file, threshold=0.0)
    found = [
        detector.detect_pixels(pixels, size)
        for pixels, size in zip(test.pixels, test.sizes, strict=True)
    ]
    return np.array([item.boxes_xyxy[0] for item in found], np.float32)


def area(boxes: np.ndarray, test: EvaluationSet) -> np.ndarray:
    """Return areas as shares of the pictures."""
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / np.prod(test.sizes, axis=1)


def enlarged(boxes: np.ndarray, factor: float, test: EvaluationSet) -> np.ndarray:
    """Return boxes with sides times ``factor``, cut to their pictures."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    corners = np.concatenate([centres - factor * sides / 2, centres + factor * sides / 2], axis=1)
    limits = np.tile(np.array(test.sizes)[:, ::-1], 2)
    return np.clip(corners, 0, limits).astype(np.float32)


if __name__ == "__main__":
    main()
