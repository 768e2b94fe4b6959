"""Every setting of a configuration with its meaning and what set it, for ``quantdet config``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quantdet.config.layers import find_origin
from quantdet.config.load import resolve
from quantdet.config.schema import Config
from quantdet.config.sources import gather_layers


@dataclass(frozen=True)
class Setting:
    """One key of a configuration.

    Attributes:
        section: e.g. "train".
        key: e.g. "epochs".
        value: in use.
        origin: what set it: "default", a preset, a file, an option.
        meaning: what it is, in words.
    """

    section: str
    key: str
    value: object
    origin: str
    meaning: str


def explain_config(
    file: Path | str | None = None,
    *,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    values: Mapping[str, object] | None = None,
) -> list[Setting]:
    """Return every key of the configuration that :func:`load_config` gives, and what set it.

    Args and Raises are those of :func:`load_config`.
    """
    layers = gather_layers(None if file is None else Path(file), preset, overrides, values)
    config = resolve(layers)
    found = []
    for section in Config.model_fields:
        part = getattr(config, section)
        values_in_use = part.model_dump(mode="json")
        for key, info in type(part).model_fields.items():
            origin = find_origin((section, key), layers).removesuffix(": ") or "default"
            meaning = info.description or ""
            found.append(Setting(section, key, values_in_use[key], origin, meaning))
    return found
