"""Every figure of accuracy once: where it stands, what it is called, how it is shown.

Terminal, report, comparison and benchmarks read these tables, so that a figure has one name and
one number of digits everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantdet.kinds import DETECTOR, LOCALIZER
from quantdet.results.numbers import NOTHING, difference, percent, plain
from quantdet.results.part import Bounds
from quantdet.system.result_file import Part

Unit = Literal["%", ""]


@dataclass(frozen=True)
class Figure:
    """One figure of a form of the model; more is better.

    Attributes:
        key: attribute of the row, or "mapping.name" for an entry of one.
        title: what people read.
        unit: "%" is of a share from 0 to 1.
        digits: behind the point.
    """

    key: str
    title: str
    unit: Unit = "%"
    digits: int = 1

    @property
    def header(self) -> str:
        """Title and unit, for the head of a column."""
        return f"{self.title} {self.unit}".rstrip()

    @property
    def points(self) -> str:
        """What a change is counted in: points of a percentage, or the figure's own unit."""
        return "points" if self.unit else ""

    def value(self, row: Part | None) -> float | None:
        """Return the figure of a row, None where it was not measured."""
        place, _, name = self.key.partition(".")
        found = getattr(row, place, None)
        value: float | None = found.get(name) if name and found is not None else found
        return value

    def interval(self, row: Part | None) -> Bounds | None:
        """Return the 95 % interval of a row, None where it was not measured."""
        bounds: Bounds | None = getattr(row, f"{self.key}_interval", None)
        return bounds

    def text(self, row: Part | None) -> str:
        """Return the figure of a row as text, without its unit."""
        return self.number(self.value(row))

    def number(self, value: float | None) -> str:
        """Return a value of the figure as text, without its unit."""
        return percent(value, self.digits) if self.unit else plain(value, self.digits)

    def between(self, row: Part | None) -> str:
        """Return the interval of a row as text."""
        bounds = self.interval(row)
        return "–".join(map(self.number, bounds)) if bounds else NOTHING

    def change(self, value: float | None) -> str:
        """Return a difference of two values as text, in :attr:`points`."""
        if value is None:
            return NOTHING
        return difference(100 * value) if self.unit else difference(value, self.digits)

    def changes(self, bounds: Bounds) -> str:
        """Return the interval of a difference as text."""
        return " … ".join(map(self.change, bounds))


VOC07 = Figure("map_voc07", "VOC07 mAP")
VOC10 = Figure("map_voc10", "VOC10 mAP")
COCO_AP = Figure("coco.ap", "COCO AP")
COCO = (
    COCO_AP,
    Figure("coco.ap50", "AP50"),
    Figure("coco.ap75", "AP75"),
    Figure("coco.ap_small", "AP small"),
    Figure("coco.ap_medium", "AP medium"),
    Figure("coco.ap_large", "AP large"),
    Figure("coco.ar1", "AR1"),
    Figure("coco.ar10", "AR10"),
    Figure("coco.ar100", "AR100"),
)
CLASS_ACCURACY = Figure("class_accuracy", "right class")
MEAN_IOU = Figure("mean_iou", "mean IoU", unit="", digits=3)
HIT_SHARE = Figure("hit_share", "right class and IoU ≥ 0.5")


PRECISION = Figure("precision", "precision")
RECALL = Figure("recall", "recall")
F1 = Figure("f1", "F1")
SHOWN = (PRECISION, RECALL, F1)
"""At the threshold that people get, of every family."""


@dataclass(frozen=True)
class FamilyFigures:
    """The figures of one family of models.

    Attributes:
        headline: of a form of the model, with intervals; the first decides.
        more: of a form of the model, without.
        kernels: of a kernel set: how far it answers as simulated, and how well.
    """

    headline: tuple[Figure, ...]
    more: tuple[Figure, ...]
    kernels: tuple[Figure, ...]


FIGURES = {
    LOCALIZER: FamilyFigures(
        headline=(CLASS_ACCURACY, MEAN_IOU),
        more=(HIT_SHARE,),
        kernels=(Figure("same_class", "same class"), CLASS_ACCURACY),
    ),
    DETECTOR: FamilyFigures(
        headline=(VOC07, VOC10),
        more=COCO[:3],
        kernels=(Figure("same_detections", "same detections"), VOC07),
    ),
}
"""Family → its figures."""
