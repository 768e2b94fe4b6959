"""LiteRT's CompiledModel API, the successor of the interpreter, on the CPU.

Its CPU accelerator is XNNPACK, so that is how it rounds. What no accelerator takes runs on
LiteRT's own kernels, and is not told apart here.
"""

from __future__ import annotations

from importlib import metadata
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DependencyError
from quantdet.evaluate.end_to_end import Outputs, Runner
from quantdet.progress import Tick
from quantdet.results.verification import TargetResult
from quantdet.runtime.contract import Contract
from quantdet.runtime.preprocess import quantize_input
from quantdet.verify.answers import by_threads
from quantdet.verify.subject import Subject, compared
from quantdet.verify.verdict import judge_threads


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures; the outputs must not depend on the number of threads.

    Raises:
        DependencyError: this version of ai-edge-litert lacks the API.
    """
    version = metadata.version("ai-edge-litert")
    if not subject.contract.signature:
        reason = "the API names tensors by a signature, which the file does not have"
        return TargetResult(status="skipped", reason=reason, version=version)
    try:
        from ai_edge_litert import compiled_model as api
    except ImportError:
        raise DependencyError(
            f"ai-edge-litert {version} has no CompiledModel API: pip install -U ai-edge-litert"
        ) from None

    def make(threads: int) -> Runner:
        return _runner(_compile(api, subject.model_file, threads), subject.contract)

    return judge_threads(subject, by_threads(make, subject, tick), "xnnpack", version)


def _compile(api: Any, model_file: Path, threads: int) -> Any:
    options = api.Options(
        hardware_accelerators=api.HardwareAccelerator.CPU,
        cpu_options=api.CpuOptions(num_threads=threads),
    )
    return api.CompiledModel.from_file(str(model_file), options=options)


def _runner(model: Any, contract: Contract) -> Runner:
    signature, tensor = contract.signature, contract.input.tensor
    specs = compared(contract).values()
    inputs = {tensor.name: model.create_input_buffer_by_name(signature, tensor.name)}
    outputs = {
        spec.name: model.create_output_buffer_by_name(signature, spec.name) for spec in specs
    }

    def run(picture: NDArray[np.uint8]) -> Outputs:
        inputs[tensor.name].write(quantize_input(picture, contract.input)[None])
        model.run_by_name(signature, inputs, outputs)
        flat = {s.name: outputs[s.name].read(prod(s.shape), np.dtype(s.dtype)) for s in specs}
        return {spec.name: flat[spec.name].reshape(spec.shape) for spec in specs}

    return run
