from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from quantdet.data.images import picture_size, read_image, resize
from quantdet.errors import DataError

GRADIENT = np.linspace(0, 255, 40 * 30 * 3).reshape(40, 30, 3).astype(np.uint8)


def save(path, image, **options):
    image.save(path, **options)
    return path


def test_rgb_is_read_as_written(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(GRADIENT))
    np.testing.assert_array_equal(read_image(path), GRADIENT)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "I;16"])
def test_every_mode_becomes_rgb_of_the_same_brightness(tmp_path, mode):
    grey = np.full((6, 8), 255, np.uint8)
    grey[:, :4] = 0
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    path = save(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), image)
    pixels = read_image(path)
    assert pixels.shape == (6, 8, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, np.repeat(grey[..., None], 3, 2), atol=3)


def test_transparent_parts_show_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (10, 20, 30, 255)
    pixels = read_image(save(tmp_path / "a.png", Image.fromarray(rgba)))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert pixels[3, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_and_the_header_size_agrees(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    marked = np.zeros((40, 30, 3), np.uint8)
    marked[:20, :15] = 255
    path = save(tmp_path / "a.png", Image.fromarray(marked), exif=exif)
    pixels = read_image(path)
    assert picture_size(path) == pixels.shape[:2]
    height, width = pixels.shape[:2]
    assert (height, width) == ((30, 40) if orientation > 4 else (40, 30))
    # Corner of the first stored pixel: EXIF 2.32, tag 274.
    rows = {1: 0, 2: 0, 3: -1, 4: -1, 5: 0, 6: 0, 7: -1, 8: -1}
    columns = {1: 0, 2: -1, 3: -1, 4: 0, 5: 0, 6: -1, 7: -1, 8: 0}
    assert pixels[rows[orientation], columns[orientation]].tolist() == [255, 255, 255]
    assert (pixels > 0).mean() == pytest.approx(0.25)


def test_truncated_picture(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(GRADIENT).resize((300, 400)))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"a\.jpg: picture is truncated or damaged.*replace it"):
        read_image(path)


def test_not_a_picture(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_text("hello")
    with pytest.raises(DataError, match=r"a\.jpg: not a picture.*use JPEG"):
        read_image(path)
    with pytest.raises(DataError, match=r"a\.jpg: not a readable picture.*replace it"):
        picture_size(path)
    with pytest.raises(DataError, match=r"b\.jpg: picture not found"):
        read_image(tmp_path / "b.jpg")


def test_decompression_bomb(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", Image.fromarray(GRADIENT))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"a\.png: too many pixels.*make it smaller"):
        read_image(path)


def test_resize_keeps_the_mean_and_does_nothing_at_the_same_size():
    # A filter that averages keeps the mean; point sampling would not on noise.
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    small = resize(noise, (20, 25))
    assert small.shape == (20, 25, 3)
    assert small.mean() == pytest.approx(noise.mean(), abs=1.5)
    assert small.std() < 15
    np.testing.assert_array_equal(resize(noise, (200, 200)), noise)
