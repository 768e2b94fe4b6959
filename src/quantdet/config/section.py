"""What all sections of a configuration are: read only, and closed to unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of ``config.toml``; the string below each field says what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
