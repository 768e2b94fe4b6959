"""``manifest.json``: what each stage of a run did, when, and with which versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

from pydantic import ConfigDict, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from quantdet.system.result_file import Part, ResultFile


class StageRecord(Part):
    """What every entry has; one that a stage repeats is merged into what was there.

    Attributes:
        seconds: that the stage took.
        versions: package → version.
        written: time in UTC, ISO 8601.
    """

    STAGE: ClassVar[str] = ""

    # A training that diverged has NaN losses; keys of another version are kept.
    model_config = ConfigDict(extra="allow", allow_inf_nan=True)

    seconds: float | None = None
    versions: Mapping[str, str] = {}
    written: str = ""

    def content(self) -> dict[str, object]:
        """Return what is known, JSON-ready: what the stage found, then what every entry has."""
        found = self.model_dump(mode="json", exclude_unset=True)
        shared = {key: found.pop(key) for key in StageRecord.model_fields if key in found}
        return {**found, **shared}


class Identity(Part):
    """What the float model was made of.

    Attributes:
        model: section of the configuration; so are ``train`` and ``target``.
        labels: class names in the order of class ids.
        data: fingerprint of the pictures and targets.
        pictures: how many to train on, and to validate with.
        skipped: "file: reason" of pictures that were left out.
        weights: where they came from.
    """

    model: Mapping[str, object] = {}
    train: Mapping[str, object] = {}
    target: Mapping[str, object] = {}
    labels: tuple[str, ...] = ()
    data: str = ""
    pictures: tuple[int, ...] = ()
    skipped: tuple[str, ...] = ()
    weights: Mapping[str, object] = {}


class Phase(Part):
    """One phase of a training; ``best`` is the row of its best epoch."""

    model_config = ConfigDict(allow_inf_nan=True)

    epochs: int
    best_epoch: int
    best: Mapping[str, int | float] = {}
    seconds: float


class TrainedOn(Part):
    """What computed a training.

    Attributes:
        backend: of Keras.
        id: "cpu", or "gpu:N" of the machine.
        name: what the device's maker calls it.
        devices: how many of them shared the batches, on all machines.
    """

    backend: str
    id: str
    name: str
    devices: int = 1


class TrainRecord(StageRecord):
    """Entry "train".

    Attributes:
        device: what computed it; None where an earlier quantdet did not note it.
        phases: "frozen" and "finetune", those that there were.
        data_fingerprint: of all pictures and annotations.
    """

    STAGE = "train"

    identity: Identity = Identity()
    device: TrainedOn | None = None
    phases: Mapping[str, Phase] = {}
    data_fingerprint: str = ""


class QatIdentity(Part):
    """What the quantized model was made of."""

    qat: Mapping[str, object] = {}
    train: Mapping[str, object] = {}
    float_sha256: str = ""
    data: str = ""


class QatRecord(StageRecord):
    """Entry "qat"; what training found is absent where nothing was trained.

    Attributes:
        device: what computed it; None where an earlier quantdet did not note it.
        kept: "calibrated" or "trained".
        loss_calibrated: before training; ``loss_trained`` behind it.
        monitor: which figure chose the best epoch.
    """

    STAGE = "qat"

    identity: QatIdentity = QatIdentity()
    device: TrainedOn | None = None
    kept: str = ""
    loss_calibrated: float | None = None
    loss_trained: float | None = None
    monitor: str = ""
    best_epoch: int | None = None


class ExportedFile(Part):
    """One .tflite in the export folder."""

    file: str
    bytes: int
    sha256: str = ""


class ExportRecord(StageRecord):
    """Entry "export": format → its file."""

    STAGE = "export"
    __pydantic_extra__: dict[str, ExportedFile]


class EvaluateRecord(StageRecord):
    """Entry "evaluate": the file of the figures.

    Attributes:
        metrics: its name.
        sha256: of the integer model that was measured; "" where there was none, or where an earlier
            quantdet did not note it.
    """

    STAGE = "evaluate"

    metrics: str = ""
    sha256: str = ""


class AnalyseRecord(StageRecord):
    """Entry "analyse": the file, and how many pictures were looked at."""

    STAGE = "analyse"

    file: str = ""
    pictures: int | None = None


class VerifyRecord(StageRecord):
    """Entry "verify": target → "passed", "failed" or "skipped"."""

    STAGE = "verify"

    targets: Mapping[str, str] = {}


RECORDS: dict[str, type[StageRecord]] = {
    kind.STAGE: kind
    for kind in (TrainRecord, QatRecord, ExportRecord, EvaluateRecord, AnalyseRecord, VerifyRecord)
}
"""Stage → what is in its entry."""

Record = TypeVar("Record", bound=StageRecord)


class Manifest(ResultFile):
    """``manifest.json``: stage → its entry (see :data:`RECORDS`), in the order of first writing.

    Entries are read one by one when they are asked for, and kept as they are: one that is damaged
    or of another version takes nothing from the others.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=True)
    __pydantic_extra__: dict[str, JsonValue]

    @property
    def entries(self) -> Mapping[str, JsonValue]:
        """Stage → its entry as it stands in the file."""
        return self.__pydantic_extra__

    def read(self, kind: type[Record]) -> Record:
        """Return the entry of a stage; an empty one where it did not run.

        Raises:
            ValidationError: it is damaged.
        """
        return kind.model_validate(self.entries.get(kind.STAGE, {}))

    def with_record(self, stage: str, record: StageRecord) -> Manifest:
        """Return the same with ``record`` merged into the entry of ``stage``."""
        before = self.entries.get(stage)
        merged = {**(before if isinstance(before, dict) else {}), **record.content()}
        return self.model_copy(update={stage: merged})

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        for stage, kind in RECORDS.items():
            schema["properties"][stage] = handler(kind.__pydantic_core_schema__)
        return schema
