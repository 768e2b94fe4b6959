"""A few test pictures with the ground truth and the predictions of models side by side.

    FOLDER/examples.json   {"columns": [...], "pictures": [{"image_id", "group", "note", "cells"}]}
    FOLDER/01-0.jpg        picture 1, column 0: what is annotated; then a column for each model

The JSON file is written last, and names the files that belong together. Groups: "spread" are at
even distances in the list, not chosen by result; "differ", where the two models differ most;
"errors", where the last model makes most errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantdet.data.images import read_image
from quantdet.detections import Detections
from quantdet.evaluate.agreement import Disagreement, disagreement
from quantdet.evaluate.error_types import picture_errors
from quantdet.evaluate.judge import EvaluationSet
from quantdet.runtime.draw import draw_detections
from quantdet.system.atomic import atomic_stream, write_json

EXAMPLES = 6
"""Pictures of each group."""
_LONGEST_PX = 480
_TRUTH = "annotated"
# A smaller difference cannot be seen in a picture.
_LEAST_DIFFERENCE = 0.02


def write_examples(
    folder: Path, test: EvaluationSet, answers: Mapping[str, Sequence[Detections]]
) -> None:
    """Draw the pictures of each group, see the module.

    Args:
        folder: made if need be; earlier examples in it are replaced.
        test: pictures and truth.
        answers: name of a model → detections of each picture as people would see them. Two are
            compared; errors are those of the last.

    Raises:
        DataError: a picture cannot be read.
        QuantdetError: the folder cannot be written.
    """
    pictures = []
    for number, (row, group, note) in enumerate(_chosen(test, [*answers.values()]), start=1):
        columns = [test.truths[row].as_detections(test.labels)]
        columns += [found[row] for found in answers.values()]
        pixels = read_image(test.samples[row].image_path)
        cells = []
        for column, detections in enumerate(columns):
            name = f"{number:02d}-{column}.jpg"
            _save(folder / name, _drawn(pixels, detections, scores=column > 0))
            cells.append({"file": name, "text": _in_words(detections)})
        image_id = test.samples[row].image_id
        pictures.append({"image_id": image_id, "group": group, "note": note, "cells": cells})
    write_json(folder / "examples.json", {"columns": [_TRUTH, *answers], "pictures": pictures})


def _chosen(
    test: EvaluationSet, answers: Sequence[Sequence[Detections]]
) -> Iterator[tuple[int, str, str]]:
    """Yield (picture, group, note); a picture is in one group only, the worst first."""
    taken: set[int] = set()
    for group, amounts, notes in _rankings(test, answers):
        order = [row for row in np.argsort(-amounts, kind="stable").tolist() if amounts[row] > 0]
        for row in [row for row in order if row not in taken][:EXAMPLES]:
            taken.add(row)
            yield row, group, notes[row]
    rows = [
        row
        for row, truth in enumerate(test.truths)
        if len(truth.class_ids) > 0 and row not in taken
    ]
    if rows:
        places = np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).round().astype(int)
        yield from ((rows[place], "spread", "") for place in places.tolist())


def _rankings(
    test: EvaluationSet, answers: Sequence[Sequence[Detections]]
) -> Iterator[tuple[str, NDArray[np.float64], list[str]]]:
    """Yield (group, how bad each picture is, what to say of each)."""
    if len(answers) > 1:
        changes = [disagreement(a, b) for a, b in zip(answers[0], answers[-1], strict=True)]
        amounts = np.array([item.amount for item in changes])
        notes = [_in_words_of(item) for item in changes]
        yield "differ", np.where(amounts >= _LEAST_DIFFERENCE, amounts, 0.0), notes
    judged = [picture_errors(a, b) for a, b in zip(answers[-1], test.truths, strict=True)]
    wrong = np.array([int((item.kinds >= 0).sum()) for item in judged], np.float64)
    missed = np.array([int(item.missed.sum()) for item in judged], np.float64)
    notes = [f"{a:g} wrong, {b:g} missed" for a, b in zip(wrong, missed, strict=True)]
    yield "errors", wrong + missed, notes


def _in_words_of(change: Disagreement) -> str:
    shown = (("float", change.only_first), ("uint8", change.only_second))
    parts = [f"only {name} shows {count} of the boxes" for name, count in shown if count]
    return "; ".join([*parts, f"scores differ by {change.amount:.2f} in total"])


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
    with atomic_stream(path) as stream:
        Image.fromarray(pixels).save(stream, quality=85, optimize=True)


def _in_words(detections: Detections) -> str:
    """Return "car × 2, person", or "nothing"."""
    counts = sorted(Counter(detections.names()).items())
    return ", ".join(f"{name} × {n}" if n > 1 else name for name, n in counts) or "nothing"
