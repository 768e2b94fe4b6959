"""Vary training pictures: one affine warp and one colour matrix per picture, boxes with it.

It works on the decoded cache, so an epoch costs no JPEG and no XML. The colour matrix holds
brightness, contrast, saturation and hue at once, because all four are linear in RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
        flip: share of pictures mirrored left to right.
        brightness: largest shift, as a share of the full range.
        contrast: largest change, as a share.
        saturation: largest change, as a share.
        hue: largest turn, in degrees.
        min_visible: a box of which less than this share is left counts as gone.
    """

    zoom: tuple[float, float] = (0.6, 1.2)
    stretch: float = 1.2
    flip: float = 0.5
    brightness: float = 0.12
    contrast: float = 0.25
    saturation: float = 0.35
    hue: float = 10.0
    min_visible: float = 0.3


@dataclass(frozen=True)
class AugmentedBatch:
    """Varied pictures with their boxes.

    Attributes:
        images: uint8 (N, h, w, 3), RGB.
        boxes_xyxy: for each picture float32 (K, 4), pixels of the new picture, clipped to it.
        visible: for each picture bool (K,); False where too little of the box is left.
    """

    images: NDArray[np.uint8]
    boxes_xyxy: tuple[Boxes, ...]
    visible: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True)
class _Window:
    """The part of a picture that is shown; x, y, width and height in its pixels."""

    x: float
    y: float
    width: float
    height: float
    flip: bool


def augment_batch(
    images: NDArray[np.uint8],
    boxes_xyxy: Sequence[Any] | NDArray[np.float32],
    rng: np.random.Generator,
    out_size_hw: tuple[int, int],
    settings: Augmentation | None = None,
) -> AugmentedBatch:
    """Crop, zoom, shift, mirror and recolour every picture at random.

    The window of a picture is drawn anew, up to ten times, while none of its boxes would stay
    visible. The result depends on the arguments and the state of ``rng`` only.

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
    size_hw = (images.shape[1], images.shape[2])
    height, width = out_size_hw
    result = np.empty((len(images), height, width, 3), dtype=np.uint8)
    moved: list[Boxes] = []
    visible: list[NDArray[np.bool_]] = []
    for index, image in enumerate(images):
        boxes = as_boxes(boxes_xyxy[index])
        window, new_boxes, seen = _choose_window(rng, boxes, size_hw, out_size_hw, how)
        warped = cv2.warpAffine(
            np.asarray(image),
            _matrix(window, out_size_hw),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(_GREY, _GREY, _GREY),
        )
        cv2.transform(warped, _color_matrix(rng, how), dst=result[index])
        moved.append(new_boxes)
        visible.append(seen)
    return AugmentedBatch(result, tuple(moved), tuple(visible))


def _choose_window(
    rng: np.random.Generator,
    boxes: Boxes,
    size_hw: tuple[int, int],
    out_size_hw: tuple[int, int],
    how: Augmentation,
) -> tuple[_Window, Boxes, NDArray[np.bool_]]:
    for _ in range(_TRIES):
        window = _draw_window(rng, size_hw, how)
        moved = _move(boxes, window, out_size_hw)
        clipped = clip(moved, out_size_hw)
        share = area(clipped) / np.maximum(area(moved), 1e-9)
        seen = share >= how.min_visible
        if seen.any() or not len(boxes):
            break
    return window, clipped, seen


def _draw_window(rng: np.random.Generator, size_hw: tuple[int, int], how: Augmentation) -> _Window:
    side = np.exp(rng.uniform(np.log(how.zoom[0]), np.log(how.zoom[1])))
    ratio = np.exp(rng.uniform(-0.5, 0.5) * np.log(how.stretch))
    height, width = size_hw[0] * side / ratio, size_hw[1] * side * ratio
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


def _import_cv2() -> Any:
    try:
        import cv2
    except ImportError:
        raise DependencyError(
            "augmentation needs OpenCV; install it with `pip install 'quantdet[train]'`, or set "
            "train.augment=false"
        ) from None
    return cv2
