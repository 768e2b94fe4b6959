"""What all sections of a configuration are: read only, and closed to unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What Keras and NumPy take."""


class Section(BaseModel):
    """A table of ``config.toml``; the string below each field says what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
