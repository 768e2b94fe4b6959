"""Data set formats: one file each, one line each in :data:`FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quantdet.data.formats.coco import is_coco, read_coco, write_coco
from quantdet.data.formats.voc import is_voc, read_voc, write_voc
from quantdet.data.formats.yolo import is_yolo, read_yolo, write_yolo
from quantdet.data.records import Reader, Writer
from quantdet.errors import ConfigError, DataError


@dataclass(frozen=True)
class Format:
    """How a kind of data set is told, read and written.

    Attributes:
        applies: whether a folder (or the file that describes it) is of this format.
        read: see ``Reader``.
        write: see ``Writer``.
        pictures: the folder in which ``write`` expects the pictures.
    """

    applies: Callable[[Path], bool]
    read: Reader
    write: Writer
    pictures: str


FORMATS: dict[str, Format] = {
    "voc": Format(is_voc, read_voc, write_voc, "JPEGImages"),
    "coco": Format(is_coco, read_coco, write_coco, "images"),
    "yolo": Format(is_yolo, read_yolo, write_yolo, "images"),
}
AUTO = "auto"


def find_format(root: Path, name: str = AUTO) -> Format:
    """Return the format called ``name``; for "auto" the first that applies.

    Raises:
        ConfigError: unknown name.
        DataError: no such folder, or no format applies.
    """
    if name != AUTO and name not in FORMATS:
        known = ", ".join((AUTO, *FORMATS))
        raise ConfigError(f"data.format {name!r} is unknown; choose one of {known}")
    if not root.exists():
        raise DataError(
            f"{root}: no such folder; give the data set with --data, or get one with "
            "`quantdet data download voc2012`"
        )
    if name != AUTO:
        return FORMATS[name]
    found = next((format for format in FORMATS.values() if format.applies(root)), None)
    if found is None:
        raise DataError(
            f"{root}: no data set here; expected VOC (Annotations and JPEGImages, or pictures and "
            ".xml side by side), COCO (annotations/instances_train.json) or YOLO (data.yaml with "
            "images and labels)"
        )
    return found
