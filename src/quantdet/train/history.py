"""What training measured, epoch by epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantdet.system.atomic import write_json, write_text

Row = Mapping[str, float]


@dataclass(frozen=True)
class History:
    """The epochs of one training phase.

    Attributes:
        rows: one per epoch; keys "epoch" (from 1), "seconds", "learning_rate", and every loss
            and metric, those of the validation split with "val_" in front.
        monitor: the key that decides which epoch is best (lowest): "val_loss", or "loss"
            where there is no validation split. "last": the last epoch counts as the best.
    """

    rows: tuple[Row, ...]
    monitor: str

    @property
    def best_epoch(self) -> int:
        """Epoch (from 1) with the lowest monitored value, the first of equals; 0 if none."""
        if not self.rows or self.monitor == "last":
            return len(self.rows)
        return int(min(self.rows, key=lambda row: row[self.monitor])["epoch"])

    @property
    def best(self) -> Row:
        """The row of the best epoch, empty if there is none."""
        return self.rows[self.best_epoch - 1] if self.rows else {}

    @property
    def seconds(self) -> float:
        """Time spent in epochs."""
        return sum(row["seconds"] for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "monitor": self.monitor,
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 3),
            "rows": [dict(row) for row in self.rows],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> History:
        """Inverse of :meth:`to_dict`."""
        return cls(tuple(values["rows"]), values["monitor"])

    def save(self, folder: Path) -> None:
        """Write ``history.csv`` and ``history.json``, each in one step."""
        write_json(folder / "history.json", self.to_dict())
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(folder / "history.csv", text.getvalue())
