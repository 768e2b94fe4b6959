"""A run is a folder; this module knows what lies where in it.

runs/NAME/{config.toml, manifest.json, train.log, data.json, pictures.json, float/, qat/, export/,
metrics.json, details.json, examples/, analysis.json, analysis.png, verify.json, report.html}
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ValidationError

from quantdet.config import Config, load_config
from quantdet.errors import ConfigError, ModelError, QuantdetError
from quantdet.manifest import RECORDS, Manifest, Record, StageRecord, TrainRecord
from quantdet.system.atomic import atomic_folder


@dataclass(frozen=True, init=False)
class Run:
    """Paths and the manifest of one run folder. Nothing is created before it is written.

    Args:
        root: the folder; :meth:`open` checks that it is a run's.
    """

    root: Path
    _changed: Config | None = field(default=None, compare=False, repr=False)
    """Takes the place of the saved configuration; saved by the stage that succeeds with it."""

    def __init__(self, root: Path | str) -> None:
        object.__setattr__(self, "root", Path(root))
        object.__setattr__(self, "_changed", None)

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.root / "config.toml"

    @property
    def manifest_file(self) -> Path:
        """What each stage did: status, seconds, versions."""
        return self.root / "manifest.json"

    @property
    def log_file(self) -> Path:
        """Training log: one line per epoch."""
        return self.root / "train.log"

    @property
    def float_dir(self) -> Path:
        """Float training: checkpoints, history, curves."""
        return self.root / "float"

    @property
    def qat_dir(self) -> Path:
        """Quantization-aware training: checkpoints, history, curves."""
        return self.root / "qat"

    @property
    def export_dir(self) -> Path:
        """Exported .tflite files, each with its contract."""
        return self.root / "export"

    @property
    def model_file(self) -> Path:
        """The integer model, the product of the run."""
        return self.export_dir / "model.tflite"

    @property
    def metrics_file(self) -> Path:
        """Measured accuracy, parity, latency of every variant."""
        return self.root / "metrics.json"

    @property
    def details_file(self) -> Path:
        """Further evaluation results: errors, confusion, bootstrap samples."""
        return self.root / "details.json"

    @property
    def examples_dir(self) -> Path:
        """Test pictures with ground truth and predictions."""
        return self.root / "examples"

    @property
    def data_file(self) -> Path:
        """Facts of the data set."""
        return self.root / "data.json"

    @property
    def pictures_file(self) -> Path:
        """Digests of the pictures and annotations that the float model was trained with."""
        return self.root / "pictures.json"

    @property
    def analysis_file(self) -> Path:
        """What quantization does to every layer."""
        return self.root / "analysis.json"

    @property
    def analysis_picture(self) -> Path:
        """The same as a picture."""
        return self.root / "analysis.png"

    @property
    def verify_file(self) -> Path:
        """What the integer model answers on every target."""
        return self.root / "verify.json"

    @property
    def report_file(self) -> Path:
        """The report."""
        return self.root / "report.html"

    @classmethod
    def create(cls, root: Path | str, config: Config, *, same_data: bool = False) -> Run:
        """Open ``root`` for writing and save the configuration.

        Args:
            root: the folder.
            config: the configuration.
            same_data: what [data] describes is known to be what the run was made with, even
                where the settings differ.

        Raises:
            ConfigError: the folder holds a float model that was made with other settings.
            QuantdetError: the folder cannot be written.
        """
        root = Path(root)
        if root.exists() and not root.is_dir():
            raise QuantdetError(f"{root}: is a file; choose another run folder with --out")
        cls(root).with_config(config, same_data=same_data).save_config()
        return cls(root)

    def with_config(self, config: Config, *, same_data: bool = False) -> Run:
        """Return this run with a configuration that :meth:`save_config` writes; arguments above.

        Raises:
            ConfigError: the folder holds a float model that was made with other settings.
        """
        if self.config_file.exists() and self.float_dir.exists():
            changed = _differences(self.load_config(), config, same_data)
            if changed:
                raise ConfigError(
                    f"{self.root}: holds a run with another {', '.join(changed)}; "
                    "choose another folder with --out, or remove this one"
                )
        run = Run(self.root)
        object.__setattr__(run, "_changed", config)
        return run

    def at(self, root: Path | str) -> Run:
        """Return this run in another folder."""
        run = Run(root)
        object.__setattr__(run, "_changed", self._changed)
        return run

    def save_config(self) -> None:
        """Write the configuration of :meth:`with_config`; what is there stays without one."""
        if self._changed is not None:
            self._changed.save(self.config_file)

    @classmethod
    def open(cls, root: Path | str) -> Run:
        """Open an existing run folder.

        Raises:
            ModelError: ``root`` is not a run folder.
        """
        root = Path(root)
        run = cls(root)
        if not run.config_file.is_file():
            raise ModelError(
                f"{root}: not a run folder (no config.toml); make one with `quantdet train`"
            )
        return run

    def load_config(self) -> Config:
        """Return the configuration: of :meth:`with_config`, else that saved in the run folder."""
        return self._changed or load_config(self.config_file)

    def labels(self) -> tuple[str, ...]:
        """Return the classes that the run was trained with, in the order of class ids.

        Raises:
            ModelError: the run has no trained model.
        """
        labels = self.recorded(TrainRecord).identity.labels
        if not labels:
            raise ModelError(f"{self.root}: has no trained model; run `quantdet train` first")
        return labels

    def fork(self, root: Path | str) -> Run:
        """Return a new run with the configuration and the float model of this one.

        So a float model is trained once and quantized in several ways.

        Args:
            root: a new or empty folder; it appears when it is complete.

        Raises:
            ModelError: the run has no trained model.
            QuantdetError: ``root`` is not empty or cannot be written.
        """
        self.labels()
        with atomic_folder(Path(root)) as folder:
            shutil.copytree(
                self.float_dir,
                folder / self.float_dir.name,
                ignore=shutil.ignore_patterns(".*"),  # what is not finished
            )
            shutil.copy2(self.config_file, folder)
            trained = {"train": self.manifest().entries["train"]}
            Manifest.model_validate(trained).save(folder / self.manifest_file.name)
        return Run(root)

    def manifest(self) -> Manifest:
        """Return the manifest, empty for a new run.

        Raises:
            QuantdetError: it is not readable, or of a later version.
        """
        if not self.manifest_file.exists():
            return Manifest()
        try:
            content = json.loads(self.manifest_file.read_text("utf-8"))
            if not isinstance(content, dict):
                raise ValueError("not an object")
        except (OSError, ValueError) as error:
            raise QuantdetError(
                f"{self.manifest_file}: not readable as JSON ({error}); move it away, stages "
                "write a new one"
            ) from None
        try:
            return Manifest.model_validate(content)
        except ValidationError as error:
            raise QuantdetError(
                f"{self.manifest_file}: version: {error.errors()[0]['msg']}"
            ) from None

    def recorded(self, kind: type[Record]) -> Record:
        """Return what a stage noted in the manifest; an empty record where it did not run.

        Raises:
            QuantdetError: the manifest or this entry of it is not readable.
        """
        try:
            return self.manifest().read(kind)
        except ValidationError as error:
            raise QuantdetError(
                f"{self.manifest_file}, {kind.STAGE}: {error.errors()[0]['msg']}; run this stage "
                "again"
            ) from None

    def record(self, stage: str, values: StageRecord | Mapping[str, object]) -> None:
        """Merge ``values`` into the manifest entry of ``stage``, with the time of writing."""
        record = RECORDS.get(stage, StageRecord).model_validate(values)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        stamped = record.model_copy(update={"written": now})
        self.manifest().with_record(stage, stamped).save(self.manifest_file)


def _differences(before: Config, after: Config, same_data: bool) -> list[str]:
    """Return the settings of the float model that differ, with their values in ``before``."""
    changed = []
    for section in (*(() if same_data else ("data",)), "target", "model", "train"):
        old, new = getattr(before, section), getattr(after, section)
        for key, value in old:
            if _located(value) != _located(getattr(new, key)):
                changed.append(f"{section}.{key} (there: {value})")
    return changed


def _located(value: object) -> object:
    """Return ``value`` with its paths made absolute: one folder has many spellings."""
    if isinstance(value, Path):
        return value.resolve()
    if isinstance(value, BaseModel):
        return {key: _located(item) for key, item in value}
    if isinstance(value, list):
        return [_located(item) for item in value]
    return value
