"""Page against `quantdet predict` on the same pictures: boxes, and inference time.

    python benchmarks/web_agreement.py PICTURES... [--model runs/voc] [--out web.json]

Once with the files as they are (JPEG is decoded by Chromium and by Pillow), once as PNG (all
decoders give the same pixels, so that any difference is one of resizing, kernels or decoding).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from quantdet import Detector, predict_to_folder
from quantdet.boxes import iou_matrix
from quantdet.runtime import find_model, read_image
from web_driver import chromium, look_at, open_page, saved_results, served

THRESHOLD = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--model", default="voc-ssd300")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pngs = [to_png(path, Path(folder)) for path in options.pictures]
        detector = Detector(find_model(options.model), threshold=THRESHOLD)
        with served([options.model]) as url, chromium() as browser:
            result = {}
            for kind, files in (("as they are", options.pictures), ("png", pngs)):
                page = open_page(browser, url)
                page.locator("#threshold").fill(str(THRESHOLD))
                look_at(page, files)
                records = saved_results(page)
                found = predict_to_folder(detector, files, Path(folder) / kind, save_images=False)
                result[kind] = compare(records, [item.to_dict() for item in found])
            result["browser"] = f"Chromium {browser.version}"
            result["backend"] = page.locator("#where-note").inner_text()
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def to_png(path: Path, folder: Path) -> Path:
    target = folder / f"{path.stem}.png"
    Image.fromarray(read_image(path)).save(target, compress_level=1)
    return target


def compare(page: list[dict[str, Any]], predict: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how far the two agree; detections of both sides are best first."""
    pairs = list(zip(page, predict, strict=True))
    found = [best_partners(mine["detections"], theirs["detections"]) for mine, theirs in pairs]
    distances = [pair for pairs_of_one in found for pair in pairs_of_one if pair is not None]
    return {
        "pictures": len(pairs),
        "detections": sum(len(theirs["detections"]) for _, theirs in pairs),
        "lowest score": THRESHOLD,
        "pictures with identical records": sum(
            mine["detections"] == theirs["detections"] for mine, theirs in pairs
        ),
        "detections without a partner (IoU 0.5, same label)": sum(
            pair is None for pairs_of_one in found for pair in pairs_of_one
        ),
        "largest score difference of partners": max(score for score, _ in distances),
        "smallest IoU of partners": min(iou for _, iou in distances),
        "inference_ms": {
            name: round(statistics.median(item["inference_ms"] for item in side), 2)
            for name, side in (("page", page), ("predict", predict))
        },
    }


def best_partners(
    mine: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> list[tuple[float, float] | None]:
    """Return for each of theirs (score difference, IoU) of its partner in mine, if it has one."""
    answers: list[tuple[float, float] | None] = []
    for item in theirs:
        same = [other for other in mine if other["label"] == item["label"]]
        box = np.array([item["box_xyxy"]], np.float32)
        boxes = np.array([other["box_xyxy"] for other in same], np.float32).reshape(-1, 4)
        overlaps = iou_matrix(box, boxes)[0]
        if not same or overlaps.max() < 0.5:
            answers.append(None)
            continue
        best = int(overlaps.argmax())
        answers.append((round(abs(same[best]["score"] - item["score"]), 4), float(overlaps[best])))
    return answers


if __name__ == "__main__":
    main()
