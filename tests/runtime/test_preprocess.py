import warnings

import numpy as np
import pytest
from PIL import Image

from quantdet.errors import DataError, ModelError
from quantdet.runtime.contract import InputSpec, TensorSpec
from quantdet.runtime.preprocess import fit_picture, quantize_input, read_image, resize

EVERY_PIXEL = np.arange(256, dtype=np.uint8)


def spec(dtype, scale=1 / 127.5, zero_point=128, offset=128.0, pixel_scale=127.5):
    return InputSpec(
        tensor=TensorSpec(
            name="image", shape=(1, 4, 4, 3), dtype=dtype, scale=scale, zero_point=zero_point
        ),
        size_hw=(4, 4),
        pixel_offset=offset,
        pixel_scale=pixel_scale,
    )


def test_uint8_of_matching_scale_is_the_pixels_themselves():
    assert quantize_input(EVERY_PIXEL, spec("uint8")) is EVERY_PIXEL
    # The file keeps scales as float32.
    assert quantize_input(EVERY_PIXEL, spec("uint8", float(np.float32(1 / 127.5)))) is EVERY_PIXEL


def test_int8_is_the_pixels_less_128():
    q = quantize_input(EVERY_PIXEL, spec("int8", zero_point=0))
    assert q.dtype == np.int8
    np.testing.assert_array_equal(q, EVERY_PIXEL.astype(int) - 128)


def test_float32_is_the_real_value():
    real = quantize_input(EVERY_PIXEL, spec("float32", scale=0.0, zero_point=0))
    assert real.dtype == np.float32
    np.testing.assert_allclose(real, (EVERY_PIXEL - 128.0) / 127.5, rtol=1e-6)


def test_float32_equals_dequantized_uint8():
    real = quantize_input(EVERY_PIXEL, spec("float32"))
    q = quantize_input(EVERY_PIXEL, spec("uint8")).astype(np.float64)
    np.testing.assert_allclose(real, (q - 128) / 127.5, atol=1e-7)


def test_another_scale_rounds_and_clips():
    q = quantize_input(EVERY_PIXEL, spec("uint8", scale=1 / 255, zero_point=128))
    # real = (p - 128) / 127.5, so q = 2 (p - 128) + 128, cut to 0…255.
    np.testing.assert_array_equal(q, np.clip(2 * (EVERY_PIXEL.astype(int) - 128) + 128, 0, 255))


def test_shape_is_kept_and_input_is_not_changed():
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    before = pixels.copy()
    assert quantize_input(pixels, spec("int8", zero_point=0)).shape == (4, 4, 3)
    np.testing.assert_array_equal(pixels, before)


def test_integer_input_without_scale():
    with pytest.raises(ModelError, match=r"input 'image' is uint8 but has scale 0\.0"):
        quantize_input(EVERY_PIXEL, spec("uint8", scale=0.0))


def test_resize_is_pillow_bilinear_and_squashes():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)
    small = resize(image, (8, 16))
    expected = Image.fromarray(image).resize((16, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(small, np.asarray(expected))
    assert small.shape == (8, 16, 3)


def test_resize_to_the_same_size_changes_no_pixel(red):
    np.testing.assert_array_equal(resize(red, (40, 80)), red)


def test_dark_16_bit_picture_stays_dark(tmp_path):
    values = np.array([[0, 200, 257], [32896, 65278, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "dark.png")
    grey = read_image(tmp_path / "dark.png")[..., 0]
    np.testing.assert_array_equal(grey, [[0, 1, 1], [128, 254, 255]])


def test_transparent_palette_shows_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "p.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "p.png")[0], [[255] * 3, [200, 0, 0]])


def test_exif_turn(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (20, 10, 3)


def test_floating_point_picture(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f\.tif.*floating-point.*8 bits"):
        read_image(tmp_path / "f.tif")


def test_missing_folder_and_other_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.jpg: picture not found; check the path"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="give a picture file"):
        read_image(tmp_path)
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match=r"text\.jpg: not a picture.*JPEG, PNG, BMP"):
        read_image(tmp_path / "text.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif"])
def test_truncated_file_is_an_error_wherever_it_ends(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for share in (0.0, 0.05, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match=rf"cut\.{suffix}: "):
            read_image(path)


def test_decompression_bomb(tmp_path, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"bomb\.png: too many pixels.*smaller"):
            read_image(tmp_path / "bomb.png")


def test_int16_input():
    tensor = TensorSpec(name="image", shape=(1, 1, 2, 3), dtype="int16", scale=1 / 32768)
    spec = InputSpec(tensor=tensor, size_hw=(1, 2))
    q = quantize_input(np.array([[[0, 128, 255], [1, 2, 3]]], np.uint8), spec)
    assert q.dtype == np.int16
    # (0 - 128) / 127.5 is below -1, where the integers end; so does (255 - 128) / 127.5 = 0.996.
    assert q[0, 0].tolist() == [-32768, 0, round(127 / 127.5 * 32768)]


def test_bgr_turns_the_channels_round():
    tensor = TensorSpec(name="image", shape=(1, 1, 1, 3), dtype="float32")
    spec = InputSpec(
        tensor=tensor, size_hw=(1, 1), color_order="BGR", pixel_offset=0, pixel_scale=1
    )
    assert quantize_input(np.uint8([[[1, 2, 3]]]), spec).tolist() == [[[3, 2, 1]]]


@pytest.mark.parametrize(("size_hw", "rows", "columns"), [((20, 80), 8, 32), ((90, 30), 32, 11)])
def test_letterbox_puts_the_picture_in_the_middle(size_hw, rows, columns):
    tensor = TensorSpec(name="image", shape=(1, 32, 32, 3), dtype="float32")
    spec = InputSpec(tensor=tensor, size_hw=(32, 32), letterbox=114)
    found = fit_picture(np.full((*size_hw, 3), 200, np.uint8), spec)
    assert found.shape == (32, 32, 3)
    inside = (found == 200).all(axis=2)
    assert (inside.any(axis=1).sum(), inside.any(axis=0).sum()) == (rows, columns)
    assert inside.sum() == rows * columns
    assert (found[~inside] == 114).all()
    places = np.argwhere(inside)
    (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
    assert abs(top - (31 - bottom)) <= 1
    assert abs(left - (31 - right)) <= 1
