"""Vary training pictures: an affine warp for each part, a colour matrix for each picture.

It works on the decoded cache, so an epoch costs no JPEG and no XML. The colour matrix holds
brightness, contrast, saturation and hue at once, because all four are linear in RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, area, as_boxes, clip
from quantdet.errors import DependencyError

_GREY = 128
_TRIES = 10
# Luma of ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114])
_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)


@dataclass(frozen=True)
class Augmentation:
    """How far a picture may be varied.

    Attributes:
        zoom: smallest and largest side of the window that is shown, as a share of the
            picture's. Above 1 the picture is framed in grey.
        stretch: largest change of the aspect ratio, as a factor over 1.
        whole: share of pictures that are shown whole.
        expand: share of pictures that are framed in grey, and the largest side of the frame in
            sides of the picture.
        covered: of one of these, drawn for each picture, the window must show at least that
            share of some object (TF Object Detection API, ``ssd_random_crop``).
        mosaic: share of pictures that are put together of four (Bochkovskiy et al. 2020,
            arXiv:2004.10934, section 3.3).
        mosaic_zoom: like zoom, for the parts of a mosaic; at 1 they keep their size.
        flip: share of pictures mirrored left to right.
        brightness: largest shift, as a share of the full range.
        contrast: largest change, as a share.
        saturation: largest change, as a share.
        hue: largest turn, in degrees.
        min_visible: a box of which less than this share is left counts as gone.
    """

    zoom: tuple[float, float] = (0.6, 1.2)
    stretch: float = 1.2
    whole: float = 0.0
    expand: tuple[float, float] = (0.0, 1.0)
    covered: tuple[float, ...] = (0.3,)
    mosaic: float = 0.0
    mosaic_zoom: tuple[float, float] = (0.8, 1.8)
    flip: float = 0.5
    brightness: float = 0.12
    contrast: float = 0.25
    saturation: float = 0.35
    hue: float = 10.0
    min_visible: float = 0.3


_SSD = Augmentation(
    zoom=(0.4, 1.0),
    stretch=1.6,
    whole=0.15,
    expand=(0.2, 1.8),
    covered=(0.0, 0.3, 0.5, 0.7, 0.9),
)

AUGMENTATIONS: dict[str, Augmentation] = {
    "mild": Augmentation(),
    "ssd": _SSD,
    "ssd_mosaic": replace(_SSD, mosaic=0.35, expand=(0.1, 1.6)),
}
"""[train] augment → settings; "none" is the other choice."""


@dataclass(frozen=True)
class AugmentedBatch:
    """Varied pictures with their boxes.

    Attributes:
        images: uint8 (N, h, w, 3), RGB.
        boxes_xyxy: for each picture float32 (K, 4), pixels of the new picture, clipped to it.
        visible: for each picture bool (K,); False where too little of the box is left.
        origins: for each picture int64 (K, 2): the picture that a box comes from, and its
            number there.
    """

    images: NDArray[np.uint8]
    boxes_xyxy: tuple[Boxes, ...]
    visible: tuple[NDArray[np.bool_], ...]
    origins: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True)
class _Window:
    """The part of a picture that is shown; x, y, width and height in its pixels."""

    x: float
    y: float
    width: float
    height: float
    flip: bool


@dataclass(frozen=True)
class _Part:
    """Where a picture goes in the result: left, top, width and height in pixels."""

    source: int
    x: int
    y: int
    width: int
    height: int


def augment_batch(
    images: NDArray[np.uint8],
    boxes_xyxy: Sequence[Boxes] | NDArray[np.float32],
    rng: np.random.Generator,
    out_size_hw: tuple[int, int],
    settings: Augmentation | None = None,
) -> AugmentedBatch:
    """Crop, zoom, shift, mirror, recolour and combine pictures at random.

    The window of a picture is drawn anew, up to ten times, while it shows too little of its
    boxes. The result depends on the arguments and the state of ``rng`` only.

    Args:
        images: uint8 (N, H, W, 3), RGB; not changed.
        boxes_xyxy: for each picture its boxes, (K, 4) or (4,), in pixels of ``images``.
        rng: source of chance.
        out_size_hw: (height, width) of the result.
        settings: how far; None takes the defaults of :class:`Augmentation`.

    Raises:
        DependencyError: OpenCV is not installed.
        ValueError: not one list of boxes for each picture.
    """
    cv2 = _import_cv2()
    how = settings or Augmentation()
    if len(images) != len(boxes_xyxy):
        raise ValueError(f"{len(images)} images, but boxes for {len(boxes_xyxy)}")
    result = np.full((len(images), *out_size_hw, 3), _GREY, dtype=np.uint8)
    painter = _Painter(images, [as_boxes(boxes) for boxes in boxes_xyxy], rng, how)
    made = []
    for index in range(len(images)):
        parts = _draw_parts(rng, index, len(images), out_size_hw, how)
        placed = [painter.paint(result[index], part) for part in parts]
        result[index] = cv2.transform(result[index], _color_matrix(rng, how))
        made.append([np.concatenate(values) for values in zip(*placed, strict=True)])
    return AugmentedBatch(
        result,
        tuple(boxes for boxes, _, _ in made),
        tuple(seen for _, seen, _ in made),
        tuple(origins for _, _, origins in made),
    )


def _draw_parts(
    rng: np.random.Generator,
    index: int,
    count: int,
    out_size_hw: tuple[int, int],
    how: Augmentation,
) -> list[_Part]:
    height, width = out_size_hw
    if not how.mosaic or rng.random() >= how.mosaic:
        return [_Part(index, 0, 0, width, height)]
    x, y = round(width * rng.uniform(0.35, 0.65)), round(height * rng.uniform(0.35, 0.65))
    corners = [(0, 0, x, y), (x, 0, width - x, y), (0, y, x, height - y)]
    corners.append((x, y, width - x, height - y))
    sources = [index, *(int(other) for other in rng.integers(0, count, 3))]
    return [_Part(source, *corner) for source, corner in zip(sources, corners, strict=True)]


@dataclass(frozen=True)
class _Painter:
    """Draws windows of pictures."""

    images: NDArray[np.uint8]
    boxes_xyxy: Sequence[Boxes]
    rng: np.random.Generator
    how: Augmentation

    def paint(
        self, canvas: NDArray[np.uint8], part: _Part
    ) -> tuple[Boxes, NDArray[np.bool_], NDArray[np.int64]]:
        """Draw a window of a picture into its part of ``canvas``.

        Returns:
            Boxes in pixels of the canvas, whether each is visible, and where it comes from.
        """
        image, boxes = self.images[part.source], self.boxes_xyxy[part.source]
        share_hw = (part.height / canvas.shape[0], part.width / canvas.shape[1])
        # At zoom 1 a window has the part's share of the picture: things keep size and shape.
        unit_hw = (image.shape[0] * share_hw[0], image.shape[1] * share_hw[1])
        how = self.how if share_hw == (1.0, 1.0) else _mosaic_settings(self.how)
        part_hw = (part.height, part.width)
        sizes = ((image.shape[0], image.shape[1]), unit_hw, part_hw)
        window, moved, seen = _choose_window(self.rng, boxes, sizes, how)
        canvas[part.y : part.y + part.height, part.x : part.x + part.width] = _warp(
            image, window, part_hw
        )
        shift = np.array([part.x, part.y, part.x, part.y], np.float32)
        origins = np.stack([np.full(len(boxes), part.source), np.arange(len(boxes))], axis=-1)
        return moved + shift, seen, origins.astype(np.int64)


def _mosaic_settings(how: Augmentation) -> Augmentation:
    return replace(how, zoom=how.mosaic_zoom, stretch=1.2, whole=0.0, expand=(0.0, 1.0))


def _warp(
    image: NDArray[np.uint8], window: _Window, out_size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    cv2 = _import_cv2()
    warped: NDArray[np.uint8] = cv2.warpAffine(
        np.asarray(image),
        _matrix(window, out_size_hw),
        out_size_hw[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(_GREY, _GREY, _GREY),
    )
    return warped


_Sizes = tuple[tuple[int, int], tuple[float, float], tuple[int, int]]
"""(height, width) of the picture, of a window of zoom 1 in it, and of the part it fills."""


def _choose_window(
    rng: np.random.Generator, boxes: Boxes, sizes: _Sizes, how: Augmentation
) -> tuple[_Window, Boxes, NDArray[np.bool_]]:
    wanted = how.covered[int(rng.integers(len(how.covered)))]
    for _ in range(_TRIES):
        window = _draw_window(rng, sizes, how)
        moved = _move(boxes, window, sizes[2])
        clipped = clip(moved, sizes[2])
        share = area(clipped) / np.maximum(area(moved), 1e-9)
        if (share >= max(wanted, 1e-6)).any() or not len(boxes) or not wanted:
            break
    return window, clipped, share >= how.min_visible


def _draw_window(rng: np.random.Generator, sizes: _Sizes, how: Augmentation) -> _Window:
    size_hw, unit_hw, _ = sizes
    kind = rng.random()
    if kind < how.whole:
        side, ratio = 1.0, 1.0
    else:
        framed = kind < how.whole + how.expand[0]
        low, high = (1.0, how.expand[1]) if framed else how.zoom
        side = np.exp(rng.uniform(np.log(low), np.log(high)))
        ratio = np.exp(rng.uniform(-0.5, 0.5) * np.log(how.stretch))
    height, width = unit_hw[0] * side / ratio, unit_hw[1] * side * ratio
    # Where the window is larger than the picture this keeps the picture inside the window.
    x = rng.uniform(0, 1) * (size_hw[1] - width)
    y = rng.uniform(0, 1) * (size_hw[0] - height)
    return _Window(x, y, width, height, bool(rng.random() < how.flip))


def _move(boxes: Boxes, window: _Window, out_size_hw: tuple[int, int]) -> Boxes:
    height, width = out_size_hw
    origin = np.array([window.x, window.y, window.x, window.y], dtype=np.float64)
    scale_x, scale_y = width / window.width, height / window.height
    moved = (boxes - origin) * np.array([scale_x, scale_y, scale_x, scale_y])
    if window.flip:
        moved = np.stack([width - moved[:, 2], moved[:, 1], width - moved[:, 0], moved[:, 3]], 1)
    return as_boxes(moved)


def _matrix(window: _Window, out_size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Return the 2x3 matrix from old to new pixel centres.

    Boxes count from the edge of a pixel, OpenCV from its centre: edge = centre + 0.5.
    """
    height, width = out_size_hw
    scale_x, scale_y = width / window.width, height / window.height
    shift_x, shift_y = -window.x * scale_x, -window.y * scale_y
    if window.flip:
        scale_x, shift_x = -scale_x, width - shift_x
    return np.array(
        [
            [scale_x, 0.0, shift_x + 0.5 * scale_x - 0.5],
            [0.0, scale_y, shift_y + 0.5 * scale_y - 0.5],
        ]
    )


def _color_matrix(rng: np.random.Generator, how: Augmentation) -> NDArray[np.float64]:
    """Return the 3x4 matrix of a random recolouring of RGB in 0–255."""
    shift = 255 * rng.uniform(-how.brightness, how.brightness)
    contrast = 1 + rng.uniform(-how.contrast, how.contrast)
    saturation = 1 + rng.uniform(-how.saturation, how.saturation)
    turn = np.deg2rad(rng.uniform(-how.hue, how.hue))
    rotation = np.eye(3)
    rotation[1:, 1:] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    hue = _YIQ_TO_RGB @ rotation @ _RGB_TO_YIQ
    grey = np.broadcast_to(_LUMA, (3, 3))
    linear = contrast * (grey + saturation * (hue - grey))
    offset = np.full((3, 1), shift + _GREY * (1 - contrast))
    return np.concatenate([linear, offset], axis=1)


def _import_cv2() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise DependencyError(
            "augmentation needs OpenCV; install it with `pip install 'quantdet[train]'`, or set "
            "train.augment=none"
        ) from None
    return cv2
