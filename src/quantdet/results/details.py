"""``details.json``: what belongs to ``metrics.json`` and is too long for it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from quantdet.results.part import Bootstrap
from quantdet.system.result_file import Part, ResultFile


class VariantDetails(Part):
    """Errors at the threshold that people see; ``draws`` are of the bootstrap."""

    errors: Mapping[str, int] = {}
    confusion: tuple[tuple[int, ...], ...] = ()
    draws: Mapping[str, tuple[float | None, ...]] = {}


class Details(ResultFile):
    """``details.json``, see ``evaluate.details``."""

    pictures: int | None = None
    test_fingerprint: str = ""
    labels: tuple[str, ...]
    thresholds: Mapping[str, float] = {}
    bootstrap: Bootstrap | None = None
    variants: Mapping[str, VariantDetails] = {}

    @model_validator(mode="after")
    def _square(self) -> Details:
        size = len(self.labels) + 1
        for name, item in self.variants.items():
            if item.confusion and {len(item.confusion), *map(len, item.confusion)} != {size}:
                raise ValueError(f"confusion of {name} is not {size} × {size}")
        return self
