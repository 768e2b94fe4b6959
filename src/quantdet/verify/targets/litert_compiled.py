"""LiteRT's CompiledModel API, the successor of the interpreter, on the CPU.

Its CPU accelerator is XNNPACK, so that is how it rounds. What no accelerator takes runs on
LiteRT's own kernels, and is not told apart here.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DependencyError
from quantdet.evaluate.end_to_end import Runner
from quantdet.quiet import quiet_stderr
from quantdet.runtime.preprocess import quantize_input
from quantdet.verify.answers import Tick, by_threads
from quantdet.verify.result import TargetResult
from quantdet.verify.subject import Subject
from quantdet.verify.verdict import judge_threads


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures; the outputs must not depend on the number of threads.

    Raises:
        DependencyError: this version of ai-edge-litert lacks the API.
    """
    version = metadata.version("ai-edge-litert")
    try:
        from ai_edge_litert import compiled_model as api
    except ImportError:
        raise DependencyError(
            f"ai-edge-litert {version} has no CompiledModel API: pip install -U ai-edge-litert"
        ) from None
    found = by_threads(lambda threads: _runner(api, subject, threads), subject, tick)
    return judge_threads(subject, found, "xnnpack", version)


def _runner(api: Any, subject: Subject, threads: int) -> Runner:
    options = api.Options(
        hardware_accelerators=api.HardwareAccelerator.CPU,
        cpu_options=api.CpuOptions(num_threads=threads),
    )
    with quiet_stderr():
        model = api.CompiledModel.from_file(str(subject.model_file), options=options)
    signature = subject.contract.signature
    tensor = subject.contract.input
    inputs = {
        tensor.tensor.name: model.create_input_buffer_by_name(signature, tensor.tensor.name)
    }
    buffers = {
        spec.name: model.create_output_buffer_by_name(signature, spec.name)
        for spec in subject.specs.values()
    }

    def run(picture: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        inputs[tensor.tensor.name].write(quantize_input(picture, tensor)[None])
        model.run_by_name(signature, inputs, buffers)
        return {
            spec.name: buffers[spec.name]
            .read(int(np.prod(spec.shape)), np.dtype(spec.dtype))
            .reshape(spec.shape)
            for spec in subject.specs.values()
        }

    return run
