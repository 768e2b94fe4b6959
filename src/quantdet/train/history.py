"""What training measured, epoch by epoch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from typing_extensions import NotRequired

from quantdet.system.atomic import write_json, write_text

Row = Mapping[str, float]
MAP = "val_map"
"""Key of the mean AP on the validation split; only in the rows of epochs that measured it."""


class HistoryRecord(TypedDict):
    """``history.json``; ``objects`` came later than the rest."""

    monitor: str
    objects: NotRequired[int]
    best_epoch: int
    seconds: float
    rows: list[dict[str, float]]


@dataclass(frozen=True)
class History:
    """The epochs of one training phase.

    Attributes:
        rows: one per epoch; keys "epoch" (from 1), "seconds", "learning_rate", and every loss
            and metric, those of the validation split with "val_" in front.
        monitor: the key that decides which epoch is best: ``MAP`` (highest), "val_loss" or "loss"
            (lowest). "last": the last epoch counts as the best.
        objects: how many objects ``MAP`` was measured on.
    """

    rows: tuple[Row, ...]
    monitor: str
    objects: int = 0

    @property
    def best_epoch(self) -> int:
        """Epoch (from 1) that counts as the best, the last one while nothing is measured; 0: none.

        Of losses the lowest, the first of equals. Of mean AP the last epoch that is within one
        standard error of the highest (Breiman et al. 1984, section 3.4.3): the AP of a few objects
        jumps, and it does not show that early scores are still low.
        """
        measured = [row for row in self.rows if self.monitor in row]
        if not measured:
            return len(self.rows)
        if self.monitor != MAP:
            return self.peak_epoch
        highest = max(row[MAP] for row in measured)
        least = highest - math.sqrt(highest * (1 - highest) / max(self.objects, 1))
        return int([row for row in measured if row[MAP] >= least][-1]["epoch"])

    @property
    def peak_epoch(self) -> int:
        """Epoch (from 1) with the best monitored value, the first of equals; 0 if none has one."""
        measured = [row for row in self.rows if self.monitor in row]
        if not measured:
            return 0
        sign = -1 if self.monitor == MAP else 1
        return int(min(measured, key=lambda row: sign * row[self.monitor])["epoch"])

    def is_over(self, epochs: int, patience: int) -> bool:
        """Return whether training ends here: after all epochs, or early.

        Args:
            epochs: all of them.
            patience: epochs without a better monitored value after which it ends; 0: never.
        """
        if len(self.rows) >= epochs:
            return True
        judged = bool(self.rows) and self.monitor in self.rows[-1]
        return bool(patience) and judged and len(self.rows) - self.peak_epoch >= patience

    @property
    def best(self) -> Row:
        """The row of the best epoch, empty if there is none."""
        return self.rows[self.best_epoch - 1] if self.rows else {}

    @property
    def seconds(self) -> float:
        """Time spent in epochs."""
        return sum(row["seconds"] for row in self.rows)

    def to_dict(self) -> HistoryRecord:
        """Return JSON-ready values."""
        return {
            "monitor": self.monitor,
            "objects": self.objects,
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 3),
            "rows": [dict(row) for row in self.rows],
        }

    @classmethod
    def from_dict(cls, values: HistoryRecord) -> History:
        """Inverse of :meth:`to_dict`."""
        return cls(tuple(values["rows"]), values["monitor"], values.get("objects", 0))

    def save(self, folder: Path) -> None:
        """Write ``history.csv`` and ``history.json``, each in one step."""
        write_json(folder / "history.json", self.to_dict())
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(folder / "history.csv", text.getvalue())
