"""The nets that a plan looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from quantdet.kinds import DETECTOR, LOCALIZER, find_kind

WIDTHS = (0.35, 0.5, 0.75, 1.0)
SIZES = (96, 128, 160, 192, 224, 256, 300)
_PRESETS = {LOCALIZER: "recommended", DETECTOR: "ssd"}
"""Family → the preset that trains it."""
_NARROW_PRESETS = {DETECTOR: "mcu"}
"""Family → the preset that trains its nets of a width below 1, where it is another one."""
_STARTS = {"ssdlite": "voc-ssd300"}
"""Kind → weights to start from, of any width; otherwise those of the backbone."""


@dataclass(frozen=True)
class Net:
    """A net that can be trained.

    Attributes:
        name: kind, as ``[model] name``.
        width: of the backbone.
        input_size: side of the picture in pixels.
    """

    name: str
    width: float
    input_size: int

    @property
    def preset(self) -> str:
        """The preset that trains it."""
        family = find_kind(self.name).family
        narrow = _NARROW_PRESETS if self.width < 1 else {}
        return narrow.get(family, _PRESETS[family])

    @property
    def overrides(self) -> list[str]:
        """What ``--set`` changes of the preset."""
        return [
            f"model.name={self.name}",
            f"model.width={self.width:g}",
            f"model.input_size={self.input_size}",
            f"model.weights={_STARTS.get(self.name, 'imagenet')}",
        ]


def nets(kinds: Iterable[str]) -> Iterator[list[Net]]:
    """Yield the nets of each kind and width, small pictures first; of a kind narrow ones first.

    Raises:
        ConfigError: a kind is not known.
    """
    for name, width in product(kinds, WIDTHS):
        sizes = find_kind(name).sizes
        yield [Net(name, width, size) for size in SIZES if size in sizes]
