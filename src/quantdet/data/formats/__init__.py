"""Data set formats: one file each, one line each in :data:`FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quantdet.data.formats.coco import is_coco, read_coco, write_coco
from quantdet.data.formats.folders import read_tree
from quantdet.data.formats.seen import describe_folder
from quantdet.data.formats.tools import is_tool_export, read_tool_export
from quantdet.data.formats.voc import is_voc, read_voc, write_voc
from quantdet.data.formats.voc_files import is_voc_xml
from quantdet.data.formats.yolo import is_yolo, read_yolo, write_yolo
from quantdet.data.formats.yolo_labels import looks_like_labels
from quantdet.data.formats.yolo_yaml import find_yaml
from quantdet.data.records import SEARCHED, Reader, Reading, Writer
from quantdet.errors import ConfigError, DataError


@dataclass(frozen=True)
class ReadFormat:
    """How a kind of data set is told and read.

    Attributes:
        applies: whether a folder (or the file that describes it) is of this format.
        read: see ``Reader``.
    """

    applies: Callable[[Path], bool]
    read: Reader


@dataclass(frozen=True)
class Format(ReadFormat):
    """A format that is written, too.

    Attributes:
        write: see ``Writer``.
        pictures: the folder in which ``write`` expects the pictures.
    """

    write: Writer
    pictures: str


FORMATS: dict[str, Format] = {
    "voc": Format(is_voc, read_voc, write_voc, "JPEGImages"),
    "coco": Format(is_coco, read_coco, write_coco, "images"),
    "yolo": Format(is_yolo, read_yolo, write_yolo, "images"),
}
"""What data sets are converted to."""
READABLE: dict[str, ReadFormat] = {
    **FORMATS,
    "tool": ReadFormat(is_tool_export, read_tool_export),
}
"""What data sets are read from."""
# YOLO without a .yaml is told by any .txt beside pictures: it comes last.
_ORDER = ("voc", "coco", "tool", "yolo")
AUTO = "auto"


def find_format(root: Path, name: str = AUTO, reading: Reading = SEARCHED) -> ReadFormat:
    """Return the format called ``name``; for "auto" the first that applies.

    Args:
        root: folder of the data set.
        name: key of :data:`READABLE`, or "auto".
        reading: annotations that are named decide for "auto".

    Raises:
        ConfigError: unknown name.
        DataError: no such folder, or no format applies.
    """
    if name != AUTO and name not in READABLE:
        known = ", ".join((AUTO, *READABLE))
        raise ConfigError(f"data.format {name!r} is unknown; choose one of {known}")
    if not root.exists():
        raise DataError(
            f"{root}: no such folder; give the data set with --data, or get one with "
            "`quantdet data download voc2012`"
        )
    _require_named(root, reading)
    if name != AUTO:
        return READABLE[name]
    if reading.annotations is None and find_yaml(root) is not None:
        return READABLE["yolo"]
    place = root / (reading.annotations or "")
    found = next((READABLE[key] for key in _ORDER if READABLE[key].applies(place)), None)
    if found is None and reading.annotations is not None:
        found = _by_annotations(place)
    if found is None:
        raise DataError(f"{root}: no data set here; {describe_folder(root)}")
    return found


def _require_named(root: Path, reading: Reading) -> None:
    for key, part in (("images", reading.images), ("annotations", reading.annotations)):
        if part is not None and not (root / part).exists():
            raise DataError(f"{root / part}: no such file or folder; correct data.{key}")


def _by_annotations(place: Path) -> ReadFormat | None:
    """Return the format of a folder of annotations alone."""
    tree = read_tree(place)
    if any(is_voc_xml(place / file) for file in tree.with_suffix(".xml")):
        return READABLE["voc"]
    if any(looks_like_labels(place / file) for file in tree.with_suffix(".txt")):
        return READABLE["yolo"]
    if any(is_tool_export(place / file) for file in tree.with_suffix(".json", ".csv", ".xml")):
        return READABLE["tool"]
    return None
