"""Feature maps and anchors of the SSD family, as small tables. Pure Python.

Sources: Liu et al. 2016 (arXiv:1512.02325), section 2.2; the TF Object Detection API's
``ssd_anchor_generator`` with ``reduce_boxes_in_lowest_layer``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from quantdet.runtime.contract import AnchorMap

Shape = tuple[float, float]


@dataclass(frozen=True)
class SsdLayout:
    """The maps of a detector and the anchors on them.

    Attributes:
        backbone_strides: strides of the backbone's maps that are used.
        extras: for each further map, at half the size of the one before, the channels of its
            1x1 reduction and of its 3x3 convolution at width 1.
        shapes_hw: for each map the (height, width) of its anchors as fractions of the picture.
        box_coder: factors of the encoded centre y, x, height and width.
    """

    backbone_strides: tuple[int, ...]
    extras: tuple[tuple[int, int], ...]
    shapes_hw: tuple[tuple[Shape, ...], ...]
    box_coder: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)


def anchor_maps(layout: SsdLayout, sizes_hw: Sequence[tuple[int, int]]) -> tuple[AnchorMap, ...]:
    """Return the anchors of maps of ``sizes_hw`` = (rows, columns) cells."""
    return tuple(
        AnchorMap(rows=rows, cols=cols, shapes_hw=shapes)
        for (rows, cols), shapes in zip(sizes_hw, layout.shapes_hw, strict=True)
    )


def shape_hw(scale: float, ratio: float) -> Shape:
    """Return height and width of an anchor: area ``scale²``, width / height = ``ratio``."""
    return scale / math.sqrt(ratio), scale * math.sqrt(ratio)


def _scales(low: float, high: float, count: int) -> list[float]:
    """Return even steps from ``low`` to ``high``, and 1 after them (equation 4)."""
    return [low + (high - low) * k / (count - 1) for k in range(count)] + [1.0]


def _upper_maps(scales: Sequence[float]) -> tuple[tuple[Shape, ...], ...]:
    return tuple(
        (
            *(shape_hw(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)),
            shape_hw(math.sqrt(scale * following), 1.0),
        )
        for scale, following in itertools.pairwise(scales[1:])
    )


_EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
_CLASSIC = _scales(0.2, 0.95, 6)

LAYOUTS: dict[str, SsdLayout] = {
    "classic": SsdLayout(
        backbone_strides=(16, 32),
        extras=_EXTRAS,
        shapes_hw=(
            (shape_hw(0.1, 1.0), shape_hw(0.2, 2.0), shape_hw(0.2, 0.5)),
            *_upper_maps(_CLASSIC),
        ),
    ),
    # Three more anchors per cell on the finest map, for objects under a tenth of the picture.
    "small_objects": SsdLayout(
        backbone_strides=(16, 32),
        extras=_EXTRAS,
        shapes_hw=(
            (
                shape_hw(0.1, 1.0),
                shape_hw(0.2, 2.0),
                shape_hw(0.2, 0.5),
                shape_hw(0.05, 1.0),
                shape_hw(0.1, 2.0),
                shape_hw(0.1, 0.5),
            ),
            *_upper_maps(_CLASSIC),
        ),
    ),
}
"""[model] anchors → layout. "classic" at 300 pixels has 1083+600+150+54+24+6 = 1917 anchors."""
