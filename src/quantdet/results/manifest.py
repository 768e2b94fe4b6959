"""``manifest.json``: what each stage did, when, and with which versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantdet.results.part import Part


class StageRecord(Part):
    """What every entry of ``manifest.json`` has."""

    seconds: float | None = None
    written: str = ""
    versions: Mapping[str, str] = {}


class Identity(Part):
    """What the float model was made of."""

    labels: tuple[str, ...] = ()
    pictures: tuple[int, ...] = ()
    skipped: tuple[str, ...] = ()
    weights: Mapping[str, Any] = {}


class TrainRecord(StageRecord):
    """Entry "train"."""

    identity: Identity = Identity()
    data_fingerprint: str = ""


class QatRecord(StageRecord):
    """Entry "qat"; the losses are absent where nothing was trained."""

    kept: str = ""
    loss_calibrated: float | None = None
    loss_trained: float | None = None
