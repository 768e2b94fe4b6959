"""``analysis.json``: what quantization does to every layer."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from quantdet.system.result_file import Part, ResultFile


class WeightFigures(Part):
    """The kernel of a layer, see ``quant.analysis.WeightAnalysis``."""

    spread: float
    largest: float | None = None
    smallest: float | None = None
    scales: int | None = None
    sqnr_db: float | None = None
    moved_steps: float | None = None


class Sensitivity(Part):
    """Noise at the outputs if only this layer is quantized; the share is 0 to 1."""

    layer: str = ""
    output_sqnr_db: float | None = None
    share: float


class LayerNoise(Part):
    """One layer, see ``quant.analysis.LayerAnalysis``."""

    layer: str
    kind: str
    sqnr_db: float
    sqnr_own_db: float
    cosine: float | None = None
    from_weights: float = 0.0
    from_clipping: float = 0.0
    from_rounding: float = 0.0
    minimum: float
    maximum: float
    seen_minimum: float
    seen_maximum: float
    clipped: float
    range_use: float
    fixed_range: bool = False
    shares_range: tuple[str, ...] = ()
    weights: WeightFigures | None = None
    sensitivity: Sensitivity | None = None


class Finding(Part):
    """A layer that hurts; ``share`` of the noise at the outputs is 0 to 1."""

    layer: str
    share: float
    cause: str = ""
    text: str


class Analysis(ResultFile):
    """The file; ``outputs``: name → SQNR in dB."""

    split: str = ""
    pictures: int = 0
    outputs: Mapping[str, float] = {}
    layers: tuple[LayerNoise, ...] = Field(min_length=1)
    findings: tuple[Finding, ...] = ()

    def worst_first(self) -> list[LayerNoise]:
        """Return the layers by what they do to the outputs, or by their own noise."""
        return sorted(
            self.layers,
            key=lambda row: (-row.sensitivity.share if row.sensitivity else 0.0, row.sqnr_own_db),
        )
