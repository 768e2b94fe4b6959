"""JSON of labelling tools: Edge Impulse, VIA, VoTT, FiftyOne, CreateML, Label Studio, LabelMe.

The keys are those of the files that these tools write; each kind is told by its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quantdet.data.formats.tool_entries import NO_BOX, Entry, Number, Region, around, size_hw
from quantdet.data.records import Box, decode_json, read_text

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
    rotation: Number = 0.0
    shares: Literal[True] = True

    def box(self) -> Box:
        box = (self.x, self.y, self.x + self.width, self.y + self.height)
        return (box[0] / 100, box[1] / 100, box[2] / 100, box[3] / 100)


def _label_studio(content: Any) -> Iterator[Entry]:
    """JSON and JSON-MIN of Label Studio."""
    for task in map(_map, _items(content)):
        data = _map(task.get("data")) or task
        name = next((data[k] for k in ("image", "img", "url") if isinstance(data.get(k), str)), "")
        results = [
            r for a in _items(task.get("annotations")) for r in _items(_map(a).get("result"))
        ]
        flat = [v for v in task.values() if isinstance(v, list) and "annotations" not in task]
        values = [_map(_map(result).get("value")) for result in results]
        values += [_map(item) for items in flat for item in items]
        if not name or not ("annotations" in task or any("rectanglelabels" in v for v in values)):
            return
        yield Entry(name, list(_label_studio_regions(values)))


def _label_studio_regions(values: Iterable[Mapping[str, Any]]) -> Iterator[Region]:
    for value in values:
        labels = _items(value.get("rectanglelabels"))
        if "rectanglelabels" not in value:
            continue
        if value.get("rotation"):
            fault = "the box is rotated, but quantdet learns only upright ones"
            yield Region(_text(next(iter(labels), "")), NO_BOX, fault=fault)
            continue
        for label in labels or [""]:
            yield _region(label, _LabelStudio, value)


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
        regions = [_region(_map(s).get("label"), _LabelMe, s) for s in item["shapes"]]
        size = size_hw(item.get("imageHeight"), item.get("imageWidth"))
        yield Entry(PurePosixPath(item["imagePath"].replace("\\", "/")).name, regions, size)


_KINDS: tuple[Callable[[Any], Iterator[Entry]], ...] = (
    _edge_impulse,
    _vott,
    _fiftyone,
    _createml,
    _label_studio,
    _labelme,
    _via,
)
