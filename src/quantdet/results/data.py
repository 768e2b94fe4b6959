"""``data.json``: facts of the data set."""

from __future__ import annotations

from collections.abc import Mapping

from quantdet.system.result_file import Part, ResultFile


class SplitFacts(Part):
    """One split of ``data.json``, see ``data.facts``."""

    pictures: int
    annotated: int | None = None
    without_objects: int = 0
    objects: int
    difficult: int = 0
    truncated: int = 0
    per_class: Mapping[str, int] = {}
    sides: tuple[int, ...] = ()
    median_side: float | None = None
    median_size_hw: tuple[int, int] | None = None


class DataFacts(ResultFile):
    """``data.json``; box sides are counted in ``side_bins`` bins of side / picture side."""

    labels: tuple[str, ...] = ()
    side_bins: int = 10
    splits: Mapping[str, SplitFacts] = {}
