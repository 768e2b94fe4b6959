"""One VOC annotation file: XML ⇄ objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from quantdet.data.records import (
    ROTATED,
    Box,
    FaultError,
    Problem,
    fit_box,
    parse_flag,
    parse_number,
)
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError
from quantdet.system.atomic import atomic_path

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ENTITY = tuple("<!ENTITY".encode(name) for name in ("ascii", "utf-16-le", "utf-16-be"))


@dataclass
class Annotation:
    """What one XML file says.

    Attributes:
        size_hw: (height, width) in pixels; None if neither file nor picture gave one.
        size_in_file: False if the size was taken from the picture.
        objects: those with a usable box, in file order.
        file_name: of the picture, as the file says; "" where it does not.
        problems: the faults found, and warnings.
    """

    size_hw: tuple[int, int] | None = None
    size_in_file: bool = False
    objects: tuple[ObjectAnnotation, ...] = ()
    file_name: str = ""
    problems: list[Problem] = field(default_factory=list)


def parse_annotation(
    path: Path, size_of_picture: Callable[[], tuple[int, int]], *, clip: bool = False
) -> Annotation:
    """Read one annotation.

    The 1-based inclusive corners become 0-based with exclusive ends: x1 = xmin - 1, x2 = xmax.
    A box with xmin = xmax counts as empty, although VOC could mean one pixel by it. ``part``,
    ``occluded`` and whatever else is in the file are ignored.

    Args:
        path: XML file.
        size_of_picture: asked for (height, width) if the file has no ``size``; may raise
            DataError.
        clip: cut boxes at the border of the picture, however far outside they are.
    """
    result = Annotation()
    try:
        tree = _parse_xml(path)
        result.file_name = (tree.findtext("filename") or "").strip()
        result.size_hw = _size(tree)
        result.size_in_file = result.size_hw is not None
        if result.size_hw is None:
            result.size_hw = size_of_picture()
    except FaultError as fault:
        result.problems.append(Problem(path, *fault.args))
        return result
    except DataError as error:
        result.problems.append(Problem(path, "no_size", f"names no size, and {error}"))
        return result
    result.objects = tuple(_objects(path, tree, result, clip))
    return result


def _objects(
    path: Path, tree: ET.Element, result: Annotation, clip: bool
) -> Iterator[ObjectAnnotation]:
    elements = [element for element in tree.iter() if element.tag.lower() == "object"]
    for number, element in enumerate(elements, start=1):
        marks = {child.tag.lower(): (child.text or "").strip() for child in element}
        name = marks.get("name", "")
        where = f"object {number} ({name or 'without name'})"
        try:
            box = fit_box(_box(element, name), result.size_hw or (0, 0), clip=clip)
            found, remark = _object(name, box[0], marks), box[1]
        except FaultError as fault:
            code, reason = fault.args
            result.problems.append(Problem(path, code, f"{where}: {reason}"))
            continue
        if remark:
            result.problems.append(Problem(path, "box_cut", f"{where}: {remark}", "warning"))
        yield found


def write_annotation(path: Path, sample: Sample, *, folder: str = "") -> None:
    """Write the annotation of a sample as VOC XML in one step; inverse of reading it."""
    root = ET.Element("annotation")
    ET.SubElement(root, "folder").text = folder
    ET.SubElement(root, "filename").text = sample.image_path.name
    size = ET.SubElement(root, "size")
    for tag, value in zip(
        ("width", "height", "depth"), (sample.size_hw[1], sample.size_hw[0], 3), strict=True
    ):
        ET.SubElement(size, tag).text = str(value)
    ET.SubElement(root, "segmented").text = "0"
    for item in sample.objects:
        _write_object(ET.SubElement(root, "object"), item)
    ET.indent(root, "\t")
    with atomic_path(path) as temporary:
        ET.ElementTree(root).write(temporary, encoding="utf-8")


def _write_object(element: ET.Element, item: ObjectAnnotation) -> None:
    ET.SubElement(element, "name").text = item.label
    ET.SubElement(element, "pose").text = item.pose or "Unspecified"
    ET.SubElement(element, "truncated").text = str(int(item.truncated))
    ET.SubElement(element, "difficult").text = str(int(item.difficult))
    box = ET.SubElement(element, "bndbox")
    x1, y1, x2, y2 = item.box_xyxy
    for tag, value in zip(_CORNERS, (x1 + 1, y1 + 1, x2, y2), strict=True):
        ET.SubElement(box, tag).text = f"{value:.10g}"


def safe_xml(path: Path) -> ET.Element:
    """Return the root of an XML file.

    Raises:
        FaultError: missing, not readable, not XML, or with entities.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FaultError("missing_annotation", "annotation not found, but listed") from None
    except OSError as error:
        raise FaultError("broken_xml", f"not readable ({error.strerror})") from None
    # Entities can blow a small file up to gigabytes in memory; no annotation needs them.
    if any(mark in content for mark in _ENTITY):
        raise FaultError("unsafe_xml", "declares XML entities, which are refused for safety")
    try:
        return ET.fromstring(content)
    except (ET.ParseError, ValueError, LookupError, OverflowError, MemoryError) as error:
        raise FaultError("broken_xml", f"not valid XML ({error})") from None


def _parse_xml(path: Path) -> ET.Element:
    tree = safe_xml(path)
    if tree.tag != "annotation":
        raise FaultError("broken_xml", f"not a VOC annotation: the root is <{tree.tag}>")
    return tree


def _size(tree: ET.Element) -> tuple[int, int] | None:
    size = tree.find("size")
    if size is None:
        return None
    sides = {child.tag.lower(): child.text for child in size}
    height, width = (_parse(sides.get(tag) or "0", tag, "size") for tag in ("height", "width"))
    return (round(height), round(width)) if min(height, width) >= 1 else None


def _box(element: ET.Element, label: str) -> Box:
    if not label:
        raise FaultError("broken_annotation", "has no <name>")
    boxes = [child for child in element if child.tag.lower() == "bndbox"]
    _refuse_rotated(element)
    if len(boxes) != 1:
        count = f"{len(boxes)} <bndbox> instead of one" if boxes else "no <bndbox>"
        raise FaultError("broken_annotation", f"has {count}")
    corners = {child.tag.lower(): child.text for child in boxes[0]}
    xmin, ymin, xmax, ymax = (_parse(corners.get(tag), tag, "bndbox") for tag in _CORNERS)
    if xmin == xmax or ymin == ymax:
        shown = f"xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, ymax {ymax:g}"
        raise FaultError("empty_box", f"the box has no area ({shown})")
    return (xmin - 1, ymin - 1, xmax, ymax)


def _refuse_rotated(element: ET.Element) -> None:
    """Refuse the <robndbox> of roLabelImg, and an attribute "rotation" of CVAT."""
    angles = [
        attribute.findtext("value") or "0"
        for attribute in element.findall("attributes/attribute")
        if attribute.findtext("name") == "rotation"
    ]
    rotated = any(parse_number(angle, "rotation is ") for angle in angles)
    if rotated or element.find("robndbox") is not None:
        raise FaultError("rotated_box", ROTATED)


def _object(label: str, box_xyxy: Box, marks: Mapping[str, str]) -> ObjectAnnotation:
    pose = marks.get("pose", "")
    return ObjectAnnotation(
        label,
        box_xyxy,
        difficult=parse_flag(marks.get("difficult"), "<difficult> is "),
        truncated=parse_flag(marks.get("truncated"), "<truncated> is "),
        pose="" if pose == "Unspecified" else pose,
    )


def _parse(text: str | None, tag: str, parent: str) -> float:
    if not text or not text.strip():
        raise FaultError("broken_annotation", f"<{parent}> has no <{tag}>")
    return parse_number(text, f"<{tag}> is ")
