"""``details.json`` beside ``metrics.json``: what the report draws and compares, too long for it.

pictures       how many, and a fingerprint of pictures and truth: runs with the same one
               saw the same test, and their draws belong together
labels         class names, the order of the confusion matrices
thresholds     label → lowest score that people see; errors and confusion are of what they see
bootstrap      how the pictures were drawn
variants       variant → errors (kind → count), confusion (rows truth, columns answers, last
               of both: nothing), draws (figure → one value a draw)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quantdet.detections import Detections
from quantdet.evaluate.bootstrap import describe_bootstrap
from quantdet.evaluate.error_types import confusion_matrix, count_errors, picture_errors
from quantdet.evaluate.judge import EvaluationSet, Judged
from quantdet.results.details import Details, VariantDetails

_DIGITS = 5


def describe_details(
    test: EvaluationSet,
    answers: Mapping[str, Sequence[Detections]],
    judged: Judged,
    lowest: NDArray[np.float64],
) -> Details:
    """Return what ``details.json`` holds.

    Args:
        test: pictures and truth.
        answers: variant → detections of each picture, not cut by a threshold.
        judged: what the judge said of the same answers.
        lowest: (labels,), lowest score of each class that people see.
    """
    return Details(
        pictures=len(test.samples),
        test_fingerprint=test_fingerprint(test),
        labels=test.labels,
        thresholds=dict(zip(test.labels, lowest.tolist(), strict=True)),
        bootstrap=describe_bootstrap(),
        variants={
            variant: _errors(test, found, lowest, judged.drawn[variant])
            for variant, found in answers.items()
        },
    )


def _errors(
    test: EvaluationSet,
    found: Sequence[Detections],
    lowest: NDArray[np.float64],
    drawn: Mapping[str, NDArray[np.float64]],
) -> VariantDetails:
    errors = [
        picture_errors(item.above(lowest), truth)
        for item, truth in zip(found, test.truths, strict=True)
    ]
    return VariantDetails(
        errors=count_errors(errors),
        confusion=confusion_matrix(errors, len(test.labels)).tolist(),
        draws={name: _plain(values) for name, values in drawn.items()},
    )


def _plain(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(v) else round(v, _DIGITS) for v in values.tolist())


def test_fingerprint(test: EvaluationSet) -> str:
    """Return a digest of pictures, by their ids, and of what is annotated in them."""
    content = [
        [
            sample.image_id,
            truth.boxes_xyxy.round(1).tolist(),
            truth.class_ids.tolist(),
            truth.difficult.tolist(),
        ]
        for sample, truth in zip(test.samples, test.truths, strict=True)
    ]
    text = json.dumps([list(test.labels), content])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
