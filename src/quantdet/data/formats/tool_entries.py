"""What a tool's own file says of a picture, before anything is checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from quantdet.data.records import Box

NO_BOX: Box = (0.0, 0.0, 0.0, 0.0)
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
"""A finite number, perhaps as text."""


@dataclass(frozen=True)
class Region:
    """One object as the tool has it.

    Attributes:
        label: class name; "" where there is none.
        box_xyxy: 0-based, x2 and y2 exclusive.
        shares: whether the box is in shares of the picture instead of pixels.
        fault: why there is no box, or "".
        difficult: whether the object counts neither as found nor as missed.
    """

    label: str
    box_xyxy: Box
    shares: bool = False
    fault: str = ""
    difficult: bool = False


@dataclass(frozen=True)
class Entry:
    """One picture, or a part of what is said of it.

    Attributes:
        name: as the tool calls the picture: a name, a path or an address.
        regions: its objects.
        size_hw: (height, width) in pixels; None where the file names none.
        split: as the tool calls it; "" where the file names none.
        own_file: whether the file is about this picture alone, and lies where it does.
        note: what was passed over, or "".
    """

    name: str
    regions: Sequence[Region] = field(default_factory=tuple)
    size_hw: tuple[int, int] | None = None
    split: str = ""
    own_file: bool = False
    note: str = ""


def around(xs: Sequence[float], ys: Sequence[float]) -> Box:
    """Return the box around points."""
    return (min(xs), min(ys), max(xs), max(ys))


def size_hw(height: object, width: object) -> tuple[int, int] | None:
    """Return the size of a picture if both numbers make one."""
    sides = []
    for value in (height, width):
        try:
            number = float(str(value))
        except ValueError:
            return None
        if not math.isfinite(number) or round(number) < 1:
            return None
        sides.append(round(number))
    return sides[0], sides[1]
