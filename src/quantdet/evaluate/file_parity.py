"""An integer file on every kernel set of this machine, compared with its source models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DependencyError
from quantdet.evaluate.end_to_end import (
    Agree,
    Outputs,
    Reference,
    Runner,
    compare_kernels,
    litert_runner,
    micro_runner,
)
from quantdet.evaluate.predictors import Sizes, keras_outputs
from quantdet.progress import Tick, no_tick
from quantdet.results.metrics import Agreement, EndToEnd
from quantdet.runtime.contract import Contract, load_contract

if TYPE_CHECKING:
    import keras

_LITERT = ("reference", "optimized", "xnnpack")
_MICRO = "tflite-micro"


@dataclass(frozen=True)
class FileParity:
    """An integer file on every kernel set.

    Attributes:
        end_to_end: how far each one answers as the models.
        skipped: kernel set → why it was left out.
    """

    end_to_end: EndToEnd
    skipped: Mapping[str, str]


def compare_file(
    model_file: Path | str,
    models: tuple[keras.Model, keras.Model],
    pictures: tuple[NDArray[np.uint8], Sizes],
    agreement: Agree = lambda answers, others: Agreement(),
    progress: Tick = no_tick,
) -> FileParity:
    """Compare an integer file on every kernel set of this machine with the models it was made of.

    Args:
        model_file: a .tflite with its contract.
        models: frozen fake-quantized, and float.
        pictures: uint8 (N, H, W, 3), and the sizes of the originals.
        agreement: compares what was decoded from the outputs.
        progress: called with (pictures done, all pictures), over all kernel sets.

    Returns:
        What ``evaluate.end_to_end.compare_kernels`` returns, and what was left out.

    Raises:
        ModelError: the file or its contract is missing or damaged.
    """
    model_file = Path(model_file)
    contract = load_contract(model_file)
    runners, skipped = _runners(model_file, contract)
    frozen, floats = models
    pixels, sizes = pictures
    reference = Reference(
        pixels,
        sizes,
        keras_outputs(frozen, pixels),
        keras_outputs(floats, pixels),
        _exact_outputs(frozen, contract, runners, pixels),
    )
    found = compare_kernels(contract, runners, reference, agreement, progress)
    return FileParity(found, skipped)


def equal_integers(
    model_file: Path | str, other_file: Path | str, pixels: NDArray[np.uint8]
) -> dict[str, tuple[int, int]]:
    """Compare what two integer files answer, on every kernel set of this machine.

    Args:
        model_file: a .tflite with its contract.
        other_file: another with outputs of the same names, e.g. one that computes in patches.
        pixels: uint8 (N, H, W, 3).

    Returns:
        Kernel set → how many values of all outputs are equal, and how many there are.

    Raises:
        ModelError: a file or its contract is missing or damaged.
    """
    files = [(Path(path), load_contract(path)) for path in (model_file, other_file)]
    (runners, _), (others, _) = (_runners(*pair) for pair in files)
    return {
        name: _count_equal((runner(x), others[name](x)) for x in pixels)
        for name, runner in runners.items()
    }


def _count_equal(pairs: Iterable[tuple[Outputs, Outputs]]) -> tuple[int, int]:
    same = [answer[key] == other[key] for answer, other in pairs for key in answer]
    return sum(int(item.sum()) for item in same), sum(item.size for item in same)


def _runners(model_file: Path, contract: Contract) -> tuple[dict[str, Runner], dict[str, str]]:
    """Return kernel set → runner, and kernel set → why there is none."""
    runners = {name: litert_runner(model_file, contract, name) for name in _LITERT}
    try:
        runners[_MICRO] = micro_runner(model_file, contract)
    except DependencyError as error:
        return runners, {_MICRO: str(error)}
    return runners, {}


def _exact_outputs(
    frozen: keras.Model, contract: Contract, kernels: Iterable[str], pixels: NDArray[np.uint8]
) -> dict[str, Outputs]:
    if contract.input.tensor.dtype == "int16":
        return {}
    from quantdet.quant.exact import ExactModel

    return {name: keras_outputs(ExactModel(frozen, name), pixels) for name in kernels}
