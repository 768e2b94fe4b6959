"""AP and AR as COCO defines them (Lin et al. 2014, arXiv:1405.0312), by ``faster-coco-eval``.

Difficult objects are given as ``iscrowd``, as converters from VOC to COCO do: they need not be
found, and a detection that lies within one counts neither way. (A crowd's overlap is measured
against the area of the detection, so this is milder than VOC's rule.) Object sizes are those of the
original picture, by the area of the box: small below 32², large from 96² pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from quantdet.detections import Detections
from quantdet.errors import DependencyError
from quantdet.evaluate.truth import Truth

STATISTICS = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
"""Names of the library's summary, in its order. AP without a number: mean of IoU 0.50, 0.55 … 0.95.
AR: mean of the same IoUs with at most 1, 10 or 100 detections a picture, 100 by size of object."""


def coco_metrics(
    answers: Sequence[Detections], truths: Sequence[Truth], num_classes: int
) -> dict[str, float | None]:
    """Return COCO's twelve figures, 0 to 1; None where there is no object of that kind.

    Args:
        answers: detections of each picture.
        truths: annotated objects of each picture.
        num_classes: number of labels.

    Raises:
        DependencyError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise DependencyError(
            'COCO metrics need faster-coco-eval: pip install "quantdet[evaluate]"'
        ) from None
    truth = COCO(coco_truth(truths, num_classes), print_function=_silent)
    found = truth.loadRes(coco_detections(answers))
    judge = COCOeval_faster(truth, found, "bbox", print_function=_silent)
    judge.run()
    figures = judge.stats.tolist()
    return {
        # The library writes -1 where it has nothing to average.
        name: None if value < 0 else value
        for name, value in zip(STATISTICS, figures, strict=True)
    }


def coco_truth(truths: Sequence[Truth], num_classes: int) -> dict[str, list[dict[str, object]]]:
    """Return annotations in COCO's format; ids begin with 1, since 0 means "unmatched" there."""
    annotations = [
        {
            "image_id": picture,
            "category_id": int(class_id) + 1,
            "bbox": _xywh(box),
            "area": (box[2] - box[0]) * (box[3] - box[1]),
            "iscrowd": int(difficult),
        }
        for picture, truth in enumerate(truths, start=1)
        for box, class_id, difficult in zip(
            truth.boxes_xyxy.tolist(), truth.class_ids, truth.difficult, strict=True
        )
    ]
    return {
        "images": [{"id": picture} for picture in range(1, len(truths) + 1)],
        "categories": [{"id": i, "name": str(i)} for i in range(1, num_classes + 1)],
        "annotations": [{"id": i, **item} for i, item in enumerate(annotations, start=1)],
    }


def coco_detections(answers: Sequence[Detections]) -> list[dict[str, object]]:
    """Return detections in COCO's format of results."""
    return [
        {
            "image_id": picture,
            "category_id": class_id + 1,
            "bbox": _xywh(box),
            "score": score,
        }
        for picture, found in enumerate(answers, start=1)
        for box, class_id, score in zip(
            found.boxes_xyxy.tolist(), found.class_ids.tolist(), found.scores.tolist(), strict=True
        )
    ]


def _xywh(box_xyxy: Sequence[float]) -> list[float]:
    x1, y1, x2, y2 = box_xyxy
    return [x1, y1, x2 - x1, y2 - y1]


def _silent(*_: object, **__: object) -> None:
    """Take the place of the library's ``print``."""
