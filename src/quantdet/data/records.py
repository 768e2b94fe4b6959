"""What a format reader hands over: samples and, beside them, everything that is wrong.

A reader never stops at the first fault and never decides what to do about one. Loading stops
at it or leaves the sample out (``dataset.py``); checking lists it (``check.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantdet.data.sample import Sample
from quantdet.errors import DataError
from quantdet.progress import Tick

UNSPLIT = "all"
"""Name of the one split of a data set that knows none; :mod:`.splitting` divides it."""


class FaultError(Exception):
    """A fault of what a reader is parsing: (code, reason); it becomes a :class:`Problem`."""


BOX_SLACK_PX = 1.0
"""A box this far outside the picture is a rounding of the annotator's tool, and is clipped."""


@dataclass(frozen=True)
class Problem:
    """One fault of one file.

    Attributes:
        file: the file at fault.
        code: short name of the kind of fault, e.g. "broken_xml".
        reason: what is wrong, with the values found.
        severity: "error" stops training, unless bad samples are skipped; "warning" does not.
    """

    file: Path
    code: str
    reason: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Record:
    """One listed picture as it was found.

    Attributes:
        image_id: name of the picture within its data set.
        image_path: where the picture is or should be.
        annotation_path: where its annotation is or should be; the picture itself in a split
            without annotations.
        sample: the picture and its objects; None where nothing usable was found. Objects with
            a faulty box are not in it, they are in ``problems``.
        problems: every fault found without decoding the picture.
        size_from_annotation: False where the annotation names no size and the picture's
            header was read instead.
    """

    image_id: str
    image_path: Path
    annotation_path: Path
    sample: Sample | None
    problems: tuple[Problem, ...] = ()
    size_from_annotation: bool = True


@dataclass(frozen=True)
class Listing:
    """A data set as found on disk.

    Attributes:
        root: its folder.
        splits: split name → records in list order. A data set that knows no splits has the
            one split :data:`UNSPLIT`.
        labels: class names in the order of class ids, where the format has such a list.
        problems: faults that belong to no picture.
        notes: warnings, of single pictures, too: what was passed over, guessed or clipped.
    """

    root: Path
    splits: Mapping[str, tuple[Record, ...]]
    labels: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


Reader = Callable[[Path, Tick], Listing]
"""Folder in, listing out. Raises DataError if the folder is not of the format."""

Writer = Callable[[Path, Sequence[str], Mapping[str, Sequence[Sample]]], int]
"""(folder, class names, split name → samples) → number of objects that the format cannot hold.

The pictures are in the folder already; ``Sample.image_path`` says where.
"""


def fit_box(
    box_xyxy: tuple[float, float, float, float], size_hw: tuple[int, int]
) -> tuple[tuple[float, float, float, float] | None, str, str]:
    """Clip a box that is outside the picture by at most :data:`BOX_SLACK_PX`.

    Args:
        box_xyxy: absolute pixels, 0-based.
        size_hw: (height, width) of the picture.

    Returns:
        (box, "", "") or (None, code, reason) if the box is not usable.
    """
    x1, y1, x2, y2 = box_xyxy
    height, width = size_hw
    if x2 < x1 or y2 < y1:
        return None, "inverted_box", f"corners are swapped in box {_show(box_xyxy)}"
    outside = max(-x1, -y1, x2 - width, y2 - height)
    if outside > BOX_SLACK_PX:
        reason = (
            f"box {_show(box_xyxy)} is {outside:g} px outside the picture "
            f"({width} wide, {height} high)"
        )
        return None, "box_outside", reason
    fitted = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if fitted[2] <= fitted[0] or fitted[3] <= fitted[1]:
        return None, "empty_box", f"box {_show(box_xyxy)} has no area"
    return fitted, "", ""


def read_text(path: Path, what: str) -> str:
    """Return the UTF-8 text of a file, without a byte order mark.

    Args:
        path: the file.
        what: what it is, for the message.

    Raises:
        DataError: missing, not readable or not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {what} not readable ({error}); it must be a UTF-8 text") from None


def parse_number(text: str, what: str) -> float:
    """Return a finite number.

    Args:
        text: as it stands in the file.
        what: for the message: what it should be, with a space behind, or "".

    Raises:
        FaultError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FaultError("broken_annotation", f"{what}not a number: {text!r}")
    return value


def _show(box_xyxy: tuple[float, float, float, float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box_xyxy) + ")"
