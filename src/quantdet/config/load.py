"""A configuration is made of layers: defaults (the reference note's settings), a preset shipped
with quantdet, a TOML file, ``--set section.key=value``, options. Later ones win.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from quantdet.config.layers import Layer, merge, sets
from quantdet.config.mistakes import explain_mistakes
from quantdet.config.schema import Config
from quantdet.config.sources import gather_layers, read_toml
from quantdet.errors import ConfigError
from quantdet.kinds import DETECTOR, KINDS

DEFAULT_PRESET = "ssd"
"""What the command line trains where nothing else is said."""


def load_config(
    file: Path | str | None = None,
    *,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    values: Mapping[str, object] | None = None,
) -> Config:
    """Resolve a configuration.

    Args:
        file: TOML file, may be partial.
        preset: name out of :func:`quantdet.presets.preset_names`.
        overrides: ``section.key=value`` strings; the value is TOML, or else a plain string.
        values: nested mapping that overrides everything else, e.g. from command line options.

    Raises:
        ConfigError: unreadable file, unknown preset, unknown key or wrong value.
    """
    return resolve(gather_layers(None if file is None else Path(file), preset, overrides, values))


def resolve(layers: Sequence[Layer]) -> Config:
    """Return what the layers say together.

    Raises:
        ConfigError: unknown keys or wrong values, each with the layer that has it.
    """
    merged: dict[str, object] = {}
    for _, layer in layers:
        merge(merged, layer)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(explain_mistakes(error, layers)) from None


def default_preset(
    file: Path | str | None = None,
    *,
    overrides: Iterable[str] = (),
    values: Mapping[str, object] | None = None,
) -> str | None:
    """Return what the command line takes without ``--preset``: the detector of all objects.

    A file that names its model stands alone, and so does a localizer: None.

    Args and Raises are those of :func:`load_config`.
    """
    if file is not None and sets(read_toml(Path(file)), ("model", "name")):
        return None
    layers = gather_layers(None, None, overrides, values)
    named = [
        model["name"]
        for _, layer in layers
        if isinstance(model := layer.get("model"), Mapping) and "name" in model
    ]
    if not named:
        return DEFAULT_PRESET
    kind = KINDS.get(str(named[-1]))
    return DEFAULT_PRESET if kind is not None and kind.family == DETECTOR else None
