"""CSV files of labelling tools (VoTT, VIA, Roboflow, TensorFlow), and CVAT's own XML file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from quantdet.data.formats.tool_entries import NO_BOX, Entry, Region, around, size_hw
from quantdet.data.formats.tool_json import via_region
from quantdet.data.formats.voc_xml import safe_xml
from quantdet.data.records import ROTATED, FaultError, parse_flag, parse_number, read_text
from quantdet.errors import DataError

# What columns are called, lower case.
_COLUMNS = {
    "name": (
        "filename",
        "image",
        "image_path",
        "path",
        "file",
        "file_name",
        "img_path",
        "image_id",
        "imageid",
    ),
    "label": ("class", "label", "class_name", "name", "category", "labelname"),
    "x1": ("xmin", "x1", "x_min", "left"),
    "y1": ("ymin", "y1", "y_min", "top"),
    "x2": ("xmax", "x2", "x_max", "right"),
    "y2": ("ymax", "y2", "y_max", "bottom"),
}
_MORE_COLUMNS = {
    "width": ("width",),
    "height": ("height",),
    "split": ("split", "subset", "set", "usage", "partition", "ml_use"),
    "difficult": ("difficult", "iscrowd", "isgroupof"),
}
_VIA_COLUMNS = {"filename", "region_shape_attributes", "region_attributes"}


def parse_csv(file: Path) -> Iterator[Entry]:
    """Yield what each row of a CSV file says; nothing if it is of no known kind.

    Boxes are absolute pixels; if no number is above 1 they are shares of the picture.

    Raises:
        DataError: not readable.
    """
    lines = read_text(file, "annotations").splitlines()
    # Spreadsheets of some languages write ";", for "," is their decimal point.
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        rows = list(csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"{file}: not readable as CSV ({error}); export it again") from None
    header = {str(key).strip().lower(): key for key in (rows[0] if rows else ()) if key}
    if set(header) >= _VIA_COLUMNS:
        yield from (_via_row(row, header) for row in rows)
        return
    columns = _found(_COLUMNS, header)
    if len(columns) == len(_COLUMNS):
        yield from _rows(rows, columns | _found(_MORE_COLUMNS, header))


def _found(names: Mapping[str, Sequence[str]], header: Mapping[str, str]) -> dict[str, str]:
    """Return meaning → column, for those that the file has."""
    return {
        key: header[name] for key, known in names.items() for name in known[::-1] if name in header
    }


def _rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Entry]:
    regions = [_region(row, columns) for row in rows]
    shares = all(max(region.box_xyxy) <= 1 for region in regions)
    for row, region in zip(rows, regions, strict=True):
        cells = {key: _cell(row, column) for key, column in columns.items()}
        size = size_hw(cells.get("height"), cells.get("width"))
        empty = not region.label and region.fault and not cells["x1"]
        found = () if empty else (replace(region, shares=shares),)
        yield Entry(cells["name"], found, size, cells.get("split", ""))


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return value.strip() if isinstance(value, str) else ""


def _region(row: Mapping[str, Any], columns: Mapping[str, str]) -> Region:
    label = _cell(row, columns["label"])
    try:
        difficult = parse_flag(_cell(row, columns.get("difficult", "")), "difficult is ")
        x1, y1, x2, y2 = (
            parse_number(_cell(row, columns[key]), f"{columns[key]} is ")
            for key in ("x1", "y1", "x2", "y2")
        )
    except FaultError as fault:
        return Region(label, NO_BOX, fault=str(fault.args[1]))
    return Region(label, (x1, y1, x2, y2), difficult=difficult)


def _via_row(row: Mapping[str, Any], header: Mapping[str, str]) -> Entry:
    name = _cell(row, header["filename"])
    try:
        shape = json.loads(_cell(row, header["region_shape_attributes"]) or "{}")
        attributes = json.loads(_cell(row, header["region_attributes"]) or "{}")
    except (ValueError, RecursionError) as error:
        return Entry(name, (Region("", NO_BOX, fault=f"is not JSON ({error})"),))
    return Entry(name, (via_region(shape, attributes),) if shape else ())


def parse_cvat(file: Path) -> Iterator[Entry]:
    """Yield what "CVAT for images" says of each picture; nothing if it is another XML file.

    Raises:
        DataError: not readable, or no XML.
    """
    try:
        tree = safe_xml(file)
    except FaultError as fault:
        raise DataError(f"{file}: {fault.args[1]}") from None
    if tree.tag != "annotations":
        return
    for image in tree.iter("image"):
        size = size_hw(image.get("height"), image.get("width"))
        regions = [_cvat_region(shape) for shape in image if shape.tag in _CVAT_SHAPES]
        yield Entry(image.get("name") or "", regions, size, image.get("subset") or "")


_CVAT_SHAPES = ("box", "polygon", "polyline", "ellipse", "mask", "points")


def _cvat_region(shape: ET.Element) -> Region:
    label = (shape.get("label") or "").strip()
    try:
        if shape.tag == "box":
            return _cvat_box(label, shape)
        if shape.tag in ("polygon", "polyline"):
            pairs = [point.split(",") for point in (shape.get("points") or "").split(";")]
            numbers = [[parse_number(value, "") for value in pair] for pair in pairs]
            if all(len(pair) == 2 for pair in numbers):  # x and y
                return Region(label, around(*(list(side) for side in zip(*numbers, strict=True))))
    except FaultError as fault:
        return Region(label, NO_BOX, fault=str(fault.args[1]))
    return Region(label, NO_BOX, fault=f"<{shape.tag}> has no box")


def _cvat_box(label: str, shape: ET.Element) -> Region:
    if parse_number(shape.get("rotation") or "0", "rotation is "):
        return Region(label, NO_BOX, fault=ROTATED)
    corners: Sequence[float] = [
        parse_number(shape.get(key) or "", f"{key} is ") for key in ("xtl", "ytl", "xbr", "ybr")
    ]
    return Region(label, (corners[0], corners[1], corners[2], corners[3]))
