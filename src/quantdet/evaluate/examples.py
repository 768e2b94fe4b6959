"""A few test pictures with the truth and the answers of models drawn beside each other.

    FOLDER/examples.json   {"columns": [...], "pictures": [{"image_id", "cells": [...]}]}
    FOLDER/01-0.jpg        picture 1, column 0: what is annotated; then a column for each model

The JSON file is written last, and names the files that belong together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.atomic import atomic_path, write_json
from quantdet.data.images import read_image
from quantdet.detections import Detections
from quantdet.evaluate.judge import EvaluationSet
from quantdet.runtime.draw import draw_detections

EXAMPLES = 8
_LONGEST_PX = 480
_TRUTH = "annotated"


def write_examples(
    folder: Path, test: EvaluationSet, answers: Mapping[str, Sequence[Detections]]
) -> None:
    """Draw pictures at even distances in the list of those that have an object.

    Args:
        folder: made if need be; earlier examples in it are replaced.
        test: pictures and truth.
        answers: name of a model → detections of each picture as people would see them.

    Raises:
        DataError: a picture cannot be read.
        QuantdetError: the folder cannot be written.
    """
    rows = np.flatnonzero([len(truth.class_ids) > 0 for truth in test.truths])
    chosen = rows[np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).round().astype(int)]
    pictures = []
    for number, row in enumerate(chosen.tolist(), start=1):
        columns = [test.truths[row].as_detections(test.labels)]
        columns += [found[row] for found in answers.values()]
        pixels = read_image(test.samples[row].image_path)
        cells = []
        for column, detections in enumerate(columns):
            name = f"{number:02d}-{column}.jpg"
            _save(folder / name, _drawn(pixels, detections, scores=column > 0))
            cells.append({"file": name, "text": _in_words(detections)})
        pictures.append({"image_id": test.samples[row].image_id, "cells": cells})
    write_json(folder / "examples.json", {"columns": [_TRUTH, *answers], "pictures": pictures})


def _drawn(pixels: NDArray[np.uint8], detections: Detections, *, scores: bool) -> NDArray[np.uint8]:
    """Return the picture, made smaller if it is large, with boxes."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONGEST_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    ratio = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    boxes = detections.boxes_xyxy * ratio
    moved = Detections(boxes, detections.scores, detections.class_ids, detections.labels)
    return draw_detections(small, moved, scores=scores)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=85, optimize=True)


def _in_words(detections: Detections) -> str:
    """Return "car × 2, person", or "nothing"."""
    counts = sorted(Counter(detections.names()).items())
    return ", ".join(f"{name} × {n}" if n > 1 else name for name, n in counts) or "nothing"
