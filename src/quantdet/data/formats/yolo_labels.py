"""One YOLO label file: lines "class cx cy width height" ⇄ objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quantdet.data.records import (
    Box,
    FaultError,
    Problem,
    fit_box,
    parse_number,
    peek_text,
    read_text,
)
from quantdet.data.sample import ObjectAnnotation
from quantdet.errors import DataError

MOST_CLASSES = 10_000
"""Of data that names none: a class number is one of these."""
_PEEKED = 1 << 16
_BOX = 4
_QUAD = 8


@dataclass
class LabelReader:
    """Reads label files of one data set.

    Attributes:
        names: class names in the order of class ids; empty: classes are class_0, class_1, ...
        keypoints: numbers behind the box of a pose data set; 0: there are none, and more than
            four numbers are a polygon.
        clip: cut boxes at the border of the picture, however far outside they are.
        highest: highest class id read, -1 before the first.
    """

    names: Sequence[str]
    keypoints: int = 0
    clip: bool = False
    highest: int = -1
    _kinds: set[int] = field(default_factory=set)
    _turned: Path | None = None

    def read(
        self, file: Path, size_hw: tuple[int, int], problems: list[Problem]
    ) -> Iterator[ObjectAnnotation]:
        """Yield the objects of a label file, and add what is wrong with it to ``problems``."""
        try:
            lines = read_text(file, "labels").splitlines()
        except DataError as error:
            reason = str(error).removeprefix(f"{file}: ")
            problems.append(Problem(file, "broken_annotation", reason))
            return
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found, remark = self._object(file, line.split(), size_hw)
            except FaultError as fault:
                code, reason = fault.args
                problems.append(Problem(file, code, f"line {number}: {reason}"))
                continue
            if remark:
                note = Problem(file, "box_cut", f"line {number}: {remark}", "warning")
                problems.append(note)
            yield found

    def refuse_oriented(self) -> None:
        """Refuse oriented boxes, which look like polygons of four corners.

        Raises:
            DataError: all lines have four corners, and not all of these boxes are upright.
        """
        if self._kinds == {_QUAD} and self._turned is not None:
            raise DataError(
                f"{self._turned}: these are oriented boxes (YOLO OBB: class x1 y1 x2 y2 x3 y3 x4 "
                "y4), but quantdet learns only upright ones; export them as YOLO detection, with "
                "class cx cy width height"
            )

    def _object(
        self, file: Path, words: Sequence[str], size_hw: tuple[int, int]
    ) -> tuple[ObjectAnnotation, str]:
        label = self._label(words[0])
        values = [_share(word) for word in words[1:]]
        self._kinds.add(len(values))
        if len(values) == _QUAD and _is_turned(values):
            self._turned = file
        x1, y1, x2, y2 = self._corners(values)
        height, width = size_hw
        box = (x1 * width, y1 * height, x2 * width, y2 * height)
        try:
            fitted, remark = fit_box(box, size_hw, clip=self.clip)
        except FaultError as fault:
            code, reason = fault.args
            raise FaultError(code, f"{label}: {reason}") from None
        return ObjectAnnotation(label, fitted), remark

    def _corners(self, values: Sequence[float]) -> Box:
        if len(values) == _BOX or (self.keypoints and len(values) == _BOX + self.keypoints):
            cx, cy, width, height = values[:_BOX]
            return (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        # Three corners are the least of a polygon.
        if self.keypoints or len(values) < 6 or len(values) % 2:
            points = f", and {self.keypoints} for its key points" if self.keypoints else ""
            raise FaultError(
                "broken_annotation",
                f"has {len(values)} numbers after the class; expected cx cy width height{points}",
            )
        xs, ys = values[0::2], values[1::2]
        return (min(xs), min(ys), max(xs), max(ys))

    def _label(self, word: str) -> str:
        try:
            value = parse_number(word, "")
        except FaultError:
            value = 0.5
        if value != int(value):
            raise FaultError("broken_annotation", f"class is not a number: {word!r}")
        number = int(value)
        if not 0 <= number < (len(self.names) or MOST_CLASSES):
            raise FaultError("unknown_class", f"class {number} is out of range; {self._range()}")
        self.highest = max(self.highest, number)
        return self.names[number] if self.names else f"class_{number}"

    def _range(self) -> str:
        if not self.names:
            return f"classes count from 0 to {MOST_CLASSES - 1} at most"
        return f"names has {len(self.names)} classes (0 to {len(self.names) - 1})"


def looks_like_labels(file: Path) -> bool:
    """Return whether the first line of a file is one of YOLO labels."""
    lines = peek_text(file, _PEEKED).splitlines()
    words = next((line.split() for line in lines if line.strip()), [])
    try:
        numbers = [parse_number(word, "") for word in words]
    except FaultError:
        return False
    return len(numbers) > _BOX and numbers[0] >= 0 and numbers[0] == int(numbers[0])


def _share(word: str) -> float:
    value = parse_number(word, "")
    if not -1.0 <= value <= 2.0:
        raise FaultError(
            "box_outside",
            f"{word} is not a fraction of the picture; coordinates must be from 0 to 1",
        )
    return value


def _is_turned(values: Sequence[float]) -> bool:
    """Return whether four corners are not those of an upright box."""
    return len(set(values[0::2])) > 2 or len(set(values[1::2])) > 2
