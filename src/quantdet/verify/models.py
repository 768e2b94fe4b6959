"""What may be verified: a run folder, or a .tflite with its contract."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from quantdet.errors import ModelError
from quantdet.evaluate.end_to_end import Outputs, litert_runner
from quantdet.quant.litert_file import read_litert
from quantdet.runs import Run
from quantdet.runtime.contract import Contract
from quantdet.runtime.detector import Detector
from quantdet.verify.subject import (
    KERAS,
    REFERENCE,
    Pictures,
    Subject,
    Tick,
    compared,
    real_outputs,
)


def load_checked(model: Path) -> tuple[Path, Contract]:
    """Return the .tflite that is meant and its contract, once it is sure that it can be verified.

    Args:
        model: run folder or .tflite.

    Raises:
        ModelError: file or contract missing or damaged, not of each other, not quantized, or
            without a signature.
    """
    detector = Detector(model)
    model_file, contract = detector.model_file, detector.contract
    tensors = (contract.input.tensor, *compared(contract).values())
    floats = [spec.name for spec in tensors if spec.dtype == "float32"]
    if floats:
        raise ModelError(
            f"{model_file}: is not quantized, {', '.join(map(repr, floats))} are float32; verify "
            "the integer file (`quantdet qat`, `quantdet export`). `quantdet predict` and "
            "`quantdet evaluate` take this one"
        )
    read_litert(model_file)
    return model_file, contract


def file_subject(model_file: Path, contract: Contract, pictures: Pictures, tick: Tick) -> Subject:
    """Return the subject of a lone file: LiteRT's reference kernels are the baseline."""
    run = litert_runner(model_file, contract, "reference")
    expected = real_outputs(run, contract, pictures.pixels, tick)
    return Subject(model_file, contract, pictures, REFERENCE, expected)


def run_subject(run: Run, contract: Contract, pictures: Pictures, tick: Tick) -> Subject:
    """Return the subject of a run: its frozen fake-quantized Keras model is the baseline.

    Raises:
        ModelError: the run has no quantized Keras model.
    """
    from quantdet.evaluate.predictors import keras_outputs
    from quantdet.evaluate.run import load_keras
    from quantdet.quant.exact import ExactModel

    paths = (run.qat_dir / "model.keras", run.float_dir / "model.keras")
    for path, stage in zip(paths, ("qat", "train"), strict=True):
        if not path.is_file():
            raise ModelError(f"{path}: not there to compare with; run `quantdet {stage}` first")
    frozen = load_keras(paths[0])
    expected = keras_outputs(frozen, pictures.pixels)
    tick(1, 2)
    floats = keras_outputs(load_keras(paths[1]), pictures.pixels)
    tick(2, 2)

    @cache
    def simulate(kernels: str) -> Outputs:
        return keras_outputs(ExactModel(frozen, kernels), pictures.pixels)

    modelled = contract.input.tensor.dtype != "int16"
    return Subject(
        run.model_file, contract, pictures, KERAS, expected, floats, simulate if modelled else None
    )
