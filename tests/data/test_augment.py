from __future__ import annotations

import builtins

import numpy as np
import pytest

from quantdet.data import augment as augment_module
from quantdet.data.augment import Augmentation, augment_batch
from quantdet.errors import DependencyError

STILL = Augmentation(zoom=(1, 1), stretch=1, flip=0, brightness=0, contrast=0, saturation=0, hue=0)
NO_COLOR = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(count=2, size=(40, 60)):
    return rng(9).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def test_nothing_allowed_changes_nothing():
    images = noise()
    batch = augment_batch(images, np.array([[1, 2, 30, 20]] * 2), rng(), (40, 60), STILL)
    np.testing.assert_array_equal(batch.images, images)
    assert [b.tolist() for b in batch.boxes_xyxy] == [[[1, 2, 30, 20]]] * 2
    assert all(v.tolist() == [True] for v in batch.visible)


def test_mirror_is_exact():
    images = noise()
    always = Augmentation(zoom=(1, 1), stretch=1, flip=1, **NO_COLOR)
    batch = augment_batch(images, [[1, 2, 30, 20], []], rng(), (40, 60), always)
    np.testing.assert_array_equal(batch.images, images[:, :, ::-1])
    assert batch.boxes_xyxy[0].tolist() == [[30, 2, 59, 20]]
    assert batch.boxes_xyxy[1].shape == (0, 4)


@pytest.mark.parametrize("out", [(96, 128), (64, 64), (150, 200)])
def test_box_stays_on_its_object(out):
    # A white rectangle on black: after any warp the box must fit what is white.
    images = np.zeros((60, 96, 128, 3), np.uint8)
    boxes = np.zeros((60, 4), np.float32)
    chance = rng(3)
    for image, box in zip(images, boxes, strict=True):
        x, y = chance.integers(5, 60), chance.integers(5, 40)
        w, h = chance.integers(20, 60), chance.integers(20, 45)
        box[:] = x, y, x + w, y + h
        image[y : y + h, x : x + w] = 255
    batch = augment_batch(images, boxes, rng(1), out, Augmentation(**NO_COLOR))
    checked = 0
    for image, found, seen in zip(batch.images, batch.boxes_xyxy, batch.visible, strict=True):
        if not seen[0]:
            continue
        white = np.argwhere(image[..., 0] > 200)
        y1, x1 = white.min(axis=0)
        y2, x2 = white.max(axis=0) + 1
        # Half-covered pixels at the rim: about one at each side, more where it is enlarged.
        np.testing.assert_allclose(found[0], [x1, y1, x2, y2], atol=1.5)
        checked += 1
    assert checked > 50


def test_chance_is_the_generators_only():
    images, boxes = noise(4), np.tile([5, 5, 30, 30], (4, 1))
    first = augment_batch(images, boxes, rng(5), (32, 32))
    again = augment_batch(images, boxes, rng(5), (32, 32))
    other = augment_batch(images, boxes, rng(6), (32, 32))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.boxes_xyxy, again.boxes_xyxy)
    assert (first.images != other.images).mean() > 0.5


def test_arguments_are_not_changed():
    images, boxes = noise(), np.array([[1, 2, 30, 20]] * 2, np.float32)
    before = images.copy(), boxes.copy()
    images.setflags(write=False)  # as in the memory-mapped cache
    augment_batch(images, boxes, rng(), (32, 32))
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(boxes, before[1])


def test_box_that_is_mostly_gone_is_flagged_and_another_window_is_tried(monkeypatch):
    tight = Augmentation(zoom=(0.3, 0.3), stretch=1, flip=0, **NO_COLOR)
    images = np.zeros((200, 50, 50, 3), np.uint8)
    corners = [[[0, 0, 10, 10], [40, 40, 50, 50]]] * 200
    batch = augment_batch(images, corners, rng(), (50, 50), tight)
    seen = np.array(batch.visible)
    # A window of 0.3 can never show both corners.
    assert not seen.all(axis=1).any()
    monkeypatch.setattr(augment_module, "_TRIES", 1)
    once = np.array(augment_batch(images, corners, rng(), (50, 50), tight).visible)
    # Measured: 0.455 with ten tries, 0.045 with one.
    assert seen.any(axis=1).mean() > 4 * once.any(axis=1).mean() > 0
    for boxes in batch.boxes_xyxy:
        assert boxes.min() >= 0
        assert boxes.max() <= 50


@pytest.mark.parametrize(
    ("setting", "low", "high"),
    [({"brightness": 0.2}, 76, 180), ({"contrast": 0.5}, 100, 156), ({"hue": 60.0}, 127, 129)],
)
def test_colours_vary_about_grey(setting, low, high):
    images = np.full((50, 4, 4, 3), 128, np.uint8)
    images[:, 0] = (220, 60, 60)
    only = Augmentation(zoom=(1, 1), stretch=1, flip=0, **(NO_COLOR | setting))
    result = augment_batch(images, [[]] * 50, rng(), (4, 4), only).images
    grey = result[:, 2]
    assert low <= grey.min() <= grey.max() <= high
    assert (grey.max(axis=-1) == grey.min(axis=-1)).all()
    assert result[:, 0].astype(int).std(axis=0).max() > 5


def test_no_saturation_left_is_grey():
    images = np.full((1, 4, 4, 3), (200, 100, 50), np.uint8)
    for seed in range(20):
        result = augment_batch(
            images,
            [[]],
            rng(seed),
            (4, 4),
            Augmentation(zoom=(1, 1), stretch=1, **(NO_COLOR | {"saturation": 1.0})),
        ).images[0, 0, 0]
        # BT.601 luma of (200, 100, 50) is 124.2 whatever the saturation.
        if result.max() < 255:
            assert result @ [0.299, 0.587, 0.114] == pytest.approx(124.2, abs=1.5)


def test_wrong_number_of_boxes_and_missing_opencv(monkeypatch):
    with pytest.raises(ValueError, match="2 images, but boxes for 1"):
        augment_batch(noise(), [[1, 2, 3, 4]], rng(), (32, 32))
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "cv2":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"OpenCV; install.*or set train\.augment=none"):
        augment_batch(noise(), [[], []], rng(), (32, 32))
