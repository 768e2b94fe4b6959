"""Class names and their order, which is the order of class ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from quantdet.data.records import read_text
from quantdet.errors import DataError

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""The 20 classes of PASCAL VOC in canonical order."""
_SHOWN = 10


def discover_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Return the class order for the class names found in a data set.

    If all names are VOC's, the order is VOC's; with more than half of the 20 present the data
    are taken for VOC and all 20 are labels, so that a part of VOC trains a model that fits the
    whole. Any other set of names is sorted.
    """
    found = set(names)
    if not found.issubset(VOC_CLASSES):
        return tuple(sorted(found))
    if 2 * len(found) > len(VOC_CLASSES):
        return VOC_CLASSES
    return tuple(name for name in VOC_CLASSES if name in found)


def read_label_file(path: Path) -> tuple[str, ...]:
    """Read class names, one a line; blank lines are passed over.

    Raises:
        DataError: not readable, empty, or a name is there twice.
    """
    lines = read_text(path, "label file").splitlines()
    return check_labels([line.strip() for line in lines if line.strip()], str(path))


def read_label_map(path: Path) -> tuple[str, ...]:
    """Read the class names that a tool writes next to its annotations.

    Understood are one name a line, CVAT's ``labelmap.txt`` (name:colour:parts:actions) and the
    ``.pbtxt`` of the TF Object Detection API. Repetitions and what is no name are passed over.

    Raises:
        DataError: not readable.
    """
    text = read_text(path, "label map")
    if path.suffix.lower() == ".pbtxt":
        names = re.findall(r"""\bname:\s*["']([^"']+)["']""", text)
    else:
        lines = (line.strip() for line in text.splitlines())
        names = [re.sub(r":[^:]*:[^:]*:[^:]*$", "", line) for line in lines if line[:1] != "#"]
    return tuple(dict.fromkeys(filter(None, names)))


def check_labels(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Return ``names`` as a tuple if they can be labels.

    Args:
        names: class names in the order of class ids.
        where: for the message: what the names came from.

    Raises:
        DataError: no names, or a name is there twice.
    """
    labels = tuple(names)
    if not labels:
        raise DataError(f"{where}: has no class names; write one class name a line")
    twice = sorted(name for name, count in Counter(labels).items() if count > 1)
    if twice:
        shown = ", ".join(repr(name)[1:-1] for name in twice[:_SHOWN])
        raise DataError(f"{where}: names {shown} more than once; remove the repetition")
    return labels
