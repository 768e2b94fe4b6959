"""The page's own arithmetic against Pillow and quantdet.runtime, in the browser that runs it."""

import base64
import io
import json
import math
import struct
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image

from quantdet.errors import ModelError
from quantdet.runtime.contract import AnchorMap, InputSpec, TensorSpec
from quantdet.runtime.decoders import decode
from quantdet.runtime.nms import class_wise_nms
from quantdet.runtime.preprocess import decode_image, quantize_input, resize
from tests.runtime.helpers import plain_contract

SIZES = (
    *((1, 1, 300, 300), (300, 300, 1, 1), (2, 3, 5, 7), (1, 640, 224, 224), (640, 1, 224, 224)),
    *((480, 640, 300, 300), (375, 500, 300, 300), (300, 500, 300, 300), (500, 300, 300, 300)),
    *((299, 301, 300, 300), (540, 960, 320, 320), (97, 89, 224, 224), (224, 224, 224, 224)),
)
ARRAYS = {"uint8": "Uint8Array", "int8": "Int8Array", "float32": "Float32Array"}


@pytest.fixture(scope="module")
def script(browser, address):
    """Call a function of a module of the page."""
    page = browser.new_page()
    page.goto(address)

    def call(body, **arguments):
        return page.evaluate(f"async (given) => {{ {body} }}", arguments)

    yield call
    page.close()


def packed(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


UNPACK = "const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));"


def random_sizes(count):
    rng = np.random.default_rng(7)
    return [tuple(int(n) for n in np.exp(rng.uniform(0, 6.2, 4))) for _ in range(count)]


def starts_with_height(height, width, new_height, new_width):
    """Whether Pillow 13 does; earlier ones never did, and round otherwise."""
    return new_height < height and height - new_height > 2 * (width - new_width)


@pytest.mark.parametrize("sizes", [*SIZES, *random_sizes(30)], ids=str)
def test_resize_is_pillows(script, sizes):
    if starts_with_height(*sizes) and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("this Pillow resizes tall pictures in the other order")
    height, width, *wanted = sizes
    rgb = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    # Extremes too: what rounds is not only what is random.
    rgb[: height // 2] = np.where(rgb[: height // 2] > 127, 255, 0)
    rgba = np.concatenate([rgb, np.full((height, width, 1), 255, np.uint8)], axis=-1)
    body = (
        UNPACK
        + """
        const { resize } = await import("/resample.js");
        const data = new Uint8ClampedArray(unpack(given.pixels));
        const out = resize(new ImageData(data, given.width, given.height), given.wanted);
        let text = ""; for (const value of out) text += String.fromCharCode(value);
        return btoa(text);"""
    )
    answer = script(body, pixels=packed(rgba), width=width, height=height, wanted=wanted)
    got = np.frombuffer(base64.b64decode(answer), np.uint8).reshape(*wanted, 3)
    np.testing.assert_array_equal(got, resize(rgb, tuple(wanted)))


@pytest.mark.parametrize(
    ("tensor", "offset", "divisor"),
    [
        ({"dtype": "uint8", "scale": 1 / 127.5, "zero_point": 128}, 128.0, 127.5),
        ({"dtype": "uint8", "scale": 0.0078125, "zero_point": 128}, 127.5, 127.5),
        ({"dtype": "uint8", "scale": 0.0093, "zero_point": 101}, 0.0, 255.0),
        ({"dtype": "float32"}, 127.5, 127.5),
        ({"dtype": "float32"}, 0.0, 255.0),
    ],
)
def test_input_is_what_the_contract_says(script, tensor, offset, divisor):
    tensor = TensorSpec(name="x", shape=(1, 1, 256, 3), **tensor)
    spec = InputSpec(tensor=tensor, size_hw=(1, 256), pixel_offset=offset, pixel_scale=divisor)
    body = """
        const { makeQuantizer } = await import("/tensors.js");
        return [...makeQuantizer(given.spec)(Uint8Array.from({ length: 256 }, (_, i) => i))];"""
    got = script(body, spec=json.loads(spec.model_dump_json()))
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(np.array(got, np.float32), quantize_input(pixels, spec))


def run_decoder(script, contract, outputs, size_hw):
    body = (
        UNPACK
        + """
        const { decode } = await import("/decode.js");
        const outputs = {};
        for (const [part, { text, type }] of Object.entries(given.outputs)) {
          outputs[part] = new globalThis[type](unpack(text).buffer);
        }
        return decode(outputs, given.contract, given.size);"""
    )
    return script(
        body,
        outputs={
            part: {"text": packed(array), "type": ARRAYS[array.dtype.name]}
            for part, array in outputs.items()
        },
        contract=json.loads(contract.model_dump_json()),
        size=size_hw,
    )


def quantized(contract, dtype):
    """The contract with integer outputs."""
    if dtype == "float32":
        return contract
    zero_point = {"uint8": 121, "int8": -7}[dtype]
    change = {"dtype": dtype, "scale": 0.047, "zero_point": zero_point}
    parts = {
        part: getattr(contract, part).model_copy(update=change) for part in ("boxes", "scores")
    }
    if contract.decoder.kind == "single_box":  # probabilities
        parts["scores"] = parts["scores"].model_copy(update={"scale": 1 / 140})
    return contract.model_copy(update=parts)


def random_outputs(rng, contract):
    shapes = {"boxes": contract.boxes.shape, "scores": contract.scores.shape}
    if contract.boxes.dtype == "float32":
        found = {part: rng.normal(0, 2, shape).astype(np.float32) for part, shape in shapes.items()}
        if contract.decoder.kind == "single_box":
            found["scores"] = rng.random(shapes["scores"], dtype=np.float32)
        return found
    limits = np.iinfo(contract.boxes.dtype)
    # Bell-shaped about the zero point, and coarse, so that there are many equal scores.
    return {
        part: np.clip(
            rng.normal(contract.boxes.zero_point, 45, shape).round(), limits.min, limits.max
        ).astype(limits.dtype)
        for part, shape in shapes.items()
    }


def make_ssd(background):
    contract = plain_contract("ssd", cells=1, classes=5, background=background)
    maps = (
        AnchorMap(rows=9, cols=11, shapes_hw=((0.2, 0.3), (0.4, 0.25), (0.5, 0.5))),
        AnchorMap(rows=3, cols=4, shapes_hw=((0.8, 0.3), (0.6, 0.9))),
    )
    anchors = 9 * 11 * 3 + 3 * 4 * 2
    columns = 5 + (background is not None)
    return contract.model_copy(
        update={
            "decoder": contract.decoder.model_copy(
                update={"anchors": maps, "max_detections": 60, "min_score": 0.3}
            ),
            "boxes": contract.boxes.model_copy(update={"shape": (1, anchors, 4)}),
            "scores": contract.scores.model_copy(update={"shape": (1, anchors, columns)}),
        }
    )


CONTRACTS = {
    "ssd": lambda: make_ssd(None),
    "ssd with background": lambda: make_ssd(0),
    "ssd with background last": lambda: make_ssd(5),
    "single_box": lambda: plain_contract("single_box", classes=6, background=0),
    "grid": lambda: plain_contract("grid", cells=49, classes=4),
}


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("kind", CONTRACTS)
def test_decoders_are_those_of_the_runtime(script, kind, dtype):
    contract = quantized(CONTRACTS[kind](), dtype)
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(4):
        outputs = random_outputs(rng, contract)
        size_hw = tuple(int(n) for n in rng.integers(50, 900, 2))
        expected = decode(outputs, contract, size_hw)
        got = run_decoder(script, contract, outputs, size_hw)
        assert [item["classId"] for item in got] == expected.class_ids.tolist()
        # exp() of the browser and of numpy may differ in the last place of float32.
        scores = np.array([item["score"] for item in got], np.float32)
        np.testing.assert_allclose(scores, expected.scores, rtol=3e-7)
        boxes = np.array([item["box"] for item in got], np.float32).reshape(-1, 4)
        np.testing.assert_allclose(boxes, expected.boxes_xyxy, rtol=2e-6, atol=2e-4)
        found += len(got)
    assert found >= 4


def test_a_score_above_1_is_refused_as_by_the_runtime(script):
    contract = plain_contract("single_box", classes=2)
    outputs = {"boxes": np.zeros((1, 4), np.float32), "scores": np.float32([[61.0, 0.2]])}
    with pytest.raises(ModelError, match="answers 61"):
        decode(outputs, contract, (10, 10))
    with pytest.raises(Exception, match="answers 61, no score"):
        run_decoder(script, contract, outputs, (10, 10))


def test_offsets_that_are_not_finite_are_dropped(script):
    contract = make_ssd(None)
    outputs = random_outputs(np.random.default_rng(1), contract)
    outputs["boxes"].reshape(-1)[::7] = math.nan
    outputs["boxes"].reshape(-1)[::11] = math.inf
    outputs["scores"].reshape(-1)[::13] = math.nan
    expected = decode(outputs, contract, (100, 200))
    got = run_decoder(script, contract, outputs, (100, 200))
    assert [item["classId"] for item in got] == expected.class_ids.tolist()


@pytest.mark.parametrize("most", [1, 20, 500])
def test_suppression_is_that_of_the_runtime(script, most):
    rng = np.random.default_rng(most)
    corner = rng.uniform(0, 1, (600, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + rng.uniform(0.01, 0.5, (600, 2))], 1, dtype=np.float32)
    class_ids = rng.integers(0, 3, 600)
    expected = class_wise_nms(boxes, class_ids, iou=0.45, most=most)
    body = """
        const { classWiseNms } = await import("/nms.js");
        const found = given.boxes.map((box, index) => ({ box, classId: given.ids[index], index }));
        return classWiseNms(found, 0.45, given.most).map(({ index }) => index);"""
    got = script(body, boxes=boxes.tolist(), ids=class_ids.tolist(), most=most)
    assert got == expected.tolist()


FILES = {
    "JPEG": {"format": "JPEG"},
    "JPEG, progressive, much before the size": {
        "format": "JPEG",
        "progressive": True,
        "icc_profile": bytes(150_000),
        "comment": bytes(50_000),
    },
    "PNG": {"format": "PNG"},
    "GIF": {"format": "GIF"},
    "BMP": {"format": "BMP"},
    "WebP, lossy": {"format": "WEBP"},
    "WebP, lossless": {"format": "WEBP", "lossless": True},
    "WebP, extended": {"format": "WEBP", "xmp": b"<x/>"},
}


@pytest.mark.parametrize("kind", FILES)
def test_size_is_known_before_decoding(script, kind):
    stream = io.BytesIO()
    Image.new("RGB", (321, 123), "red").save(stream, **FILES[kind])
    body = (
        UNPACK
        + """
        const { checkPicture } = await import("/sniff.js");
        const bytes = unpack(given.text);
        const limits = [321 * 123, 321 * 123 - 1];
        return limits.map((limit) => {
          try { return checkPicture(bytes, limit); } catch (error) { return error.message; }
        });"""
    )
    content = np.frombuffer(stream.getvalue(), np.uint8)
    allowed, refused = script(body, text=packed(content))
    assert allowed == f"image/{FILES[kind]['format'].lower()}"
    assert refused.startswith("too many pixels, 321 x 123; make it smaller")


def pixels_of_page(script, content):
    """Return what the page decodes of a picture file, RGB."""
    body = (
        UNPACK
        + """
        const { openPicture, pixelsOf } = await import("/picture.js");
        const limits = { maxBytes: 1e8, maxPixels: 1e8 };
        const pixels = pixelsOf(await openPicture(new Blob([unpack(given.content)]), limits));
        let text = ""; for (const value of pixels.data) text += String.fromCharCode(value);
        return [pixels.height, pixels.width, btoa(text)];"""
    )
    height, width, text = script(body, content=base64.b64encode(content).decode())
    rgba = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    return rgba[..., :3].astype(int)


def saved_as(kind, image, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["webp", "png"])
def test_pictures_are_turned_as_predict_does(script, kind, orientation):
    """Chromium does not turn WebP. JPEG, which is not lossless, has its test on the page."""
    image = Image.fromarray(noise(5, 7, 3))
    exif = image.getexif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    for bytes_of_exif in (exif.tobytes(), exif.tobytes().removeprefix(b"Exif\0\0")):
        content = saved_as(kind, image, exif=bytes_of_exif, **options)
        expected = decode_image(io.BytesIO(content), "it")
        np.testing.assert_array_equal(pixels_of_page(script, content), expected)


@pytest.mark.parametrize("cut", [2, 9, 13, 20])
def test_damaged_orientation_is_none(script, cut):
    image = Image.fromarray(noise(5, 7, 3))
    exif = image.getexif()
    exif[0x0112] = 6
    content = saved_as("webp", image, lossless=True, exif=exif.tobytes()[:-cut])
    assert pixels_of_page(script, content).shape in ((5, 7, 3), (7, 5, 3))


@pytest.mark.parametrize("step", [257, 256, 16, 1], ids="16 bits a {}".format)
def test_deep_grey_pictures_are_read_alike(script, step):
    """Also 12 bits of a camera, scaled to 16 or not. Rounding may differ by one of 255."""
    values = np.arange(0, 65536, step, dtype=np.uint16)[: 65536 // step // 8 * 8]
    if step == 16:
        values = values >> 4
    content = saved_as("png", Image.fromarray(values.reshape(8, -1)))
    expected = decode_image(io.BytesIO(content), "it").astype(int)
    difference = np.abs(pixels_of_page(script, content) - expected)
    assert difference.max() <= (0 if step == 257 else 1)


def test_deep_colour_pictures_are_read_alike(script):
    content = png_of_16_bits(noise(8, 9, 6).view(">u2"))
    expected = decode_image(io.BytesIO(content), "it")
    assert len(np.unique(expected)) > 100
    assert np.abs(pixels_of_page(script, content) - expected).max() <= 1


def png_of_16_bits(pixels):
    """Return a PNG of RGB with 16 bits, which Pillow reads but does not write."""
    height, width, _ = pixels.shape
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    body = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_numbers_are_rounded_as_python_does(script):
    rng = np.random.default_rng(5)
    ties = [0.125, 0.375, 12.625, 0.03125, 2.5, 1.005, 99.995]
    values = [
        float(np.float32(v)) for v in (*ties, *rng.uniform(0, 999, 300), *rng.uniform(0, 1, 99))
    ]
    body = """
        const { roundTo } = await import("/numbers.js");
        return given.values.map((value) => [roundTo(value, 2), roundTo(value, 4)]);"""
    got = script(body, values=values)
    assert got == [[round(value, 2), round(value, 4)] for value in values]


def test_two_models_are_compared(script):
    def item(label, *box):
        return {"label": label, "box": box}

    first = [item("car", 0, 0, 10, 10), item("dog", 20, 20, 40, 40), item("cat", 60, 60, 70, 70)]
    second = [item("car", 1, 0, 11, 10), item("cow", 20, 20, 40, 41), item("car", 90, 0, 99, 9)]
    body = """
        const { compare } = await import("/compare.js");
        return compare(given.first, given.second);"""
    pairs = script(body, first=first, second=second)
    seen = [(pair["kind"], *(pair[key]["label"] for key in "ab" if key in pair)) for pair in pairs]
    assert seen == [
        ("first", "cat"),
        ("second", "car"),
        ("label", "dog", "cow"),
        ("same", "car", "car"),
    ]
