"""Layers of settings, of which later ones win, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Layer = tuple[str, Mapping[str, object]]
"""(what the user knows it by, nested values)"""


def merge(into: dict[str, object], new: Mapping[str, object]) -> None:
    """Put nested values into ``into``, over what is there."""
    for key, value in new.items():
        inner = into.get(key)
        if isinstance(value, Mapping) and isinstance(inner, dict):
            merge(inner, value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def find_origin(location: tuple[int | str, ...], layers: Sequence[Layer]) -> str:
    """Return "NAME: " of the last layer that sets the key at ``location``."""
    for name, layer in reversed(layers):
        if sets(layer, location[:2]):
            return f"{name}: " if name else ""
    return ""


def sets(layer: Mapping[str, object], location: tuple[int | str, ...]) -> bool:
    """Tell whether a layer has a value at ``location``, e.g. ("train", "epochs")."""
    value: object = layer
    for part in location:
        if not isinstance(value, Mapping) or str(part) not in value:
            return False
        value = value[str(part)]
    return True
