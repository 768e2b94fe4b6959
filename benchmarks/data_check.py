"""CPU seconds of `quantdet data check` on a large set of one picture, many times linked.

    python benchmarks/data_check.py --pictures 20000 --format voc --format coco --format yolo

Each picture has three objects and is 300 x 400 pixels. Hard links share their bytes, so that the
time is that of reading annotations and of decoding, not that of a disk. All pictures being copies,
every one but the first is a finding: those are counted with the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from quantdet import check_dataset

_SIZE_HW = (300, 400)
_BOXES = ((10, 10, 120, 90), (50, 60, 200, 220), (220, 30, 390, 290))
_NAMES = ("cat", "dog")


def _voc(root: Path, names: list[str]) -> Path:
    objects = "".join(
        f"<object><name>{_NAMES[n % 2]}</name><pose>Left</pose><truncated>0</truncated>"
        f"<difficult>0</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>"
        for n, (x1, y1, x2, y2) in enumerate(_BOXES)
    )
    height, width = _SIZE_HW
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    (root / "Annotations").mkdir()
    for name in names:
        text = f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    return root / "JPEGImages"


def _coco(root: Path, names: list[str]) -> Path:
    height, width = _SIZE_HW
    images = [
        {"id": n, "file_name": f"{name}.jpg", "height": height, "width": width}
        for n, name in enumerate(names)
    ]
    annotations = [
        {"id": 3 * n + k, "image_id": n, "category_id": k % 2, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for n in range(len(names))
        for k, (x1, y1, x2, y2) in enumerate(_BOXES)
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(_NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_all.json").write_text(json.dumps(content))
    return root / "images"


def _yolo(root: Path, names: list[str]) -> Path:
    height, width = _SIZE_HW
    lines = "".join(
        f"{n % 2} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
        f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
        for n, (x1, y1, x2, y2) in enumerate(_BOXES)
    )
    (root / "labels").mkdir()
    for name in names:
        (root / "labels" / f"{name}.txt").write_text(lines)
    (root / "data.yaml").write_text(f"train: images\nnames: [{', '.join(_NAMES)}]\n")
    return root / "images"


_WRITERS = {"voc": _voc, "coco": _coco, "yolo": _yolo}


def make(root: Path, kind: str, count: int) -> None:
    """Write a set of that format."""
    names = [f"picture{n:06d}" for n in range(count)]
    folder = _WRITERS[kind](root, names)
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    first = root / "first.jpg"
    Image.fromarray(pixels).resize(_SIZE_HW[::-1]).save(first)
    for name in names:
        os.link(first, folder / f"{name}.jpg")
    first.unlink()


def measure(root: Path) -> tuple[float, float, int]:
    """Return CPU seconds, seconds on the clock, and findings of one check."""
    cpu, start = time.process_time(), time.perf_counter()
    result = check_dataset(root)
    return time.process_time() - cpu, time.perf_counter() - start, len(result.findings)


def main() -> None:
    """Measure the formats asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20000)
    parser.add_argument("--format", choices=sorted(_WRITERS), action="append")
    options = parser.parse_args()
    print("| format | pictures | CPU s | s | findings |\n|---|---|---|---|---|")
    for kind in options.format or sorted(_WRITERS):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), kind, options.pictures)
            cpu, clock, findings = measure(Path(folder))
        print(f"| {kind} | {options.pictures} | {cpu:.1f} | {clock:.1f} | {findings} |", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
