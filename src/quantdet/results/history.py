"""``history.json`` of a training phase."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ConfigDict, Field

from quantdet.system.result_file import Part


class Epochs(Part):
    """``history.json`` of one training phase, see ``train.history``."""

    # A training that diverged has NaN losses, and the report should show that.
    model_config = ConfigDict(allow_inf_nan=True)

    monitor: str
    best_epoch: int
    seconds: float
    rows: tuple[Mapping[str, float], ...] = Field(min_length=1)
