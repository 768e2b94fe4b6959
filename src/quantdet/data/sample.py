"""``Sample`` and ``Dataset``: what every format reader gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ObjectAnnotation:
    """One annotated object.

    Attributes:
        label: class name.
        box_xyxy: x1, y1, x2, y2 in absolute pixels, 0-based; x2 - x1 is the width. (VOC's
            1-based inclusive xmin, ymin, xmax, ymax become xmin-1, ymin-1, xmax, ymax.)
        difficult: marked by the annotator as hard to recognise.
        truncated: the box does not hold the whole object.
        pose: view as annotated, "" where unknown.
    """

    label: str
    box_xyxy: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    pose: str = ""


@dataclass(frozen=True)
class Sample:
    """One picture with every object that the annotation holds; nothing is left out here.

    Attributes:
        image_id: name of the picture within its data set, e.g. "000005".
        image_path: the picture file.
        size_hw: (height, width) in pixels.
        objects: in file order. Empty for background pictures.
        annotated: False where the split has no annotations (e.g. the public VOC2012 test).
    """

    image_id: str
    image_path: Path
    size_hw: tuple[int, int]
    objects: tuple[ObjectAnnotation, ...] = ()
    annotated: bool = True


@dataclass(frozen=True)
class Dataset:
    """A data set with its splits.

    Attributes:
        root: folder it was read from.
        labels: class names, in the order of class ids; background is not a label.
        splits: split name → samples in list order.
        skipped: "file: reason" for every sample left out because of skip_bad.
    """

    root: Path
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Sample, ...]]
    skipped: tuple[str, ...] = ()
