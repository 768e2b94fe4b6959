"""What is verified: a file, the same pictures for every target, and what it should answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.detections import Detections
from quantdet.evaluate.agreement import same_detections
from quantdet.evaluate.end_to_end import Outputs, Runner, quantization_noise
from quantdet.evaluate.predictors import decode_batch
from quantdet.progress import Tick
from quantdet.quant.litert_file import FileGraph, FileOp
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.decoders import dequantize
from quantdet.runtime.foreign import POST_PROCESS
from quantdet.runtime.raw import output_specs
from quantdet.runtime.thresholds import label_thresholds

KERAS = "fake-quantized Keras"
REFERENCE = "LiteRT reference kernels"
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators that have weights."""


@dataclass(frozen=True)
class Pictures:
    """The pictures that every target gets.

    Attributes:
        pixels: uint8 (N, H, W, 3), RGB, of the model's input size.
        sizes: height and width of the originals.
    """

    pixels: NDArray[np.uint8]
    sizes: list[tuple[int, int]]


@dataclass(frozen=True)
class Quantization:
    """What quantization changed.

    Attributes:
        noise_lsb: root mean square difference of the outputs, in integer steps.
        same_detections: share of detections that both models have; None without any.
    """

    noise_lsb: float
    same_detections: float | None


@dataclass(frozen=True)
class Subject:
    """One file under test.

    Attributes:
        model_file: the .tflite.
        contract: of that file.
        pictures: see the class.
        baseline: name of what made ``expected``: ``KERAS`` or ``REFERENCE``.
        expected: the outputs of the baseline that are compared, real values, batch in front.
        floats: outputs of the float Keras model; None where there is none.
        simulate: kernel set → outputs of the simulation that rounds as it does; None where
            there is none.
    """

    model_file: Path
    contract: Contract
    pictures: Pictures
    baseline: str
    expected: Outputs
    floats: Outputs | None = None
    simulate: Callable[[str], Outputs] | None = None

    @property
    def specs(self) -> dict[str, TensorSpec]:
        """The outputs that are compared."""
        return compared(self.contract)

    @cached_property
    def quantization(self) -> Quantization | None:
        """What quantization itself changed: fake-quantized against float Keras."""
        if self.floats is None:
            return None
        return Quantization(
            quantization_noise(self.expected, self.floats, self.specs),
            self.same_detections(self.floats),
        )

    def same_detections(self, outputs: Outputs) -> float | None:
        """Return the share of detections shown to people that the baseline has too.

        None where neither shows any.
        """
        return self.same_as_expected(decode_batch(outputs, self.contract, self.pictures.sizes))

    def same_as_expected(self, found: list[Detections]) -> float | None:
        """Return the same for what was found in each picture, not cut by a threshold."""
        return same_detections(found, self._found, label_thresholds(self.contract))

    @cached_property
    def shown(self) -> int:
        """How many detections of the baseline are shown to people."""
        lowest = label_thresholds(self.contract)
        return sum(len(found.above(lowest)) for found in self._found)

    @cached_property
    def _found(self) -> list[Detections]:
        return decode_batch(self.expected, self.contract, self.pictures.sizes)


def compared(contract: Contract) -> dict[str, TensorSpec]:
    """Return part → tensor of the outputs that are compared: "boxes" and "scores".

    A file that decodes inside has "classes" and "count" too.
    """
    return output_specs(contract)


def decodes_inside(contract: Contract) -> bool:
    """Return whether the file ends with TFLite_Detection_PostProcess, whose outputs are float."""
    return contract.decoder.kind == "post_processed"


def decoding_operators(file: FileGraph) -> tuple[FileOp, ...]:
    """Return TFLite_Detection_PostProcess and what prepares its numbers in float.

    On an NPU the CPU runs these, as in Coral's own detectors. None in a file without it.
    """
    if not any(op.name == POST_PROCESS for op in file.ops):
        return ()
    return tuple(
        op
        for op in file.ops
        if op.name == POST_PROCESS or file.tensors[op.outputs[0]].dtype == "float32"
    )


def real_outputs(
    run: Runner,
    contract: Contract,
    pixels: NDArray[np.uint8],
    tick: Tick,
) -> Outputs:
    """Return the compared outputs of every picture, real values, batch in front."""
    rows: dict[str, list[NDArray[np.float32]]] = {part: [] for part in compared(contract)}
    for done, picture in enumerate(pixels, start=1):
        answer = run(picture)
        for part, spec in compared(contract).items():
            rows[part].append(_first(dequantize(answer[spec.name], spec), part))
        tick(done, len(pixels))
    return {part: np.stack(values) for part, values in rows.items()}


def _first(values: NDArray[np.float32], part: str) -> NDArray[np.float32]:
    """Return an output without its batch axis, which "count" does not have."""
    return values if part == "count" else values[0]
