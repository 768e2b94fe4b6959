"""A picture takes its own memory and that of the result, whatever its kind."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from quantdet.runtime import preprocess
from quantdet.runtime.preprocess import MAX_PIXELS, rgb_pixels

KINDS = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I")
# Pillow's 4 bytes a pixel, and 3 of the result; and what does not grow with the picture.
BYTES = 7.5
ELSE = 40 * 2**20

DECODE = """
import resource, sys
from pathlib import Path
from quantdet.runtime.preprocess import read_image, resize

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak()
resize(read_image(Path(sys.argv[1])), (300, 300))
print(peak() - before)
"""


def of_kind(kind):
    rng = np.random.default_rng(0)
    if kind.startswith("I"):
        values = rng.integers(0, 65536, (61, 37))
        values[:50] %= 256  # strips with 8 bits only are not taken for 8 bits
        return Image.fromarray(values.astype(np.uint16 if kind == "I;16" else np.int32))
    image = Image.fromarray(rng.integers(0, 256, (61, 37, 4), dtype=np.uint8), "RGBA")
    return image.quantize(16) if kind == "P" else image.convert(kind)


@pytest.mark.parametrize("kind", [*KINDS, "turned", "with a clear colour"])
def test_strips_change_no_pixel(kind, monkeypatch):
    image = of_kind(kind if kind in KINDS else "P")
    if kind == "turned":
        image.getexif()[0x0112] = 6
    if kind == "with a clear colour":
        image.info["transparency"] = 3
    whole = rgb_pixels(image)
    monkeypatch.setattr(preprocess, "_STRIP_PIXELS", 5 * 37)
    np.testing.assert_array_equal(rgb_pixels(image), whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
@pytest.mark.parametrize(
    ("kind", "megapixels"),
    [
        ("RGBA", 12),
        *(pytest.param(kind, 89, marks=pytest.mark.slow) for kind in ("RGBA", "RGB", "I;16", "LA")),
    ],
)
def test_memory_of_a_large_picture(tmp_path, kind, megapixels):
    side = int((megapixels * 1e6) ** 0.5)
    assert side * side < MAX_PIXELS
    Image.new(kind, (side, side)).save(tmp_path / "large.png", compress_level=1)
    command = [sys.executable, "-c", DECODE, str(tmp_path / "large.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < BYTES * side * side + ELSE
