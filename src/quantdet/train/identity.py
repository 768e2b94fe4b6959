"""Whether a finished stage is of the training that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quantdet.config import Config


def same_training(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether two identities are of the same training.

    Keys of the configuration that came later than a stored identity count as their defaults. How
    many pictures there were is for people; the fingerprint of the data says it better.

    Args:
        stored: as read from summary.json.
        wanted: of this training.

    Raises:
        ValueError: ``stored`` holds settings that are none.
    """
    return _complete(stored) == _complete(json.loads(json.dumps(wanted)))


def _complete(identity: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in identity.items() if name != "pictures"}
    for name, field in Config.model_fields.items():
        if isinstance(found.get(name), dict) and field.annotation is not None:
            found[name] = field.annotation.model_validate(found[name]).model_dump(mode="json")
    return found
