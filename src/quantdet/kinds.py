"""The kinds of model: what ``[model] name`` may be, and what belongs to a family.

A kind is a member of a family. Kinds of one family are trained, measured, decoded and reported in
the same way, so every table elsewhere has one entry a family (``find_family``). To add a kind:
its entry in ``KINDS``; to add a family: an entry in every one of ``stages.check.FAMILY_TABLES``.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantdet.errors import ConfigError

LOCALIZER = "localizer"
"""Family: one object, one box and one class for the whole picture."""
DETECTOR = "detector"
"""Family: every object of the picture, on anchors of several scales."""


@dataclass(frozen=True)
class Kind:
    """One value of ``[model] name``.

    Attributes:
        family: what decides how it is trained, measured, decoded and reported.
        sizes: sides of the square picture that it takes, in pixels.
        separable: the 3x3 convolutions behind the backbone are depthwise separable.
        starts: published detectors that it can start from
            (:mod:`quantdet.models.detector_weights`).
    """

    family: str
    sizes: range
    separable: bool = False
    starts: tuple[str, ...] = ()


KINDS = {
    "localizer": Kind(LOCALIZER, range(32, 1025, 32)),
    "ssd": Kind(DETECTOR, range(160, 513), starts=("openimages",)),
    "ssdlite": Kind(DETECTOR, range(160, 513), separable=True, starts=("coco",)),
}
"""``[model] name`` → its kind; the first is the default."""
DEFAULT_KIND = next(iter(KINDS))


def find_kind(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in KINDS:
        raise ConfigError(f"[model] name = {name!r} is unknown; choose one of {', '.join(KINDS)}")
    return KINDS[name]


def find_family(name: str) -> str:
    """Return the family of the kind of that name.

    Raises:
        ConfigError: there is none.
    """
    return find_kind(name).family


def size_problem(name: str, size: int) -> str | None:
    """Return what is wrong with a picture size, with the next one that fits; None if it fits."""
    sizes = find_kind(name).sizes
    if size in sizes:
        return None
    fitting = sizes[min(max(0, (size - sizes.start) // sizes.step), len(sizes) - 1)]
    steps = f" in steps of {sizes.step}" if sizes.step > 1 else ""
    return (
        f"input_size {size}: {name} takes {sizes.start} to {sizes[-1]} pixels{steps}, "
        f"e.g. {fitting}"
    )
