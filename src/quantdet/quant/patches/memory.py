"""How much memory a file takes at least, as it is or in patches."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.patches.geometry import CONVOLUTIONS
from quantdet.quant.patches.plan import Plan, Step

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema


def least_arena(file: EditableFile, plan: Plan | None) -> int:
    """Return bytes that TFLite-Micro's arena has at least.

    The tensors that are there at once, and for each convolution two numbers for each channel
    (``per_channel_output_multiplier`` and ``_shift`` of its kernels), which stay.

    Args:
        file: the ordinary file.
        plan: of its first operators; None for the file as it is.
    """
    own = set() if plan is None else set(map(id, plan.stem.operators))
    steps = [] if plan is None else [step.operator for step in plan.steps if step.operator]
    rest = [op for op in file.operators if id(op) not in own]
    channels = sum(
        int(file.tensors[int(op.outputs[0])].shape[-1])
        for op in (*rest, *steps)
        if file.name(op) in CONVOLUTIONS
    )
    return peak_bytes(file, plan) + 8 * channels


def peak_bytes(file: EditableFile, plan: Plan | None) -> int:
    """Return the bytes of the tensors that are there at once, at most: no arena is smaller.

    Args:
        file: the ordinary file.
        plan: of its first operators; None for the file as it is.
    """
    lives = _Lives(file)
    steps = [] if plan is None else plan.steps
    own = set() if plan is None else set(map(id, plan.stem.operators))
    last = None if plan is None else plan.stem.operators[-1]
    for op in file.operators:
        if op is last:
            for step in steps:
                lives.step(step)
        if id(op) not in own:
            lives.operator(op)
    return lives.peak()


class _Lives:
    """When each tensor is written and read."""

    def __init__(self, file: EditableFile) -> None:
        self._file = file
        kinds = file.schema.TensorType
        self._item_bytes = {kinds.UINT8: 1, kinds.INT8: 1, kinds.INT16: 2}
        self._time = 0
        self._bytes: dict[object, int] = {}
        self._first: dict[object, int] = {}
        self._last: dict[object, int] = {}
        for tensor in map(int, file.graph.inputs):
            self._see(tensor, self._whole(tensor))

    def operator(self, op: schema.OperatorT) -> None:
        self._time += 1
        for tensor in map(int, chain(op.inputs, op.outputs)):
            if tensor >= 0 and not self._file.is_constant(tensor):
                self._see(tensor, self._whole(tensor))

    def step(self, step: Step) -> None:
        self._time += 1
        for piece in (*step.inputs, step.output):
            if piece.whole:
                self._see(piece.tensor, self._whole(piece.tensor))
            else:
                channels = int(self._file.tensors[piece.tensor].shape[-1])
                self._see(piece, math.prod(piece.size_hw) * channels)

    def peak(self) -> int:
        for tensor in map(int, self._file.graph.outputs):
            self._last[tensor] = self._time
        changes = np.zeros(self._time + 2, np.int64)
        for key, size in self._bytes.items():
            changes[self._first[key]] += size
            changes[self._last[key] + 1] -= size
        return int(changes.cumsum().max())

    def _see(self, key: object, size: int) -> None:
        self._bytes[key] = size
        self._first.setdefault(key, self._time)
        self._last[key] = self._time

    def _whole(self, tensor: int) -> int:
        found = self._file.tensors[tensor]
        return math.prod(map(int, found.shape)) * self._item_bytes.get(found.type, 4)
