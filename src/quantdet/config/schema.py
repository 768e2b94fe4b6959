"""All settings of a run, typed ⇄ TOML. An unknown key is an error that names the key."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from quantdet.config.data import DataConfig, TargetConfig
from quantdet.config.model import ModelConfig, PredictConfig
from quantdet.config.section import Section
from quantdet.config.training import QatConfig, TrainConfig
from quantdet.system.atomic import write_text


class Config(Section):
    """Everything a run depends on; saved resolved as ``config.toml`` in the run folder."""

    data: DataConfig = DataConfig()
    target: TargetConfig = TargetConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    qat: QatConfig = QatConfig()
    predict: PredictConfig = PredictConfig()

    def to_toml(self) -> str:
        """Return the configuration as TOML; absent values are left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def save(self, path: Path | str) -> None:
        """Write the configuration to ``path`` in one step."""
        write_text(Path(path), self.to_toml())
