"""Decoders "yolo" and "yolo_objectness": boxes and class scores in one output."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, as_boxes, exp_float32
from quantdet.detections import Detections
from quantdet.errors import ModelError
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.nms import Indices
from quantdet.runtime.raw import Floats, Outputs, dequantize, probabilities
from quantdet.runtime.suppress import MAX_CANDIDATES, suppressed
from quantdet.runtime.yolo_grid import cell_grid, strides_of

_MOST_LOG = 20.0
Table = NDArray[np.number]
"""One row of values for each box."""


def decode_yolo(outputs: Outputs, contract: Contract, size_hw: tuple[int, int]) -> Detections:
    """Decode the head of YOLOv8, 9, 11 and 12: a box and a score of each class.

    1. Pairs of a row and a class with ``score >= min_score`` are candidates; on raw integers the
       test is one comparison. The best go on.
    2. Their boxes, in ``decoder.box_unit``, become corners, cut to the picture.
    3. Suppression; at most ``max_detections`` are answered.

    Args:
        outputs: "boxes" and "scores" are the same tensor: (1, N, 4 + C) or (1, 4 + C, N), of each
            row centre x, centre y, width, height, and a score from 0 to 1 of each class.
        contract: of the model.
        size_hw: of the original picture.

    Returns:
        Detections with ``score >= min_score``, best first.

    Raises:
        ModelError: the outputs do not have this layout, or a score is above 1.
    """
    return _decode(_table(outputs, contract, 4), contract, size_hw)


def decode_yolo_objectness(
    outputs: Outputs, contract: Contract, size_hw: tuple[int, int]
) -> Detections:
    """Decode the head of YOLOv5, YOLOv7 and YOLOX: as :func:`decode_yolo`, with objectness.

    A row is centre x, centre y, width, height, objectness, and C class scores; the score of a pair
    is objectness times class score. With ``box_unit`` "cell" (YOLOX without its last step, Ge et
    al. 2021, arXiv:2107.08430) a centre is an offset in cells from the row's cell, and a size the
    logarithm of cells.

    Raises:
        ModelError: as :func:`decode_yolo`.
    """
    return _decode(_table(outputs, contract, 5), contract, size_hw)


def _decode(table: NDArray[np.number], contract: Contract, size_hw: tuple[int, int]) -> Detections:
    rows, class_ids, scores = _candidates(table, contract)
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    rows, class_ids, scores = rows[order], class_ids[order], scores[order]
    values = dequantize(table[rows, :4], contract.boxes)
    boxes = _corners(values, rows, len(table), contract)
    return suppressed(boxes, scores, class_ids, contract, size_hw)


def _table(outputs: Outputs, contract: Contract, before: int) -> Table:
    """Return the output as rows (N, before + C), whichever axis is which."""
    width = before + len(contract.labels)
    values = outputs["boxes"]
    table: Table = values.reshape(values.shape[-2:])
    if table.shape[-1] == width:
        return table
    if table.shape[0] == width:
        return table.T
    raise ModelError(
        f"decoder {contract.decoder.kind!r}: {len(contract.labels)} labels need {width} values a "
        f"box, but the model gives {values.shape}; name all classes, or another decoder"
    )


def _candidates(table: Table, contract: Contract) -> tuple[Indices, Indices, Floats]:
    """Return row, class and score of every pair that reaches ``min_score``, row after row."""
    spec, classes = contract.scores, table[:, -len(contract.labels) :]
    limit = _lowest(contract.decoder.min_score, table.dtype, spec)
    near = classes >= limit
    objectness = table[:, 4] if table.shape[-1] > 4 + len(contract.labels) else None
    if objectness is not None:
        near &= (objectness >= limit)[:, None]
    rows, columns = np.nonzero(near)
    scores = probabilities(classes[rows, columns], spec)
    if objectness is not None:
        scores *= probabilities(objectness[rows], spec)
    good = scores >= np.float32(contract.decoder.min_score)
    return rows[good], columns[good], scores[good]


def _lowest(min_score: float, dtype: np.dtype[Any], spec: TensorSpec) -> float:
    """Return the lowest value of an output that may stand for ``min_score``."""
    if np.issubdtype(dtype, np.floating):
        return min_score
    # An int, because integers compared with a float are all converted first.
    return math.floor(min_score / spec.scale + spec.zero_point)


def _corners(values: Floats, rows: Indices, every: int, contract: Contract) -> Boxes:
    """Return boxes xyxy as fractions of the input, cut to it."""
    unit, input_hw = contract.decoder.box_unit, contract.input.size_hw
    centre, size = values[:, :2], values[:, 2:]
    if unit == "cell":
        cell = _cells(every, input_hw)[rows]
        centre = (centre + cell[:, :2]) * cell[:, 2:]
        size = exp_float32(np.clip(size, -_MOST_LOG, _MOST_LOG)) * cell[:, 2:]
    if unit != "fraction":
        sides = np.array(input_hw[::-1], np.float32)
        centre, size = centre / sides, size / sides
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    return as_boxes(np.clip(corners, 0.0, 1.0))


def _cells(count: int, input_hw: tuple[int, int]) -> Floats:
    strides = strides_of(count, input_hw)
    if strides is None:
        raise ModelError(
            f"decoder 'yolo_objectness': {count} boxes are no usual grid of a {input_hw[1]} x "
            f"{input_hw[0]} input, so box_unit 'cell' has no meaning; name another"
        )
    return cell_grid(input_hw, strides)
