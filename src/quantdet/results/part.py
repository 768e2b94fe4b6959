"""Parts that several result files have."""

from __future__ import annotations

from quantdet.system.result_file import Part

Bounds = tuple[float, float]
"""Ends of a 95 % interval."""


class Host(Part):
    """The machine that measured."""

    cpu: str = ""
    cores: int | None = None
    system: str = ""


class Bootstrap(Part):
    """How intervals were drawn; the confidence is 0 to 1."""

    method: str
    resamples: int
    seed: int
    confidence: float
