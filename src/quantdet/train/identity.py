"""Whether a finished stage is of the training that is asked for."""

from __future__ import annotations

from quantdet.config import Config
from quantdet.system.result_file import Part


def same_training(stored: Part, wanted: Part) -> bool:
    """Return whether two identities are of the same training.

    Keys of the configuration that came later than a stored identity count as their defaults. How
    many pictures there were is for people; the fingerprint of the data says it better.

    Args:
        stored: ``manifest.Identity`` or ``QatIdentity`` as read from summary.json.
        wanted: of this training.

    Raises:
        ValueError: ``stored`` holds settings that are none.
    """
    return _complete(stored) == _complete(wanted)


def _complete(identity: Part) -> dict[str, object]:
    found = identity.model_dump(mode="json", exclude={"pictures"})
    for name, field in Config.model_fields.items():
        if isinstance(found.get(name), dict) and field.annotation is not None:
            found[name] = field.annotation.model_validate(found[name]).model_dump(mode="json")
    return found
