"""What all result files are made of: typed, versioned JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, field_validator
from typing_extensions import Self

from quantdet.system.atomic import write_json


class Part(BaseModel):
    """What every part of a result file is: read only, without NaN, open to unknown fields.

    So files of an older or newer quantdet can be shown as far as they go.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ResultFile(Part):
    """A whole file. One of a later layout is refused by name."""

    LAYOUT: ClassVar[int] = 1

    version: int = 1

    @field_validator("version")
    @classmethod
    def _known(cls, version: int) -> int:
        if version > cls.LAYOUT:
            raise ValueError(f"{version} was written by a later quantdet; update quantdet")
        return version

    @classmethod
    def build(cls, content: Mapping[str, object]) -> Self:
        """Return what a stage is about to write; unlike in reading, every key has to be known.

        Raises:
            ValidationError: ``content`` does not fit, a defect of the stage.
        """
        return cls.model_validate({"version": cls.LAYOUT, **content}, extra="forbid")

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        write_json(path, self.model_dump(mode="json"))
