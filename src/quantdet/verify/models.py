"""What may be verified: a run folder, or a .tflite with its contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.evaluate.end_to_end import Outputs, litert_runner
from quantdet.progress import Progress, Tick, no_tick
from quantdet.quant.litert_file import FileGraph, read_litert
from quantdet.runs import Run
from quantdet.runtime.contract import Contract
from quantdet.runtime.detector import Detector
from quantdet.verify.child import Call, ChildError, in_child
from quantdet.verify.subject import (
    KERAS,
    REFERENCE,
    WEIGHTED,
    Pictures,
    Subject,
    compared,
    decodes_inside,
    real_outputs,
)

if TYPE_CHECKING:
    import keras

T = TypeVar("T")

_BATCH = 8
_EIGHT_BITS = ("uint8", "int8")


def load_checked(model: Path) -> tuple[Path, Contract]:
    """Return the .tflite that is meant and its contract, once it is sure that it can be verified.

    Args:
        model: run folder or .tflite.

    Raises:
        ModelError: file or contract missing or damaged, not of each other, not of 8 bits, or
            LiteRT crashes.
    """
    model_file, contract = _beside_crashes(model, _load, model)
    tensors = [contract.input.tensor]
    tensors += [] if decodes_inside(contract) else compared(contract).values()
    others: dict[str, str] = {
        spec.name: spec.dtype for spec in tensors if spec.dtype not in _EIGHT_BITS
    }
    file = read_litert(model_file)
    others |= _float_layers(file) if decodes_inside(contract) else {}
    if others:
        what = ", ".join(f"{name!r} is {dtype}" for name, dtype in others.items())
        raise ModelError(
            f"{model_file}: is not quantized to 8 bits: {what}; verify the file of `quantdet qat` "
            "and `quantdet export`. `quantdet predict` and `quantdet evaluate` take float files"
        )
    return model_file, contract


def _float_layers(file: FileGraph) -> dict[str, str]:
    """Return name → type of the outputs of layers with weights that are not of 8 bits.

    Behind them a file that decodes inside may go on in float.
    """
    made = [file.tensors[op.outputs[0]] for op in file.ops if op.name in WEIGHTED]
    return {tensor.name: tensor.dtype for tensor in made if tensor.dtype not in _EIGHT_BITS}


def file_subject(model_file: Path, contract: Contract, pictures: Pictures, tick: Tick) -> Subject:
    """Return the subject of a lone file: LiteRT's reference kernels are the baseline.

    Raises:
        ModelError: LiteRT cannot run it, or crashes.
    """
    expected = _beside_crashes(
        model_file, _reference_outputs, model_file, contract, pictures, tick=tick
    )
    return Subject(model_file, contract, pictures, REFERENCE, expected)


def _beside_crashes(
    model: Path, function: Callable[..., T], *arguments: object, tick: Tick = no_tick
) -> T:
    """Return what the function returns in a process of its own, which LiteRT may end."""
    try:
        return in_child(function, *arguments, answer=tick)
    except ChildError as error:
        raise ModelError(
            f"{model}: LiteRT crashes on it: {error}; copy or export it again"
        ) from None


def _load(model: Path, _: Call) -> tuple[Path, Contract]:
    # The other kernels have rows of their own to fail in.
    detector = Detector(model, kernels="reference")
    return detector.model_file, detector.contract


def _reference_outputs(
    model_file: Path, contract: Contract, pictures: Pictures, call: Call
) -> Outputs:
    run = litert_runner(model_file, contract, "reference")
    return real_outputs(run, contract, pictures.pixels, call)


def run_subject(run: Run, contract: Contract, pictures: Pictures, progress: Progress) -> Subject:
    """Return the subject of a run: its frozen fake-quantized Keras model is the baseline.

    Raises:
        ModelError: the run has no quantized or no float Keras model.
    """
    from quantdet.quant.exact import ExactModel
    from quantdet.quant.saved import load_keras

    frozen = load_keras(run.qat_dir / "model.keras")
    floats = load_keras(run.float_dir / "model.keras")
    pixels = pictures.pixels

    dense = any(op.name == "FULLY_CONNECTED" for op in read_litert(run.model_file).ops)

    @cache
    def told(kernels: str) -> Outputs:
        return _batches(
            ExactModel(frozen, kernels), pixels, partial(progress, f"predict: {kernels}")
        )

    def simulate(kernels: str) -> Outputs:
        # These two differ in dense layers only.
        return told("reference" if kernels == "tflite-micro" and not dense else kernels)

    return Subject(
        run.model_file,
        contract,
        pictures,
        KERAS,
        expected=_batches(frozen, pixels, partial(progress, "fake-quantized Keras")),
        floats=_batches(floats, pixels, partial(progress, "float Keras")),
        simulate=simulate,
    )


def _batches(model: keras.Model, pixels: NDArray[np.uint8], tick: Tick) -> Outputs:
    from quantdet.evaluate.predictors import keras_outputs

    parts = []
    for start in range(0, len(pixels), _BATCH):
        parts.append(keras_outputs(model, pixels[start : start + _BATCH]))
        tick(min(start + _BATCH, len(pixels)), len(pixels))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
