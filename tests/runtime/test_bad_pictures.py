"""Pictures that are none, or too much: exit code 2, file and remedy named, the others not lost."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from quantdet.data.images import picture_size
from quantdet.errors import DataError
from quantdet.runtime import preprocess
from quantdet.runtime.detector import Detector
from tests.runtime.helpers import solid

SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(image, kind):
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))


# Name → (content, what is said besides the name).
BAD = {
    "huge.png": (
        lambda: encoded(Image.new("1", (10_000, 10_000)), "png"),
        "too many pixels, 10000 x 10000; make it smaller, at most 89 megapixels",
    ),
    "giant.png": (
        lambda: encoded(Image.new("1", (20_000, 10_000)), "png"),
        "too many pixels, .*200000000.*; make it smaller, at most 89 megapixels",
    ),
    "drawing.jpg": (SVG.encode, "not a picture that can be read; use JPEG, PNG, BMP"),
    "notes.jpg": (b"to do: take pictures".strip, "not a picture that can be read; use JPEG"),
    # Pillow would start Ghostscript on this one.
    "postscript.jpg": (EPS.encode, "not a picture that can be read; use JPEG"),
    "empty.jpg": (bytes, "is empty; copy it again or leave it out"),
    "cut.jpg": (
        lambda: encoded(noise(), "jpeg")[:2000],
        "picture is truncated or damaged.*; replace it or leave it out",
    ),
    "cut.gif": (
        lambda: encoded(noise(), "gif")[:2000],
        "picture is truncated or damaged.*; replace it or leave it out",
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BAD)
def test_bad_picture(quantdet, model, tmp_path, name):
    content, says = BAD[name]
    (tmp_path / name).write_bytes(content())
    code, out, err = quantdet("predict", model, tmp_path / name)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    with pytest.raises(DataError, match=rf"{name}: {says}") as raised:
        Detector(model).predict(tmp_path / name)
    assert str(raised.value) in err


def test_folder_without_pictures_and_folder_named_as_one(quantdet, model, tmp_path):
    (tmp_path / "album.jpg").mkdir()
    code, _, err = quantdet("predict", model, tmp_path / "album.jpg")
    assert code == 2
    assert "album.jpg: holds no picture" in err
    with pytest.raises(DataError, match=r"album\.jpg: cannot be opened.*give a picture file"):
        Detector(model).predict(tmp_path / "album.jpg")


def test_one_bad_picture_does_not_lose_the_others(quantdet, model, tmp_path):
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content())
    for name in ("a.jpg", "z.jpg"):
        Image.fromarray(solid((255, 0, 0), (40, 80))).save(tmp_path / name)
    (tmp_path / "folder.jpg").mkdir()
    code, out, _ = quantdet("predict", model, tmp_path, "--out", tmp_path / "out")
    assert code == 0
    lines = out.splitlines()
    assert sum(": red " in line for line in lines) == 2
    for name in BAD:
        assert any(f"{name}: not read: " in line for line in lines)
    assert lines[-1] == f"{len(BAD)} of {len(BAD) + 2} could not be read"
    saved = json.loads((tmp_path / "out" / "predictions.json").read_text("utf-8"))
    assert sum(item["error"] is None for item in saved["predictions"]) == 2


def test_animation_counts_with_its_first_frame(model, tmp_path):
    frames = [Image.fromarray(solid(color, (40, 80))) for color in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert Detector(model).predict(tmp_path / "a.gif").names() == ["red"]


def test_16_bit_picture_is_seen_like_its_8_bit_twin(model, tmp_path):
    grey = np.linspace(0, 65535, 40 * 80).reshape(40, 80).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    Image.fromarray(((grey.astype(int) + 128) // 257).astype(np.uint8)).save(tmp_path / "flat.png")
    detector = Detector(model, threshold=0)
    deep, flat = (detector.predict(tmp_path / name) for name in ("deep.png", "flat.png"))
    assert deep.to_list() == flat.to_list()


def test_the_limit_is_one_for_all(model, tmp_path, monkeypatch):
    Image.fromarray(solid((255, 0, 0), (40, 80))).save(tmp_path / "a.png")
    monkeypatch.setattr(preprocess, "MAX_PIXELS", 40 * 80 - 1)
    for look in (Detector(model).predict, picture_size):
        with pytest.raises(DataError, match=r"a\.png: .*80 x 40"):
            look(tmp_path / "a.png")
    monkeypatch.setattr(preprocess, "MAX_PIXELS", 40 * 80)
    assert Detector(model).predict(tmp_path / "a.png").names() == ["red"]
