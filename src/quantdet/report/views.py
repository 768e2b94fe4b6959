"""The view of each family of models: what the report says of its accuracy.

To report a new family: write a view, and its line in ``VIEWS``.
"""

from __future__ import annotations

from typing import Any, Protocol

from quantdet.config import Config
from quantdet.kinds import DETECTOR, LOCALIZER, find_family
from quantdet.report.detection import DetectionView
from quantdet.report.localizer import LocalizerView
from quantdet.report.verdict import Check, Tile, Verdict


class View(Protocol):
    """What is particular to one family.

    Attributes:
        template: of the accuracy section, which shows what ``sections`` returns.
    """

    template: str

    def architecture(self, config: Config) -> str:
        """Return what kind of model it is."""

    def asked(self, config: Config) -> str:
        """Return which objects the model learned."""

    def verdict(self, metrics: Any) -> Verdict | None:
        """Return the headline, None unless both float and uint8 were measured."""

    def tiles(self, metrics: Any) -> list[Tile]:
        """Return the figures of the headline."""

    def checks(self, metrics: Any) -> list[Check]:
        """Return what must hold before a model is shipped, as far as it was measured."""

    def sections(self, metrics: Any) -> dict[str, object]:
        """Return what the template shows."""

    def classes(self, metrics: Any) -> dict[str, object] | None:
        """Return what the template of the classes shows, None if nothing is known of them."""


VIEWS: dict[str, View] = {
    LOCALIZER: LocalizerView(),
    DETECTOR: DetectionView(),
}
"""Family → view."""


def find_view(name: str) -> View:
    """Return the view of the kind of that name.

    Raises:
        ConfigError: there is none.
    """
    return VIEWS[find_family(name)]
