"""What a format reader hands over: samples and, beside them, everything that is wrong.

A reader never stops at the first fault and never decides what to do about one. Loading stops
at it or leaves the sample out (``dataset.py``); checking lists it (``check.py``).
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from quantdet.data.sample import Sample
from quantdet.errors import DataError
from quantdet.progress import Tick

UNSPLIT = "all"
"""Name of the one split of a data set that knows none; :mod:`.splitting` divides it."""


class FaultError(Exception):
    """A fault of what a reader is parsing: (code, reason); it becomes a :class:`Problem`."""


BOX_SLACK_PX = 1.0
"""A box this far outside the picture is a rounding of the annotator's tool, and is clipped."""
BOX_SLACK_SHARE = 0.025
"""So is one that is out by this share of the picture's side; this is worth a note."""


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
        problems: every fault found without decoding the picture; errors only.
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


def with_notes(listing: Listing) -> Listing:
    """Return ``listing`` with the warnings of its records moved to its notes."""
    unique = {id(r): r for records in listing.splits.values() for r in records if r.problems}
    notes = [p for record in unique.values() for p in record.problems if p.severity == "warning"]
    if not notes:
        return listing
    cleared = {
        key: replace(r, problems=tuple(p for p in r.problems if p.severity == "error"))
        for key, r in unique.items()
    }
    splits = {
        split: tuple(cleared.get(id(r), r) for r in records)
        for split, records in listing.splits.items()
    }
    return replace(listing, splits=splits, notes=(*listing.notes, *notes))


@dataclass(frozen=True)
class Reading:
    """What a user says about a data set in addition to its folder.

    Attributes:
        images: folder of the pictures, relative to the data set; None: it is searched for.
        annotations: folder of the annotations or the one file that holds them, relative to the
            data set; None: they are searched for.
        names: class names for labels that have only numbers, and no list of names of their own.
        clip: cut boxes at the border of the picture, however far outside they are.
        unlabelled: what a picture is whose annotation file is missing (VOC).
    """

    images: Path | None = None
    annotations: Path | None = None
    names: tuple[str, ...] = ()
    clip: bool = False
    unlabelled: Literal["error", "background"] = "error"


SEARCHED = Reading()
"""Everything is searched for."""

Reader = Callable[[Path, Tick, Reading], Listing]
"""Folder in, listing out. Raises DataError if the folder is not of the format."""

Writer = Callable[[Path, Sequence[str], Mapping[str, Sequence[Sample]]], int]
"""(folder, class names, split name → samples) → number of objects that the format cannot hold.

The pictures are in the folder already; ``Sample.image_path`` says where.
"""


Box = tuple[float, float, float, float]
ROTATED = "the box is rotated, but quantdet learns only upright ones"
"""Its corners as tools write them are those before the rotation: they are no bounding box."""


def fit_box(box_xyxy: Box, size_hw: tuple[int, int], *, clip: bool = False) -> tuple[Box, str]:
    """Cut a box at the border of its picture, where it is out by rounding.

    Rounding is up to :data:`BOX_SLACK_PX` or :data:`BOX_SLACK_SHARE`, whichever is more.

    Args:
        box_xyxy: absolute pixels, 0-based.
        size_hw: (height, width) of the picture.
        clip: cut boxes that are further outside, too.

    Returns:
        The box inside the picture, and a remark if more than :data:`BOX_SLACK_PX` was cut off,
        else "".

    Raises:
        FaultError: the box is not usable.
    """
    x1, y1, x2, y2 = box_xyxy
    height, width = size_hw
    if 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height:  # nearly all are
        return box_xyxy, ""
    if x2 < x1 or y2 < y1:
        raise FaultError("inverted_box", f"corners are swapped in box {_show(box_xyxy)}")
    out_x, out_y = max(-x1, x2 - width), max(-y1, y2 - height)
    outside = max(out_x, out_y)
    remark = (
        f"box {_show(box_xyxy)} is {outside:g} px outside the picture ({width} wide, {height} high)"
    )
    slack_x, slack_y = (max(BOX_SLACK_PX, BOX_SLACK_SHARE * side) for side in (width, height))
    if not clip and (out_x > slack_x or out_y > slack_y):
        raise FaultError("box_outside", f"{remark}; data.clip = true clips such boxes")
    fitted = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if fitted[2] <= fitted[0] or fitted[3] <= fitted[1]:
        place = " in the picture" if outside > 0 else ""
        raise FaultError("empty_box", f"box {_show(box_xyxy)} has no area{place}")
    return fitted, f"{remark} and is cut at its border" if outside > BOX_SLACK_PX else ""


def decode_text(content: bytes) -> str:
    """Return a text in UTF-8, or in UTF-16 with its mark, as PowerShell and Notepad write it.

    Raises:
        UnicodeDecodeError: it is in neither.
    """
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def peek_text(path: Path, size: int = -1) -> str:
    """Return the text of a file, or its first ``size`` bytes, to tell what it is.

    It is "" where the file cannot be read. A text in an unknown encoding is told, too: who reads
    it afterwards says what is wrong with it.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(size)
    except OSError:
        return ""
    try:
        return decode_text(content)
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_text(path: Path, what: str) -> str:
    """Return the text of a file: UTF-8 or UTF-16, without a byte order mark.

    Args:
        path: the file.
        what: what it is, for the message.

    Raises:
        DataError: missing, not readable or in another encoding.
    """
    try:
        return decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {what} not readable ({error}); it must be a UTF-8 text") from None


def decode_json(path: Path, text: str) -> Any:
    """Return the content of a JSON text.

    Raises:
        DataError: no JSON, nested too deeply, or with text that is no Unicode.
    """
    try:
        content = json.loads(text)
        if "\\ud" in text.lower():  # half a pair of surrogates can be neither printed nor saved
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error!s:.200}); export it again") from None
    return content


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


_FLAGS = {
    **dict.fromkeys(("", "false", "no", "none", "null", "unspecified", "unknown"), False),
    **dict.fromkeys(("true", "yes"), True),
}


def parse_flag(value: object, what: str) -> bool:
    """Return whether a mark such as ``difficult`` is set; tools write 0, "0", "Unspecified", ...

    Args:
        value: as it stands in the file.
        what: for the message: the name of the mark, with a space behind.

    Raises:
        FaultError: it is neither a number nor a known word.
    """
    word = "" if value is None else str(value).strip()
    known = _FLAGS.get(word.lower())
    return parse_number(word, what) != 0 if known is None else known


def _show(box_xyxy: Box) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box_xyxy) + ")"
