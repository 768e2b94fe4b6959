"""What objects are drawn with."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from quantdet.data.scenes.noise import Color

Point = tuple[float, float]
GLASS = ((0.55, 0.68, 0.78), (0.2, 0.25, 0.32), (0.8, 0.87, 0.9), (0.95, 0.85, 0.5))


class Pen:
    """Draws on an RGBA square of ``size_px``; coordinates are in [0, 1], y down."""

    def __init__(self, size_px: int) -> None:
        self.image = Image.new("RGBA", (size_px, size_px), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)
        self._size = size_px

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(p) for p in points], fill=_rgba(color))

    def box(
        self, corners: tuple[float, float, float, float], color: Color, radius: float = 0
    ) -> None:
        """Fill a rectangle x1, y1, x2, y2, its corners rounded by ``radius``."""
        x1, y1, x2, y2 = (value * self._size for value in corners)
        if x2 > x1 and y2 > y1:
            self._draw.rounded_rectangle((x1, y1, x2, y2), radius * self._size, fill=_rgba(color))

    def ellipse(self, center: Point, radii: Point, color: Color) -> None:
        """Fill an upright ellipse."""
        (x, y), (rx, ry) = center, radii
        corners = (x - rx, y - ry, x + rx, y + ry)
        self._draw.ellipse([value * self._size for value in corners], fill=_rgba(color))

    def line(self, points: Sequence[Point], color: Color, width: float) -> None:
        """Draw a line through points."""
        pixels = max(1, round(width * self._size))
        self._draw.line([self._at(p) for p in points], _rgba(color), pixels, joint="curve")

    def _at(self, point: Point) -> Point:
        return point[0] * self._size, point[1] * self._size


def _rgba(color: Color) -> tuple[int, int, int, int]:
    red, green, blue = (round(255 * min(max(channel, 0.0), 1.0)) for channel in color)
    return red, green, blue, 255
