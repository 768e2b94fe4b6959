"""Where settings come from: a preset, a TOML file, ``--set section.key=value`` and options."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from quantdet.config.layers import Layer, sets
from quantdet.config.mistakes import suggestion
from quantdet.errors import ConfigError
from quantdet.presets import preset_names, preset_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_LARGEST = 2**63
_SHOWN = 200
_TOO_DEEP = "its lists are nested too deeply; no setting needs more than two levels"


def gather_layers(
    file: Path | None,
    preset: str | None,
    overrides: Iterable[str],
    values: Mapping[str, object] | None,
) -> list[Layer]:
    """Return the layers of a configuration, the strongest last.

    Args and Raises are those of :func:`quantdet.config.load_config`.
    """
    layers: list[Layer] = []
    if preset is not None:
        layers.append((f"preset {preset}", _read_preset(preset)))
    own: list[Layer] = []
    if file is not None:
        own.append((str(file), read_toml(file)))
    own += [(f"--set {_line(override)}", _parse_override(override)) for override in overrides]
    own.append(("option", values or {}))
    return [*layers, *_unbounded(own), *own]


def _unbounded(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield the layer that lifts a preset's bounds: who says how many epochs means them."""
    for name, layer in layers:
        if any(sets(layer, ("train", key)) for key in ("epochs", "finetune_epochs")):
            yield f"epochs given by {name}", {"train": {"min_steps": 0, "max_steps": 0}}
            return


def _read_preset(name: str) -> dict[str, object]:
    if name not in preset_names():
        raise ConfigError(f"preset {name!r} is unknown; choose one of {preset_names()}")
    return tomllib.loads(preset_text(name))


def read_toml(file: Path) -> dict[str, object]:
    """Return the content of a configuration file.

    Raises:
        ConfigError: there is none, or it is no TOML.
    """
    try:
        # Windows editors put a byte order mark in front, which TOML does not allow.
        content: dict[str, object] = tomllib.loads(file.read_text("utf-8-sig"))
        _refuse_large(content)
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not readable as TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{file}: {_TOO_DEEP}") from None
    except ValueError:
        raise ConfigError(f"{file}: an integer has more than 64 bits; make it smaller") from None
    return content


def _refuse_large(value: object) -> None:
    """Bound integers as TOML 1.0 does; Python's have no end.

    Raises:
        ValueError: one has more than 64 bits.
    """
    if isinstance(value, dict):
        value = [*value.values()]
    for child in value if isinstance(value, list) else ():
        _refuse_large(child)
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise ValueError("an integer of more than 64 bits")


def _line(text: str) -> str:
    """Return an override for a message: not too long, and without line breaks."""
    return repr(text if len(text) < _SHOWN else f"{text[:_SHOWN]}…")[1:-1].replace("\\'", "'")


def _parse_override(text: str) -> dict[str, object]:
    path, equals, raw = text.partition("=")
    keys = path.strip().split(".")
    text = _line(text)
    if not equals or len(keys) != 2 or not all(keys):
        hint = suggestion(f"train.{path.strip()}") if equals and "." not in path else ""
        raise ConfigError(f"--set {text}: expected section.key=value, e.g. train.epochs=20{hint}")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
        _refuse_large(value)
    except RecursionError:
        raise ConfigError(f"--set {'.'.join(keys)}: {_TOO_DEEP}") from None
    except ValueError:
        value = raw
    if not isinstance(value, str | list | dict):
        # The field says what 2007 is: a number, or the name of a split or folder.
        value = raw.strip()
    return {keys[0]: {keys[1]: value}}
