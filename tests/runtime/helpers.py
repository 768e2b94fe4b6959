"""What tests of the runtime share; `make_models` says what the models answer."""

from __future__ import annotations

import io
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from quantdet.detections import Detections
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
MODEL_NAMES = (*NAMES, "ssd-uint8", "ssd-int8", "ssd-float32")
YOLO_NAMES = ("yolov8-float32", "yolov8-int8", "yolov5-float32", "yolox-float32")
"""Models with the layouts of other tools, and no contract."""
MODELS = Path(__file__).parent / "models"
SIZE = 32


def tiny_model(kind: str, dtype: str) -> bytes:
    """Return a .tflite that `make_models` has written."""
    return (MODELS / f"{kind}-{dtype}.tflite").read_bytes()


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
    if kind in {"yolo", "yolo_objectness"}:
        width = 4 + (kind == "yolo_objectness") + classes
        table = TensorSpec(name="output", shape=(1, cells, width), dtype="float32")
        return contract.model_copy(update={"boxes": table, "scores": table})
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


def their_decoder(outputs, contract, size_hw):
    """A decoder as an installed package brings it."""
    return Detections.empty(contract.labels)


@contextmanager
def mjpeg_server(colors):
    """Serve pictures of plain colours as an MJPEG camera does, on this machine; yield the URL."""
    boundary = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
    parts = []
    for color in colors:
        stream = io.BytesIO()
        Image.fromarray(solid(color, (64, 96))).save(stream, "jpeg")
        parts.append(boundary + stream.getvalue() + b"\r\n")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with suppress(OSError):  # who reads may go away
                self.wfile.write(b"".join(parts))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/camera.mjpg"
    finally:
        server.shutdown()
        server.server_close()
