"""``summary.json`` of a finished training stage: what it came from, and what it found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ConfigDict, ValidationError
from typing_extensions import Self

from quantdet.errors import ModelError
from quantdet.manifest import Identity, Phase, QatIdentity, TrainedOn
from quantdet.system.atomic import write_json
from quantdet.system.result_file import ResultFile


class StageSummary(ResultFile):
    """What every stage that trains leaves behind; what it did not find is left out.

    Attributes:
        device: what computed it.
    """

    # A training that diverged has NaN losses.
    model_config = ConfigDict(allow_inf_nan=True)

    device: TrainedOn | None = None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what a file says; None where it is absent, damaged or of another form.

        Raises:
            ModelError: a later quantdet wrote it.
        """
        try:
            return cls.model_validate(json.loads(path.read_text("utf-8")), extra="forbid")
        except ValidationError as error:
            for item in error.errors():
                if item["loc"] == ("version",) and item["type"] == "value_error":
                    raise ModelError(f"{path}: version: {item['msg']}") from None
            return None
        except (OSError, ValueError):
            return None

    def content(self) -> dict[str, object]:
        """Return what is known, JSON-ready, for the manifest."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"version"})

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        write_json(path, {"version": self.version, **self.content()})


class TrainSummary(StageSummary):
    """``float/summary.json``; ``phases``: "frozen" and "finetune", those that there were."""

    identity: Identity
    phases: Mapping[str, Phase]


class QatSummary(StageSummary):
    """``qat/summary.json``; what training found is absent where nothing was trained.

    Attributes:
        identity: what the quantized model was made of.
        kept: "calibrated" or "trained".
        loss_calibrated: before training; ``loss_trained`` behind it.
        monitor: which figure chose the best epoch.
        best_epoch: from 1.
        seconds: in epochs.
    """

    identity: QatIdentity
    kept: str = ""
    loss_calibrated: float | None = None
    loss_trained: float | None = None
    monitor: str = ""
    best_epoch: int | None = None
    seconds: float | None = None
