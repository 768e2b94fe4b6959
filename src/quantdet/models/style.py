"""How a set of backbone weights wants to be run.

Two families of MobileNet weights exist. They share every tensor shape and differ in where
stride-2 convolutions pad, in the epsilon of BatchNorm and in the input normalisation.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Padding = Literal["same", "symmetric"]


@dataclass(frozen=True)
class BackboneStyle:
    """Conventions that the weights were trained with.

    Attributes:
        padding: "same" pads stride-2 convolutions at the bottom and right only (TensorFlow);
            "symmetric" pads one pixel on every side (PyTorch).
        epsilon: of BatchNorm.
        mean: per channel, in units of the model input real = (pixel - 128) / 127.5.
        variance: per channel, in the same units squared.
    """

    padding: Padding
    epsilon: float
    mean: tuple[float, float, float]
    variance: tuple[float, float, float]

    def to_dict(self) -> dict[str, object]:
        """Return JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BackboneStyle:
        """Inverse of :meth:`to_dict`.

        Raises:
            KeyError, TypeError, ValueError: ``values`` is not a style.
        """
        if values["padding"] not in ("same", "symmetric"):
            raise ValueError(f"padding {values['padding']!r}")
        mean, variance = values["mean"], values["variance"]
        numbers = [float(value) for value in (values["epsilon"], *mean, *variance)]
        if not all(map(math.isfinite, numbers)) or min(numbers[0], *numbers[-3:]) <= 0:
            raise ValueError("epsilon, mean or variance are out of range")
        return cls(
            padding=values["padding"],
            epsilon=float(values["epsilon"]),
            mean=(float(mean[0]), float(mean[1]), float(mean[2])),
            variance=(float(variance[0]), float(variance[1]), float(variance[2])),
        )


def _unit_range_style(
    mean: tuple[float, float, float], deviation: tuple[float, float, float]
) -> BackboneStyle:
    """Translate (p/255 - mean) / deviation.

    With p = 127.5 real + 128 it is (real - (2 mean - 256/255)) / (2 deviation).
    """
    r, g, b = (2.0 * value - 256.0 / 255.0 for value in mean)
    vr, vg, vb = ((2.0 * value) ** 2 for value in deviation)
    return BackboneStyle("symmetric", 1e-5, (r, g, b), (vr, vg, vb))


_HALF_PIXEL = -0.5 / 127.5

KERAS_STYLE = BackboneStyle("same", 1e-3, (_HALF_PIXEL,) * 3, (1.0, 1.0, 1.0))
"""keras.applications: p / 127.5 - 1, half a grey level from our input convention."""

TORCHVISION_STYLE = _unit_range_style((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision: ImageNet mean and standard deviation on pixels in [0, 1]."""
