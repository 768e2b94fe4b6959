"""Formats of what ``predict`` found, for other tools; most are written picture by picture."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

from quantdet.errors import ConfigError, QuantdetError
from quantdet.runtime.outputs import OutputNames, plain_stem
from quantdet.runtime.predictions import Prediction
from quantdet.system.atomic import write_bytes, write_json, write_text

_FORMULAS = ("=", "+", "-", "@")
_CSV_COLUMNS = ("source", "frame", "label", "class_id", "score", "x1", "y1", "x2", "y2")
# A file's name may hold what XML cannot: control characters, and bytes that are not UTF-8.
_NOT_XML = re.compile("[\x00-\x1f\ud800-\udfff]")
KEPT = "json"
"""The format that keeps every record until the end: predictions.json."""


class Writer(Protocol):
    """Takes what was found, picture by picture; what could not be read comes too."""

    def add(self, prediction: Prediction) -> None:
        """Take one picture or frame."""

    def close(self, *, keep: bool) -> None:
        """End; without ``keep`` nothing is left of what it wrote."""


class _Lines:
    """A file that grows by whole lines; a reader may follow it while it does."""

    def __init__(self, target: Path, lines: Callable[[Prediction], str], head: str = "") -> None:
        self._target = target
        self._lines = lines
        self._write(head, "w")

    def add(self, prediction: Prediction) -> None:
        self._write(self._lines(prediction), "a")

    def close(self, *, keep: bool) -> None:
        if not keep:
            self._target.unlink(missing_ok=True)

    def _write(self, text: str, mode: str) -> None:
        # Opened for each: nothing waits in memory, and a file that was rotated away begins anew.
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            with self._target.open(mode, encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(text)
        except OSError as error:
            raise QuantdetError(
                f"{self._target}: cannot be written ({error.strerror}); free some space or choose "
                "another folder with --out"
            ) from error


def _jsonl(names: OutputNames, _: tuple[str, ...]) -> Writer:
    def line(item: Prediction) -> str:
        return json.dumps(item.to_dict()) + "\n"

    return _Lines(names.choose_file("predictions", ".jsonl"), line)


def _csv(names: OutputNames, _: tuple[str, ...]) -> Writer:
    target = names.choose_file("predictions", ".csv")
    return _Lines(target, _rows, head=_row(_CSV_COLUMNS))


def _rows(item: Prediction) -> str:
    where = (item.source, "" if item.frame is None else item.frame)
    return "".join(_row((*where, *found.values())) for found in item.detections.to_records())


def _row(values: tuple[object, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(map(_cell, values))
    return text.getvalue()


def _cell(value: object) -> object:
    """Return a text so that no spreadsheet takes it for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


class _Coco:
    """One COCO data set (cocodataset.org, "Data format"), with a score in each annotation."""

    def __init__(self, names: OutputNames, labels: tuple[str, ...]) -> None:
        self._target = names.choose_file("predictions.coco", ".json")
        self._labels = labels
        self._images: list[dict[str, object]] = []
        self._annotations: list[dict[str, object]] = []

    def add(self, prediction: Prediction) -> None:
        if prediction.error is not None:
            return
        height, width = prediction.size_hw
        image_id = len(self._images) + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": picture_name(prediction),
                "height": height,
                "width": width,
            }
        )
        for found in prediction.detections.to_list():
            x1, y1, x2, y2 = found["box_xyxy"]
            box = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": found["class_id"] + 1,
                    "bbox": box,
                    "area": round(box[2] * box[3], 2),
                    "iscrowd": 0,
                    "score": found["score"],
                }
            )

    def close(self, *, keep: bool) -> None:
        categories = [{"id": i, "name": name} for i, name in enumerate(self._labels, start=1)]
        if keep:
            write_json(
                self._target,
                {
                    "images": self._images,
                    "annotations": self._annotations,
                    "categories": categories,
                },
            )


class _Files:
    """A file for each picture that could be read."""

    def __init__(
        self, choose: Callable[[str], Path], content: Callable[[Prediction], bytes]
    ) -> None:
        self._choose = choose
        self._content = content

    def add(self, prediction: Prediction) -> None:
        if prediction.error is None:
            stem = Path(picture_name(prediction)).stem
            write_bytes(self._choose(stem), self._content(prediction))

    def close(self, *, keep: bool) -> None:
        """Every file is whole already."""


def _yolo(names: OutputNames, labels: tuple[str, ...]) -> Writer:
    """Labels as Ultralytics reads them: yolo/data.yaml and yolo/labels/train/NAME.txt."""
    numbered = "".join(f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(labels))
    text = f"path: .\ntrain: images/train\nnames:\n{numbered}"
    write_text(names.choose_file("data", ".yaml", "yolo/"), text)

    def lines(item: Prediction) -> bytes:
        height, width = item.size_hw
        rows = []
        for found in item.detections.to_list():
            x1, y1, x2, y2 = found["box_xyxy"]
            box = (
                (x1 + x2) / 2 / width,
                (y1 + y2) / 2 / height,
                (x2 - x1) / width,
                (y2 - y1) / height,
            )
            rows.append(" ".join([str(found["class_id"]), *(f"{value:.6f}" for value in box)]))
        return "".join(f"{row}\n" for row in rows).encode()

    return _Files(lambda stem: names.choose_file(stem, ".txt", "yolo/labels/train/"), lines)


def _voc(names: OutputNames, _: tuple[str, ...]) -> Writer:
    """An annotation file of PASCAL VOC for each picture: voc/Annotations/NAME.xml."""
    return _Files(lambda stem: names.choose_file(stem, ".xml", "voc/Annotations/"), _voc_xml)


def _voc_xml(item: Prediction) -> bytes:
    """Return the XML; VOC's corners are counted from 1 and inclusive."""
    height, width = item.size_hw
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = _NOT_XML.sub("?", picture_name(item))
    _numbers(ET.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    for found in item.detections.to_list():
        entry = ET.SubElement(root, "object")
        ET.SubElement(entry, "name").text = found["label"]
        _numbers(entry, {"difficult": 0, "truncated": 0, "score": found["score"]})
        x1, y1, x2, y2 = found["box_xyxy"]
        corners = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}
        _numbers(ET.SubElement(entry, "bndbox"), corners)
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _numbers(parent: ET.Element, values: Mapping[str, float]) -> None:
    for tag, value in values.items():
        ET.SubElement(parent, tag).text = f"{round(value, 4):.10g}"


def picture_name(item: Prediction) -> str:
    """Return what annotation tools call a picture: its file, or NAME_frame_000012.jpg."""
    if item.frame is None:
        return Path(item.source).name
    return f"{plain_stem(item.source)}_frame_{item.frame:06d}.jpg"


RECORD_FORMATS: dict[str, Callable[[OutputNames, tuple[str, ...]], Writer]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "coco": _Coco,
    "yolo": _yolo,
    "voc": _voc,
}
"""Format → (names of files, labels) → what writes it."""


class Records:
    """Gives what was found to the writers of some formats; they begin with the first picture.

    Args:
        formats: names out of :data:`RECORD_FORMATS`, and :data:`KEPT`.
        names: chooses the files.
        labels: class names.

    Attributes:
        kept: every prediction, if :data:`KEPT` is among the formats; else those that failed.

    Raises:
        ConfigError: a format is unknown.
    """

    def __init__(
        self, formats: tuple[str, ...], names: OutputNames, labels: tuple[str, ...]
    ) -> None:
        known = (KEPT, *RECORD_FORMATS)
        unknown = [name for name in formats if name not in known]
        if unknown:
            raise ConfigError(f"format {unknown} is unknown; choose of {', '.join(known)}")
        self.kept: list[Prediction] = []
        self.count = 0
        self.good = 0
        self._formats = dict.fromkeys(formats)
        self._names = names
        self._labels = labels
        self._writers: list[Writer] | None = None

    def add(self, prediction: Prediction) -> None:
        """Take one picture or frame."""
        self.count += 1
        self.good += prediction.error is None
        if KEPT in self._formats or prediction.error is not None:
            self.kept.append(prediction)
        for writer in self._open():
            writer.add(prediction)

    def mark(self) -> tuple[int, int, int]:
        """Return a place to which :meth:`drop` goes back."""
        return len(self.kept), self.count, self.good

    def drop(self, mark: tuple[int, int, int]) -> None:
        """Forget what was taken since; lines that are written stay."""
        kept, self.count, self.good = mark
        del self.kept[kept:]

    def close(self) -> None:
        """End the files; they are removed if no picture could be read."""
        for writer in self._writers or ():
            writer.close(keep=self.good > 0)

    def _open(self) -> list[Writer]:
        if self._writers is None:
            made = (RECORD_FORMATS[name] for name in self._formats if name != KEPT)
            self._writers = [make(self._names, self._labels) for make in made]
        return self._writers
