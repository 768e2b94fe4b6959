"""End-to-end parity: the same pictures through the whole net on every kernel set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DependencyError
from quantdet.quant.litert_file import read_litert
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.decode import dequantize
from quantdet.runtime.engine import Engine
from quantdet.runtime.preprocess import quantize_input

Outputs = dict[str, NDArray[Any]]
Runner = Callable[[NDArray[np.uint8]], Outputs]
"""pixels (H, W, 3) → output name → integers of one picture."""

KERNELS = ("reference", "optimized", "xnnpack", "tflite-micro")


@dataclass(frozen=True)
class KernelParity:
    """One kernel set against the frozen fake-quantized Keras model.

    Attributes:
        kernels: name of the kernel set.
        same_class: share of pictures with the same best class, 0 to 1.
        identical: share of equal output integers.
        noise_lsb: root mean square difference of the outputs in integer steps.
        max_lsb: largest difference in integer steps.
        class_accuracy: of this kernel set on these pictures, 0 to 1.
    """

    kernels: str
    same_class: float
    identical: float
    noise_lsb: float
    max_lsb: float
    class_accuracy: float


@dataclass(frozen=True)
class Reference:
    """What kernel sets are compared with, for the same pictures.

    Attributes:
        pixels: uint8 (N, H, W, 3).
        class_ids: annotated classes (N,), without background.
        frozen: outputs of the frozen fake-quantized Keras model, real values, batch in front.
        floats: outputs of the float Keras model.
    """

    pixels: NDArray[np.uint8]
    class_ids: NDArray[np.int64]
    frozen: Outputs
    floats: Outputs


def compare_kernels(
    contract: Contract, runners: Mapping[str, Runner], reference: Reference
) -> dict[str, Any]:
    """Compare kernel sets with fake-quantized Keras, beside the noise of quantization.

    Args:
        contract: of the integer file.
        runners: kernel set → runner.
        reference: pictures, truth, and Keras' answers.

    Returns:
        {"kernels": [KernelParity…], "quantization_noise_lsb": float, "pictures": N}
    """
    specs = {"boxes": contract.boxes, "scores": contract.scores}
    rows = []
    for name, run in runners.items():
        answers = [run(picture) for picture in reference.pixels]
        real = {
            key: np.stack([dequantize(answer[key], spec)[0] for answer in answers])
            for key, spec in specs.items()
        }
        classes = _best_class(real) - (contract.background_index is not None)
        accuracy = float((classes == reference.class_ids).mean())
        rows.append(_compare(name, real, reference.frozen, specs, accuracy))
    noise = np.sqrt(np.mean(np.square(_steps(reference.frozen, reference.floats, specs))))
    return {
        "pictures": len(reference.pixels),
        "kernels": [asdict(row) for row in rows],
        "quantization_noise_lsb": float(noise),
    }


def litert_runner(model_file: Path, contract: Contract, kernels: str) -> Runner:
    """Return a runner on LiteRT: "reference", "optimized" or "xnnpack" kernels."""
    engine = Engine(model_file, kernels=kernels, num_threads=2)
    return lambda picture: engine.run(quantize_input(picture, contract.input)[None])


def micro_runner(model_file: Path, contract: Contract) -> Runner:
    """Return a runner on TFLite-Micro's kernels, compiled for this machine.

    Raises:
        DependencyError: package ``tflite-micro`` is not installed.
    """
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError:
        raise DependencyError(
            "TFLite-Micro is not installed: pip install --pre tflite-micro"
        ) from None
    interpreter = runtime.Interpreter.from_file(str(model_file))
    order = read_litert(model_file).output_order

    def run(picture: NDArray[np.uint8]) -> Outputs:
        interpreter.set_input(quantize_input(picture, contract.input)[None], 0)
        interpreter.invoke()
        return {name: np.array(interpreter.get_output(i)) for i, name in enumerate(order)}

    return run


def _compare(
    name: str, real: Outputs, frozen: Outputs, specs: Mapping[str, TensorSpec], accuracy: float
) -> KernelParity:
    steps = _steps(real, frozen, specs)
    return KernelParity(
        kernels=name,
        same_class=float((_best_class(real) == _best_class(frozen)).mean()),
        identical=float((steps == 0).mean()),
        noise_lsb=float(np.sqrt(np.mean(np.square(steps)))),
        max_lsb=float(np.abs(steps).max()),
        class_accuracy=accuracy,
    )


def _steps(a: Outputs, b: Outputs, specs: Mapping[str, TensorSpec]) -> NDArray[np.float64]:
    """Return the differences of all outputs in integer steps, in one row."""
    differences = [
        np.round((a[key].astype(np.float64) - b[key]) / spec.scale, 3).reshape(-1)
        for key, spec in specs.items()
    ]
    return np.concatenate(differences)


def _best_class(outputs: Outputs) -> NDArray[np.int64]:
    scores = outputs["scores"].reshape(len(outputs["scores"]), -1, outputs["scores"].shape[-1])
    best: NDArray[np.int64] = scores.max(axis=1).argmax(axis=-1)
    return best
