"""Recognise a .tflite made elsewhere: what its outputs mean, told by its operators and shapes.

Where shapes leave a choice, the model is run once on a plain grey picture, and its answer decides;
what fits no layout is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.runtime.anchors import ssd_anchor_maps
from quantdet.runtime.contract import BoxUnit, Contract, DecoderSpec
from quantdet.runtime.embedded import embedded_contract
from quantdet.runtime.engine import Engine
from quantdet.runtime.flatbuffer import verify_model
from quantdet.runtime.foreign import describe_model, picture_input, post_process_outputs
from quantdet.runtime.labels_inside import named
from quantdet.runtime.preprocess import quantize_input
from quantdet.runtime.raw import Floats, dequantize
from quantdet.runtime.yolo_grid import STRIDES, cell_grid

GREY = 114
"""Of the border that YOLO detectors are trained with."""
_MINUS_1_TO_1 = (127.5, 127.5)
_0_TO_1 = (0.0, 255.0)
_0_TO_255 = (0.0, 1.0)
_TF_INPUT = "normalized_input_image_tensor"
_RELATED = 0.9
_FRACTIONS_REACH = 2.0
_SCORES = (-0.02, 1.02)  # of a step of 8 bits at most


@dataclass(frozen=True)
class Choices:
    """What a user says of a model; None where the file is asked.

    Attributes:
        pixels: see :func:`quantdet.runtime.describe_model`.
        letterbox: whether pictures keep their aspect ratio.
        color_order: "RGB" or "BGR".
    """

    pixels: tuple[float, float] | None = None
    letterbox: bool | None = None
    color_order: str | None = None


@dataclass(frozen=True)
class Layout:
    """A layout that a file has.

    Attributes:
        name: for people.
        decoder: of the contract.
        outputs: part → name of the output.
        labels: as the contract has them.
        background_index: see the contract.
        pixels: what such models take where their input is float; None: it is not known.
        letterbox: whether such models are trained with a border.
        color_order: of such models.
    """

    name: str
    decoder: DecoderSpec
    outputs: Mapping[str, str]
    labels: tuple[str, ...]
    background_index: int | None = None
    pixels: tuple[float, float] | None = None
    letterbox: bool = False
    color_order: str = "RGB"


@dataclass(frozen=True)
class Recognised:
    """A contract, and the name of the layout that was found."""

    layout: str
    contract: Contract


@dataclass(frozen=True)
class _File:
    """What a recogniser looks at."""

    engine: Engine
    labels: tuple[str, ...]
    choices: Choices

    @property
    def input_hw(self) -> tuple[int, int]:
        _, height, width, _ = self.engine.input.shape
        return height, width

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: spec.shape for name, spec in self.engine.outputs.items()}

    def answer(self, usual_pixels: tuple[float, float]) -> dict[str, Floats]:
        """Return the real outputs, without the batch axis, for a grey picture."""
        pixels = self.choices.pixels or usual_pixels
        spec = picture_input(self.engine, self.pixels_or(pixels))
        grey = np.full((1, *self.input_hw, 3), GREY, np.uint8)
        raw = self.engine.run(quantize_input(grey, spec))
        return {name: dequantize(raw[name], self.engine.outputs[name])[0] for name in raw}

    def pixels_or(self, usual: tuple[float, float] | None) -> tuple[float, float] | None:
        """Return what the user says; of an integer input the file; else what is usual."""
        if self.choices.pixels is not None or self.engine.input.scale > 0:
            return self.choices.pixels
        return usual


def recognise_model(
    model_file: Path | str, labels: Sequence[str], choices: Choices | None = None
) -> Recognised:
    """Return the contract of a model made elsewhere, whose layout is one of ``LAYOUTS``.

    Args:
        model_file: a .tflite with one picture input (1, height, width, 3).
        labels: class names in the order of its numbers, as its own label file has them: with a
            line for the background, if there is one, and with gaps.
        choices: what the user says; it goes before what the file says.

    Raises:
        ModelError: the file cannot be run, has quantdet's contract inside, has none of these
            layouts, or its input is float and nothing tells what pixels mean.
    """
    model_file, choices = Path(model_file), choices or Choices()
    if model_file.is_file():
        verify_model(model_file)
        if embedded_contract(model_file) is not None:
            raise ModelError(f"{model_file}: has its contract inside; it runs as it is")
    file = _File(Engine(model_file, num_threads=1), tuple(labels), choices)
    picture_input(file.engine, _0_TO_1)  # its shape, before anything is run
    for recognise in LAYOUTS.values():
        layout = recognise(file)
        if layout is not None:
            return Recognised(layout.name, _contract(model_file, file, layout))
    raise ModelError(_no_layout(model_file, file))


def _contract(model_file: Path, file: _File, layout: Layout) -> Contract:
    choices = file.choices
    boxed = layout.letterbox if choices.letterbox is None else choices.letterbox
    return describe_model(
        model_file,
        labels=layout.labels,
        decoder=layout.decoder,
        outputs=layout.outputs,
        background_index=layout.background_index,
        pixels=file.pixels_or(layout.pixels),
        letterbox=GREY if boxed else None,
        color_order="BGR" if (choices.color_order or layout.color_order) == "BGR" else "RGB",
    )


def _no_layout(model_file: Path, file: _File) -> str:
    return (
        f"{model_file}: its outputs {file.shapes} are none of the layouts {list(LAYOUTS)} for "
        f"{len(file.labels)} labels and an input of {file.input_hw}; check the labels, or write "
        "the contract with describe_model (docs/contract.md)"
    )


def _post_processed(file: _File) -> Layout | None:
    """SSD, EfficientDet-Lite and others with the operator that decodes and suppresses."""
    outputs = post_process_outputs(file.engine)
    if outputs is None:
        return None
    most = file.shapes[outputs["boxes"]][-2]
    tf_float = file.engine.input.name == _TF_INPUT
    return Layout(
        "TFLite_Detection_PostProcess: boxes, classes, scores and count",
        DecoderSpec(kind="post_processed", max_detections=max(1, most)),
        outputs,
        named(file.labels, has_background_line=True),
        pixels=_MINUS_1_TO_1 if tf_float else None,
    )


@dataclass(frozen=True)
class _Head:
    """One output with rows of boxes and scores, found by its shape."""

    output: str
    rows: int
    columns: int
    cells: Floats
    a_cell: int

    def table(self, answer: Mapping[str, Floats]) -> Floats:
        """Return the output as (rows, columns)."""
        values = answer[self.output]
        return values if values.shape == (self.rows, self.columns) else values.T

    @cached_property
    def positions(self) -> list[NDArray[np.float64]]:
        """Column and row of each box's cell, in the two usual orders of several boxes a cell."""
        where = (self.cells[:, :2] + 0.5) * self.cells[:, 2:]
        levels = [where[self.cells[:, 2] == stride] for stride in np.unique(self.cells[:, 2])]
        return [
            np.repeat(where, self.a_cell, axis=0).astype(np.float64),
            np.concatenate([np.tile(level, (self.a_cell, 1)) for level in levels]),
        ]


def _yolo(file: _File) -> Layout | None:
    head = _one_output(file, 4)
    if head is None:
        return None
    unit = _box_unit(head.table(file.answer(_0_TO_1)), head)
    if unit is None or unit == "cell":
        return None
    spec = DecoderSpec(kind="yolo", nms_iou=0.7, box_unit=unit, **_USUAL)  # Ultralytics' own IoU
    return Layout(
        "YOLOv8, 9, 11, 12: boxes and class scores in one output",
        spec,
        {"boxes": head.output},
        named(file.labels, has_background_line=False),
        pixels=_0_TO_1,
        letterbox=True,
    )


def _yolo_objectness(file: _File) -> Layout | None:
    head = _one_output(file, 5)
    # Only heads without objectness are written the other way round, (1, columns, rows).
    if head is None or file.shapes[head.output] != (1, head.rows, head.columns):
        return None
    is_yolox = head.a_cell == 1
    usual = _0_TO_255 if is_yolox else _0_TO_1
    unit = _box_unit(head.table(file.answer(usual)), head)
    if unit is None or (unit == "cell" and not is_yolox):
        return None
    spec = DecoderSpec(kind="yolo_objectness", nms_iou=0.45, box_unit=unit, **_USUAL)
    return Layout(
        f"{'YOLOX' if is_yolox else 'YOLOv5, 7'}: boxes, objectness and class scores in one output",
        spec,
        {"boxes": head.output},
        named(file.labels, has_background_line=False),
        pixels=usual,
        letterbox=True,
        # YOLOX is trained on pictures as OpenCV reads them.
        color_order="BGR" if is_yolox else "RGB",
    )


_USUAL = {"score_threshold": 0.25, "max_detections": 300}
"""Of YOLO's own tools."""


def _one_output(file: _File, before: int) -> _Head | None:
    """Return the head if the one output has a row of before + classes values for each box."""
    if len(file.shapes) != 1:
        return None
    ((name, shape),) = file.shapes.items()
    width = before + len(file.labels)
    if len(shape) != 3 or shape[0] != 1 or width not in shape[1:]:
        return None
    rows = shape[1] if shape[2] == width else shape[2]
    for strides in STRIDES:
        cells = cell_grid(file.input_hw, strides)
        for a_cell in (1, 3):
            if rows == a_cell * len(cells):
                return _Head(name, rows, width, cells, a_cell)
    return None


def _box_unit(table: Floats, head: _Head) -> BoxUnit | None:
    """Return what boxes are measured in: centres of real boxes lie near their cells.

    None: the scores are none, so that it is another layout.
    """
    low, high = float(table[:, 4:].min()), float(table[:, 4:].max())
    if not np.isfinite(table).all() or low < _SCORES[0] or high > _SCORES[1]:
        return None
    related = max(
        min(_correlation(table[:, axis], where[:, axis]) for axis in (0, 1))
        for where in head.positions
    )
    if related < _RELATED:
        return "cell"
    return "fraction" if np.abs(table[:, :2]).max() < _FRACTIONS_REACH else "pixel"


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def _ssd(file: _File) -> Layout | None:
    """The raw outputs of the TF Object Detection API's SSD, with its own six maps of anchors."""
    found = _ssd_outputs(file)
    if found is None:
        return None
    answer = file.answer(_MINUS_1_TO_1)
    labels = named(file.labels, has_background_line=True)
    boxes, scores = answer[found["boxes"]], answer[found["scores"]]
    maps = ssd_anchor_maps([_map_size(file.input_hw, level) for level in range(4, 10)])
    if len(boxes) != sum(item.count for item in maps) or scores.min() >= 0:
        return None  # other anchors, or scores after a sigmoid
    if scores.shape[1] not in {len(labels), len(labels) + 1}:
        return None
    return Layout(
        "SSD of the TF Object Detection API: offsets and logits of six maps",
        DecoderSpec(kind="ssd", anchors=maps, max_detections=100, nms_iou=0.6),
        found,
        labels,
        background_index=0 if scores.shape[1] > len(labels) else None,
        pixels=_MINUS_1_TO_1 if file.engine.input.name == _TF_INPUT else None,
    )


def _ssd_outputs(file: _File) -> dict[str, str] | None:
    """Return boxes (1, N, 4) and scores (1, N, C) of a file with just these."""
    tables = {name: shape for name, shape in file.shapes.items() if len(shape) == 3}
    if len(tables) != 2 or len(file.shapes) != 2:
        return None
    boxes = [name for name, shape in tables.items() if shape[2] == 4]
    scores = [name for name, shape in tables.items() if shape[2] != 4]
    if len(boxes) != 1 or tables[boxes[0]][:2] != tables[scores[0]][:2]:
        return None
    return {"boxes": boxes[0], "scores": scores[0]}


def _map_size(input_hw: tuple[int, int], level: int) -> tuple[int, int]:
    height, width = input_hw
    return ceil(height / 2**level), ceil(width / 2**level)


LAYOUTS: dict[str, Callable[[_File], Layout | None]] = {
    "post_processed": _post_processed,
    "yolo": _yolo,
    "yolo_objectness": _yolo_objectness,
    "ssd": _ssd,
}
"""Kind of decoder → function that returns the layout where a file has it; the first one counts."""
