"""Feature maps and anchors of the SSD family, as small tables.

Source: Liu et al. 2016 (arXiv:1512.02325), section 2.2, as in the TF Object Detection API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantdet.runtime.anchors import Shape, shape_hw, ssd_shapes
from quantdet.runtime.contract import AnchorMap


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


_EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
_CLASSIC = ssd_shapes(6)
# For objects under a tenth of the picture.
_SMALL = (shape_hw(0.05, 1.0), shape_hw(0.1, 2.0), shape_hw(0.1, 0.5))

LAYOUTS: dict[str, SsdLayout] = {
    "classic": SsdLayout((16, 32), _EXTRAS, _CLASSIC),
    "small_objects": SsdLayout((16, 32), _EXTRAS, ((*_CLASSIC[0], *_SMALL), *_CLASSIC[1:])),
}
"""[model] anchors → layout. "classic" at 300 pixels has 1083+600+150+54+24+6 = 1917 anchors."""
