"""What is wrong with a configuration, in words that name the key, its source and the remedy."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import ValidationError

from quantdet.config.layers import Layer, find_origin
from quantdet.config.schema import Config

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def explain_mistakes(error: ValidationError, layers: Sequence[Layer]) -> str:
    """Return every mistake with its key and the layer that has it."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        origin = find_origin(item["loc"], layers)
        if item["type"] == "extra_forbidden":
            hint, known = suggestion(key), _siblings(item["loc"])
            lines.append(f"{origin}unknown key {key!r}{hint}; known there: {', '.join(known)}")
        else:
            lines.append(f"{origin}{key}: {item['msg']} (got {_SHORT.repr(item['input'])})")
    return "; ".join(lines)


def suggestion(key: str) -> str:
    """Return ", did you mean …?" with the nearest of all sections and keys; "" if none is near."""
    if "." not in key:
        near = get_close_matches(key, list(Config.model_fields), n=1)
    else:
        near = get_close_matches(key, _all_keys(), n=1)
        # e.g. model.batch_size: the right key in the wrong section
        near = [
            known for known in _all_keys() if known.endswith(f".{key.rsplit('.', maxsplit=1)[-1]}")
        ] or near
    return f", did you mean {near[0]!r}?" if near else ""


def _all_keys() -> list[str]:
    return [
        f"{section}.{key}"
        for section in Config.model_fields
        for key in type(getattr(Config(), section)).model_fields
    ]


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    if len(location) == 1:
        return list(Config.model_fields)
    return list(type(getattr(Config(), str(location[0]))).model_fields)
