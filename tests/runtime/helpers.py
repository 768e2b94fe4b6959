"""Tiny models whose right answers are known: they look at the mean colour.

"single" sees the whole picture: class "red" or "blue", and always the box ymin 1/8, xmin 1/4,
ymax 5/8, xmax 7/8. "grid" sees each quarter of the picture by itself and answers with the most
coloured one; its box reaches 1/8 left, 1/4 up, 1/8 right and 1/4 down from the centre. "ssd" finds
every coloured one of 4 x 4 squares, with one anchor each that is the square.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantdet.runtime.contract import (
    AnchorMap,
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
    file_sha256,
)
from quantdet.runtime.engine import Engine

LABELS = ("red", "blue")
NAMES = ("single-uint8", "single-int8", "single-float32", "grid-uint8", "grid-float32")
"""Models that answer with one object."""
SIZE = 32


def _logit(p):
    return np.log(np.array(p) / (1 - np.array(p))).astype(np.float32)


def _graph(kind):
    import tensorflow as tf

    # Rows: red, green, blue. Columns: background, red, blue.
    colors = np.array([[0, 8, -8], [-8, -8, -8], [0, -8, 8]], np.float32)

    def single(image):
        mean = tf.reduce_mean(image, [1, 2])
        box = 0 * mean[:, :1] + _logit([1 / 8, 1 / 4, 5 / 8, 7 / 8])[None]
        return {"scores": tf.nn.softmax(mean @ colors), "boxes": tf.sigmoid(box)}

    def grid(image):
        cells = tf.nn.avg_pool2d(image, SIZE // 2, SIZE // 2, "VALID")
        logits = tf.nn.conv2d(cells, colors[None, None, :, 1:], 1, "VALID")
        box = 0 * cells[..., :1] + _logit([1 / 8, 1 / 4, 1 / 8, 1 / 4])
        return {
            "scores": tf.reshape(logits, (1, 4, 2)),
            "boxes": tf.reshape(tf.sigmoid(box), (1, 4, 4)),
        }

    def ssd(image):
        cells = tf.nn.avg_pool2d(image, SIZE // 4, SIZE // 4, "VALID")
        logits = tf.nn.conv2d(cells, colors[None, None, :, 1:], 1, "VALID") - 4.0
        return {
            "scores": tf.reshape(logits, (1, 16, 2)),
            "boxes": tf.reshape(0 * cells[..., :1] + tf.zeros((1, 4, 4, 4)), (1, 16, 4)),
        }

    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")
    return tf.function({"single": single, "grid": grid, "ssd": ssd}[kind]).get_concrete_function(
        spec
    )


def convert(kind, dtype):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_graph(kind)], tf.Module())
    if dtype != "float32":
        rng = np.random.default_rng(0)
        colors = [rng.choice([-128, 0, 127], 3) for _ in range(40)]
        real = [np.full((1, SIZE, SIZE, 3), color, np.float32) / 127.5 for color in colors]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([item] for item in real)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(dtype)
    return converter.convert()


_SQUARES = AnchorMap(rows=4, cols=4, shapes_hw=((0.25, 0.25),))
_DECODERS = {
    "single": DecoderSpec(kind="single_box"),
    "grid": DecoderSpec(kind="grid"),
    "ssd": DecoderSpec(kind="ssd", anchors=(_SQUARES,), max_detections=100),
}


def make_contract(model_file: Path, kind: str) -> Contract:
    engine = Engine(model_file)
    return Contract(
        task="localizer",
        input=InputSpec(tensor=engine.input, size_hw=(SIZE, SIZE)),
        boxes=engine.outputs["boxes"],
        scores=engine.outputs["scores"],
        decoder=_DECODERS[kind],
        labels=LABELS,
        background_index=0 if kind == "single" else None,
        sha256=file_sha256(model_file),
    )


def solid(color, size_hw) -> np.ndarray:
    return np.full((*size_hw, 3), color, np.uint8)


def plain_contract(kind: str, cells: int = 1, classes: int = 2, background: int | None = None):
    """A contract for decoder tests; its tensors are float."""
    columns = classes + (background is not None)
    anchors = AnchorMap(rows=1, cols=cells, shapes_hw=((0.5, 0.5),))
    contract = Contract(
        task="localizer",
        input=InputSpec(
            tensor=TensorSpec(name="image", shape=(1, 32, 32, 3), dtype="float32"),
            size_hw=(32, 32),
        ),
        boxes=TensorSpec(name="boxes", shape=(1, cells, 4), dtype="float32"),
        scores=TensorSpec(name="scores", shape=(1, cells, columns), dtype="float32"),
        decoder=DecoderSpec(kind=kind, anchors=(anchors,), max_detections=100),
        labels=tuple(f"class{i}" for i in range(classes)),
        background_index=background,
    )
    if kind != "post_processed":
        return contract
    rows = {"shape": (1, cells), "dtype": "float32"}
    more = {
        "scores": TensorSpec(name="scores", **rows),
        "classes": TensorSpec(name="classes", **rows),
        "count": TensorSpec(name="count", shape=(1,), dtype="float32"),
    }
    return contract.model_copy(update=more)


def write_video(path: Path, colors, fps: float = 10) -> None:
    """Write an MP4 of 96 × 64 pixels, one plain colour per frame."""
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (96, 64))
    for color in colors:
        writer.write(solid(color, (64, 96))[..., ::-1].copy())
    writer.release()
