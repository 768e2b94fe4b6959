"""End-to-end parity: the same pictures through the whole net on every kernel set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.detections import Detections
from quantdet.evaluate.predictors import Sizes, decode_batch
from quantdet.progress import Tick, no_tick
from quantdet.quant.litert.micro import micro_runtime
from quantdet.quant.litert_file import read_litert
from quantdet.results.metrics import Agreement, EndToEnd
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.decoders import dequantize
from quantdet.runtime.engine import Engine
from quantdet.runtime.preprocess import quantize_input

Outputs = Mapping[str, NDArray[np.number]]
Runner = Callable[[NDArray[np.uint8]], Outputs]
"""pixels (H, W, 3) → output name → integers of one picture."""
Agree = Callable[[Sequence[Detections], Sequence[Detections]], Agreement]
"""(answers, answers of the reference) → how far they are the same, and how good they are."""


@dataclass(frozen=True)
class Reference:
    """What kernel sets are compared with, for the same pictures.

    Attributes:
        pixels: uint8 (N, H, W, 3).
        sizes: height and width of the original pictures.
        frozen: outputs of the frozen fake-quantized Keras model, real values, batch in front.
        floats: outputs of the float Keras model.
        exact: kernel set → outputs of the simulation that rounds as it does; empty where the
            rounding is not modelled.
    """

    pixels: NDArray[np.uint8]
    sizes: Sizes
    frozen: Outputs
    floats: Outputs
    exact: Mapping[str, Outputs]


def compare_kernels(
    contract: Contract,
    runners: Mapping[str, Runner],
    reference: Reference,
    agreement: Agree,
    progress: Tick = no_tick,
) -> EndToEnd:
    """Compare kernel sets with fake-quantized Keras, beside the noise of quantization.

    Args:
        contract: of the integer file.
        runners: kernel set → runner.
        reference: pictures and Keras' answers.
        agreement: compares what was decoded from the outputs.
        progress: called with (pictures done, all pictures), over all kernel sets.

    Returns:
        Of each kernel set its ``agreement`` with Keras, and of the outputs the share of equal
        integers and the differences in integer steps, with the exact simulation, too. Beside it
        the ``agreement`` of fake-quantized Keras with itself, and its noise against float Keras,
        which is cut to the range of the integers first: a clipped range is no noise.
    """
    specs = {"boxes": contract.boxes, "scores": contract.scores}
    simulated = decode_batch(reference.frozen, contract, reference.sizes)
    rows: list[dict[str, object]] = []
    for number, (name, run) in enumerate(runners.items()):
        answers = []
        for done, picture in enumerate(reference.pixels, start=1):
            answers.append(run(picture))
            every = len(reference.pixels)
            progress(number * every + done, len(runners) * every)
        real = {
            key: np.stack([dequantize(answer[key], spec)[0] for answer in answers])
            for key, spec in specs.items()
        }
        same = agreement(decode_batch(real, contract, reference.sizes), simulated)
        row: dict[str, object] = {
            "kernels": name,
            **same.model_dump(exclude_unset=True),
            **differences(real, reference.frozen, specs),
        }
        if name in reference.exact:
            row["exact"] = differences(real, reference.exact[name], specs)
        rows.append(row)
    noise = quantization_noise(reference.frozen, reference.floats, specs)
    return EndToEnd.model_validate(
        {
            "pictures": len(reference.pixels),
            "simulation": agreement(simulated, simulated),
            "kernels": rows,
            "quantization_noise_lsb": noise,
        },
        extra="forbid",
    )


def quantization_noise(frozen: Outputs, floats: Outputs, specs: Mapping[str, TensorSpec]) -> float:
    """Return the root mean square difference of two Keras models' outputs in integer steps.

    Args:
        frozen: outputs of the fake-quantized model, real values.
        floats: of the float model; what is beyond the range of the integers is cut first, a
            clipped range is no noise.
        specs: output name → its integers.
    """
    within = {key: _within_range(floats[key], spec) for key, spec in specs.items()}
    return differences(frozen, within, specs)["noise_lsb"]


def litert_runner(
    model_file: Path, contract: Contract, kernels: str, num_threads: int = 1
) -> Runner:
    """Return a runner on LiteRT: "reference", "optimized" or "xnnpack" kernels.

    With several threads the optimized kernels' means of positions round by where the channels are
    divided.
    """
    engine = Engine(
        model_file, kernels=kernels, num_threads=num_threads, signature=contract.signature
    )
    return lambda picture: engine.run(quantize_input(picture, contract.input)[None])


def micro_runner(model_file: Path, contract: Contract) -> Runner:
    """Return a runner on TFLite-Micro's kernels, compiled for this machine.

    Raises:
        DependencyError: package ``tflite-micro`` is not installed.
    """
    interpreter = micro_runtime().Interpreter.from_file(str(model_file))
    order = read_litert(model_file).output_order

    def run(picture: NDArray[np.uint8]) -> Outputs:
        interpreter.set_input(quantize_input(picture, contract.input)[None], 0)
        interpreter.invoke()
        return {name: np.array(interpreter.get_output(i)) for i, name in enumerate(order)}

    return run


def differences(a: Outputs, b: Outputs, specs: Mapping[str, TensorSpec]) -> dict[str, float]:
    """Return how far real outputs are apart, in integer steps of all outputs together.

    Returns:
        "identical" (share of equal integers), "noise_lsb" (root mean square), "max_lsb".
    """
    steps = np.concatenate(
        [
            np.round((a[key].astype(np.float64) - b[key]) / spec.scale, 3).reshape(-1)
            for key, spec in specs.items()
        ]
    )
    return {
        "identical": float((steps == 0).mean()),
        "noise_lsb": float(np.sqrt(np.mean(np.square(steps)))),
        "max_lsb": float(np.abs(steps).max()),
    }


def _within_range(values: NDArray[np.number], spec: TensorSpec) -> NDArray[np.number]:
    """Return real values cut to those that the integers of an output stand for."""
    limits = np.iinfo(spec.dtype)
    low, high = ((q - spec.zero_point) * spec.scale for q in (limits.min, limits.max))
    within: NDArray[np.number] = np.clip(values, low, high)
    return within
