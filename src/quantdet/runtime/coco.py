"""Class names of detectors trained on COCO, as TensorFlow numbers them."""

from __future__ import annotations

_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, , stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, "
    "elephant, bear, zebra, giraffe, , backpack, umbrella, , , handbag, tie, suitcase, frisbee, "
    "skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, "
    "tennis racket, bottle, , wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, "
    "orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, , "
    "dining table, , , toilet, , tv, laptop, mouse, remote, keyboard, cell phone, microwave, "
    "oven, toaster, sink, refrigerator, , book, clock, vase, scissors, teddy bear, hair drier, "
    "toothbrush"
)

COCO_TO_VOC = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
"""COCO's name → PASCAL VOC's, where they differ; the other 14 classes have one name."""


def coco_labels(*, voc_names: bool = False) -> tuple[str, ...]:
    """Return the 90 labels of TensorFlow's COCO detectors, "person" first.

    COCO's category number is the position + 1. Ten numbers were never used: their labels are
    "unused 12" and so on.

    Args:
        voc_names: True calls the 20 VOC classes by their VOC names, so that such a model can
            be measured on VOC.
    """
    names = [name.strip() for name in _NAMES.split(",")]
    labels = tuple(name or f"unused {number}" for number, name in enumerate(names, start=1))
    return as_voc_names(labels) if voc_names else labels


def as_voc_names(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return labels with VOC's names for the classes that COCO and VOC call differently."""
    return tuple(COCO_TO_VOC.get(label, label) for label in labels)


NAMED_LABELS = {
    "coco80": tuple(name.strip() for name in _NAMES.split(",") if name.strip()),
    "coco90": coco_labels(),
}
"""Name on the command line → labels: of YOLO's 80 numbers, and of TensorFlow's 90."""
