"""Run a .tflite with LiteRT; tensors go by name, never by position.

The converter orders outputs as it likes, so positions mean nothing. Names are those of a
signature; files made elsewhere may have none, then the tensors' own names are taken.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from quantdet.errors import ModelError
from quantdet.runtime.contract import TensorSpec
from quantdet.runtime.cores import usable_cores
from quantdet.system.quiet import quiet_stderr

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

# Name → member of ai_edge_litert.interpreter.OpResolverType.
KERNELS: dict[str, str] = {
    "xnnpack": "BUILTIN",
    "optimized": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
DEFAULT_SIGNATURE = "serving_default"
_MOST_DEFAULT_THREADS = 4


def default_threads() -> int:
    """Return the cores this process may use, at most 4 (more rarely helps a small model)."""
    return min(_MOST_DEFAULT_THREADS, usable_cores())


class Engine:
    """One loaded model with one picture input.

    Args:
        model_file: a .tflite.
        num_threads: None for :func:`default_threads`.
        kernels: a key of ``KERNELS``: "xnnpack" as devices use it, "optimized" for LiteRT's
            own fast kernels, "reference" for the plain ones.
        preserve_all_tensors: keep inner tensors readable by :meth:`tensor` (costs memory).
        signature: which one; None takes "serving_default" or the first, "" the tensors' own
            names, which is what a file without signatures has.

    Attributes:
        model_file: as given.
        num_threads: in use.
        input: the input tensor.
        outputs: output name → tensor.
        signature: in use; "" where names are those of tensors.

    Raises:
        ModelError: file missing or corrupt, signature unknown, not one input, an operator that
            LiteRT cannot run, or kernels unknown.
    """

    def __init__(
        self,
        model_file: Path | str,
        *,
        num_threads: int | None = None,
        kernels: str = "xnnpack",
        preserve_all_tensors: bool = False,
        signature: str | None = None,
    ) -> None:
        self.model_file = Path(model_file)
        self.num_threads = default_threads() if num_threads is None else num_threads
        if self.num_threads < 1:
            raise ModelError(f"num_threads is {num_threads}; use 1 or more")
        if kernels not in KERNELS:
            raise ModelError(f"kernels {kernels!r} are unknown; choose one of {list(KERNELS)}")
        self._interpreter = _load(
            self.model_file, self.num_threads, KERNELS[kernels], preserve_all_tensors
        )
        self.signature = self._choose_signature(signature)
        inputs, output_details = self._details()
        if len(inputs) != 1:
            raise ModelError(
                f"{self.model_file}: has {len(inputs)} inputs {list(inputs)}, a detector has one; "
                "export it with quantdet"
            )
        ((name, details),) = inputs.items()
        self.input = self._spec(name, details)
        self._input_index = details["index"]
        self.outputs = {name: self._spec(name, item) for name, item in output_details.items()}
        self._output_indices = {name: item["index"] for name, item in output_details.items()}

    def run(self, tensor: NDArray[np.number]) -> dict[str, NDArray[np.number]]:
        """Run the model once.

        Args:
            tensor: shape and dtype of ``input``.

        Returns:
            Output name → raw tensor (integers where the model is quantized), own copies.

        Raises:
            ModelError: wrong shape or dtype, or LiteRT fails.
        """
        if tensor.shape != self.input.shape or tensor.dtype != self.input.dtype:
            raise ModelError(
                f"{self.model_file}: input {self.input.name!r} is {self.input.dtype} "
                f"{self.input.shape}, got {tensor.dtype} {tensor.shape}"
            )
        try:
            self._interpreter.set_tensor(self._input_index, tensor)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{self.model_file}: LiteRT failed to run it ({error}); export it again"
            ) from None
        return {name: self.tensor(index) for name, index in self._output_indices.items()}

    def tensor(self, index: int) -> NDArray[np.number]:
        """Return a copy of a tensor by its index in the file.

        Inner tensors hold what the last run put there only with ``preserve_all_tensors``.
        """
        return np.array(self._interpreter.get_tensor(index))

    def _choose_signature(self, wanted: str | None) -> str:
        names = list(self._interpreter.get_signature_list())
        if wanted is None:
            first = names[0] if names else ""
            wanted = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in names else first
        if wanted and wanted not in names:
            raise ModelError(
                f'{self.model_file}: has no signature {wanted!r}, only {names}; the name "" '
                "means no signature"
            )
        return wanted

    def _details(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return name → LiteRT's description of inputs and of outputs."""
        if self.signature:
            runner = self._interpreter.get_signature_runner(self.signature)
            return runner.get_input_details(), runner.get_output_details()
        inputs = {item["name"]: item for item in self._interpreter.get_input_details()}
        return inputs, {item["name"]: item for item in self._interpreter.get_output_details()}

    def _spec(self, name: str, details: dict[str, Any]) -> TensorSpec:
        scale, zero_point = details["quantization"]
        try:
            return TensorSpec(
                name=name,
                shape=tuple(int(n) for n in details["shape"]),
                dtype=np.dtype(details["dtype"]).name,
                scale=float(scale),
                zero_point=int(zero_point),
            )
        except ValidationError:
            raise ModelError(
                f"{self.model_file}: tensor {name!r} is {np.dtype(details['dtype']).name}; "
                "a detector's inputs and outputs are uint8, int8, int16 or float32"
            ) from None


def _load(
    model_file: Path, num_threads: int, resolver: str, preserve_all_tensors: bool
) -> Interpreter:
    if not model_file.is_file():
        raise ModelError(
            f"{model_file}: no such model file; check the path, or make it with `quantdet export`"
        )
    try:
        with quiet_stderr(), warnings.catch_warnings():
            # LiteRT warns that preserve_all_tensors takes memory.
            warnings.simplefilter("ignore")
            from ai_edge_litert.interpreter import Interpreter, OpResolverType

            interpreter = Interpreter(
                str(model_file),
                num_threads=num_threads,
                experimental_op_resolver_type=OpResolverType[resolver],
                experimental_preserve_all_tensors=preserve_all_tensors,
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # LiteRT may say it in several lines
        raise ModelError(
            f"{model_file}: not a .tflite that LiteRT can run, or truncated ({reason}); "
            "copy or export it again"
        ) from None
    return interpreter
