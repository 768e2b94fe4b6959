"""JSON of labelling tools: Edge Impulse, VIA, VoTT, FiftyOne, CreateML, Label Studio, LabelMe.

The keys are those of the files that these tools write; each kind is told by its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quantdet.data.formats.folders import clean_name
from quantdet.data.formats.tool_entries import NO_BOX, Entry, Number, Region, around, size_hw
from quantdet.data.images import IMAGE_SUFFIXES
from quantdet.data.records import ROTATED, Box, decode_json, read_text

# Attributes of VIA that hold the class where there are several.
_CLASS_KEYS = ("class", "label", "name", "type", "category", "object")


def parse_json(file: Path) -> Iterator[Entry]:
    """Yield what a JSON file says of each picture; nothing if it is of no known kind.

    Raises:
        DataError: not readable, or no JSON.
    """
    content = decode_json(file, read_text(file, "annotations"))
    for kind in _KINDS:
        found = list(kind(content))
        if found:
            yield from found
            return


class _Shape(BaseModel):
    """The box of one object; numbers may be text."""

    model_config = ConfigDict(extra="ignore")


def _region(label: Any, shape: type[_Shape], values: Any) -> Region:
    """Return an object whose box is a ``shape``, whatever is wrong with it."""
    try:
        found = shape.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "box"
        return Region(_text(label), NO_BOX, fault=f"{key}: {first['msg']}")
    box = found.box()  # type: ignore[attr-defined]
    return Region(_text(label), box, shares=getattr(found, "shares", False))


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class _Corner(_Shape):
    """Upper left corner and size in pixels: Edge Impulse, VIA."""

    x: Number
    y: Number
    width: Number
    height: Number

    def box(self) -> Box:
        return (self.x, self.y, self.x + self.width, self.y + self.height)


def _edge_impulse(content: Any) -> Iterator[Entry]:
    """bounding_boxes.labels of an export, info.labels of a dataset."""
    for name, boxes in _map(_map(content).get("boundingBoxes")).items():
        yield Entry(name, [_region(_map(b).get("label"), _Corner, b) for b in _items(boxes)])
    for item in map(_map, _items(_map(content).get("files"))):
        if "path" in item and "boundingBoxes" in item:
            boxes = _items(item["boundingBoxes"])
            regions = [_region(_map(b).get("label"), _Corner, b) for b in boxes]
            yield Entry(_text(item["path"]), regions, split=_text(item.get("category")))


class _Points(_Shape):
    """Polygon or polyline of VIA."""

    all_points_x: list[Number] = Field(min_length=1)
    all_points_y: list[Number] = Field(min_length=1)

    def box(self) -> Box:
        return around(self.all_points_x, self.all_points_y)


class _Round(_Shape):
    """Circle or ellipse of VIA."""

    cx: Number
    cy: Number
    r: Number | None = None
    rx: Number = 0.0
    ry: Number = 0.0

    def box(self) -> Box:
        rx, ry = (self.rx, self.ry) if self.r is None else (self.r, self.r)
        return (self.cx - rx, self.cy - ry, self.cx + rx, self.cy + ry)


_VIA_SHAPES: dict[str, type[_Shape]] = {
    "rect": _Corner,
    "polygon": _Points,
    "polyline": _Points,
    "circle": _Round,
    "ellipse": _Round,
}


def via_region(shape: Any, attributes: Any) -> Region:
    """Return an object of VIA, of its JSON or its CSV file."""
    kind = _text(_map(shape).get("name"))
    values = {str(k).lower(): v for k, v in _map(attributes).items()}
    key = next((key for key in _CLASS_KEYS if key in values), next(iter(values), ""))
    label = values.get(key)
    if isinstance(label, dict):  # a checkbox: the option that is ticked
        label = next((option for option, ticked in label.items() if ticked), "")
    if kind not in _VIA_SHAPES:
        return Region(_text(label), NO_BOX, fault=f"shape {kind!r} has no box")
    return _region(label, _VIA_SHAPES[kind], shape)


def _via(content: Any) -> Iterator[Entry]:
    """The annotations of VIA 2, or a project with its settings."""
    for item in map(_map, _map(_map(content).get("_via_img_metadata") or content).values()):
        regions = item.get("regions")
        if "filename" not in item or not isinstance(regions, list | dict):
            continue
        parts = map(_map, regions.values() if isinstance(regions, dict) else regions)
        found = [via_region(p.get("shape_attributes"), p.get("region_attributes")) for p in parts]
        yield Entry(_text(item["filename"]), found)


class _Vott(_Shape):
    """Upper left corner and size in pixels."""

    left: Number
    top: Number
    width: Number
    height: Number

    def box(self) -> Box:
        return (self.left, self.top, self.left + self.width, self.top + self.height)


def _vott(content: Any) -> Iterator[Entry]:
    """NAME-export.json of VoTT 2."""
    for item in map(_map, _map(_map(content).get("assets")).values()):
        asset, size = _map(item.get("asset")), _map(_map(item.get("asset")).get("size"))
        if "name" not in asset:
            continue
        regions = [
            _region(tag, _Vott, _map(region).get("boundingBox"))
            for region in _items(item.get("regions"))
            for tag in _items(_map(region).get("tags")) or [""]
        ]
        yield Entry(_text(asset["name"]), regions, size_hw(size.get("height"), size.get("width")))


class _FiftyOne(_Shape):
    """[x, y, width, height] in shares of the picture."""

    bounding_box: tuple[Number, Number, Number, Number]
    shares: Literal[True] = True

    def box(self) -> Box:
        x, y, width, height = self.bounding_box
        return (x, y, x + width, y + height)


def _fiftyone(content: Any) -> Iterator[Entry]:
    """labels.json of a FiftyOneImageDetectionDataset."""
    classes = _items(_map(content).get("classes"))
    for name, found in _map(_map(content).get("labels")).items():
        if found is not None and not isinstance(found, list):
            return
        regions = []
        for item in map(_map, found or []):
            label = item.get("label")
            if type(label) is int:
                label = classes[label] if 0 <= label < len(classes) else ""
            regions.append(_region(label, _FiftyOne, item))
        yield Entry(name, regions)


class _CreateMl(_Shape):
    """Centre and size in pixels."""

    x: Number
    y: Number
    width: Number
    height: Number

    def box(self) -> Box:
        across, down = self.width / 2, self.height / 2
        return (self.x - across, self.y - down, self.x + across, self.y + down)


def _createml(content: Any) -> Iterator[Entry]:
    """_annotations.createml.json of Roboflow, or Apple's own."""
    for item in map(_map, _items(content)):
        name = item.get("image", item.get("imagefilename"))
        if not isinstance(name, str) or not isinstance(item.get("annotations"), list):
            return
        parts = map(_map, item["annotations"])
        yield Entry(name, [_region(p.get("label"), _CreateMl, p.get("coordinates")) for p in parts])


class _LabelStudio(_Shape):
    """Upper left corner and size in percent of the picture."""

    x: Number
    y: Number
    width: Number
    height: Number
    shares: Literal[True] = True

    def box(self) -> Box:
        box = (self.x, self.y, self.x + self.width, self.y + self.height)
        return (box[0] / 100, box[1] / 100, box[2] / 100, box[3] / 100)


class _LabelStudioPoints(_Shape):
    """Polygon in percent of the picture."""

    points: list[tuple[Number, Number]] = Field(min_length=3)
    shares: Literal[True] = True

    def box(self) -> Box:
        return around([x / 100 for x, _ in self.points], [y / 100 for _, y in self.points])


class _LabelStudioEllipse(_Shape):
    """Centre and radii in percent of the picture."""

    x: Number
    y: Number
    across: Number = Field(alias="radiusX")
    down: Number = Field(alias="radiusY")
    shares: Literal[True] = True

    def box(self) -> Box:
        box = (self.x - self.across, self.y - self.down, self.x + self.across, self.y + self.down)
        return (box[0] / 100, box[1] / 100, box[2] / 100, box[3] / 100)


# The key that tells a shape → the shape.
_LABEL_STUDIO_SHAPES: dict[str, type[_Shape]] = {
    "points": _LabelStudioPoints,
    "radiusX": _LabelStudioEllipse,
    "width": _LabelStudio,
}


def _label_studio(content: Any) -> Iterator[Entry]:
    """JSON and JSON-MIN of Label Studio; a task that nobody has annotated yet is passed over."""
    for task in map(_map, _items(content)):
        name = _label_studio_picture(_map(task.get("data")) or task)
        whole = "annotations" in task
        values, note = _latest(task) if whole else (_flat(task), "")
        if not name or not (whole or any("rectanglelabels" in value for value in values)):
            return
        if not whole or any(map(_is_valid, _items(task["annotations"]))):
            regions = [region for value in values for region in _label_studio_regions(value)]
            yield Entry(name, regions, note=note)


def _label_studio_picture(data: Mapping[str, Any]) -> str:
    """Return the picture of a task; the key is the project's own."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    usual = (texts[key] for key in ("image", "img", "url") if key in texts)
    others = (text for text in texts.values() if clean_name(text).lower().endswith(IMAGE_SUFFIXES))
    return next(chain(usual, others), "")


def _is_valid(annotation: Any) -> bool:
    return not any(_map(annotation).get(key) for key in ("was_cancelled", "skipped"))


def _latest(task: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str]:
    """Return the values of the last annotation of a task, and a note if there are several."""
    valid = [_map(a) for a in _items(task["annotations"]) if _is_valid(a)]
    if not valid:
        return [], ""
    # Two people's boxes of one object would be two objects.
    last = max(valid, key=lambda a: _text(a.get("updated_at") or a.get("created_at")))
    results = [_map(result) for result in _items(last.get("result"))]
    labelled = {r.get("id") for r in results if _label_key(_map(r.get("value")))}
    values = [
        _map(r.get("value"))
        for r in results
        # Tags <Rectangle> and <Labels> make two results of one object.
        if _label_key(_map(r.get("value"))) or (_is_shape(r) and r.get("id") not in labelled)
    ]
    note = f"has {len(valid)} annotations; the last one is used" if len(valid) > 1 else ""
    return values, note


def _flat(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = (item for value in task.values() if isinstance(value, list) for item in value)
    return [value for value in map(_map, items) if _label_key(value)]


def _label_key(value: Mapping[str, Any]) -> str:
    """Return the key of the class: rectanglelabels, polygonlabels, ..., or labels; "" if none."""
    return next((key for key in value if key.endswith("labels")), "")


def _is_shape(result: Mapping[str, Any]) -> bool:
    return any(key in _map(result.get("value")) for key in _LABEL_STUDIO_SHAPES)


def _label_studio_regions(value: Mapping[str, Any]) -> Iterator[Region]:
    """Yield the object of a value, once for each of its classes."""
    key = _label_key(value)
    shape = next((s for name, s in _LABEL_STUDIO_SHAPES.items() if name in value), None)
    for label in map(_text, _items(value.get(key)) or [""]):
        if value.get("rotation"):
            yield Region(label, NO_BOX, fault=ROTATED)
        elif shape is None:
            yield Region(label, NO_BOX, fault=f"{key} have no box")
        else:
            yield _region(label, shape, value)


class _LabelMe(_Shape):
    """Points in pixels: two corners of a box, centre and rim of a circle, or a polygon."""

    points: list[tuple[Number, Number]] = Field(min_length=2)
    shape_type: str = "polygon"

    def box(self) -> Box:
        (x1, y1), (x2, y2) = self.points[:2]
        if self.shape_type == "circle":
            radius = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
            return (x1 - radius, y1 - radius, x1 + radius, y1 + radius)
        return around([x for x, _ in self.points], [y for _, y in self.points])


def _labelme(content: Any) -> Iterator[Entry]:
    """The file that LabelMe writes beside each picture."""
    item = _map(content)
    if isinstance(item.get("imagePath"), str) and isinstance(item.get("shapes"), list):
        regions = [_labelme_region(_map(shape)) for shape in item["shapes"]]
        size = size_hw(item.get("imageHeight"), item.get("imageWidth"))
        yield Entry(item["imagePath"], regions, size, own_file=True)


def _labelme_region(shape: Mapping[str, Any]) -> Region:
    found = _region(shape.get("label"), _LabelMe, shape)
    if shape.get("shape_type") == "rotation":  # of X-AnyLabeling
        return replace(found, fault=ROTATED)
    return replace(found, difficult=shape.get("difficult") is True)


_KINDS: tuple[Callable[[Any], Iterator[Entry]], ...] = (
    _edge_impulse,
    _vott,
    _fiftyone,
    _createml,
    _label_studio,
    _labelme,
    _via,
)
