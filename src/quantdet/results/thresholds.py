"""The lowest scores that people see, and how they were chosen: in contracts, metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from quantdet.system.result_file import Part

DEFAULT_SCORE = 0.5
"""Where neither the settings nor validation pictures say anything."""


class Thresholds(Part):
    """Thresholds of one model file.

    Attributes:
        score: of classes without their own, 0 to 1.
        per_class: label → its own.
        chosen: "validation": best F1 on the validation split; "settings": by the configuration;
            "default": neither; "contract": nobody says how.
        reason: why nothing was chosen.
        split: where they were chosen.
        pictures: of that split.
        objects: of that split that are not difficult.
        precision: on that split, which flatters: it chose the thresholds.
        recall: likewise.
        f1: likewise.
        key: of the model and the pictures that they were chosen on.
    """

    score: float
    per_class: Mapping[str, float] = {}
    chosen: Literal["validation", "settings", "default", "contract"]
    reason: str = ""
    split: str = ""
    pictures: int = 0
    objects: int = 0
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    key: str = ""

    def describe(self) -> str:
        """Return in words how the thresholds were chosen."""
        where = f"the {self.objects:,} objects of split “{self.split}”"
        return {
            "validation": f"chosen by best F1 on {where}",
            "settings": "set in the configuration",
            "default": f"not chosen: {self.reason}",
            "contract": "as the contract has it",
        }[self.chosen]

    def scores(self) -> str:
        """Return the scores as text: one, or the range over classes."""
        values = [self.score, *self.per_class.values()]
        low, high = min(values), max(values)
        return f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"
