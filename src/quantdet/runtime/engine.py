"""Run a .tflite with LiteRT; tensors go by name, never by position.

The converter orders outputs as it likes, so positions mean nothing. Names are those of a
signature; files made elsewhere may have none, then the tensors' own names are taken.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from quantdet.errors import ModelError, QuantdetError
from quantdet.runtime.contract import TensorSpec, file_sha256, load_contract
from quantdet.runtime.cores import usable_cores
from quantdet.runtime.interpreters import Interpreters
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
MOST_THREADS = 1024
"""Of one engine; LiteRT crashes where the system does not give it all."""


def default_threads() -> int:
    """Return the cores this process may use, at most 4 (more rarely helps a small model)."""
    return min(_MOST_DEFAULT_THREADS, usable_cores())


class Engine:
    """One loaded model with one picture input, for any number of threads.

    Threads that run it at once share the cores: one more interpreter is loaded for each, as long
    as ``num_threads`` of them all are no more than the cores; then they wait for each other. A
    forked process loads the model again when it first runs it. Pickled, it is the path and the
    sha256 of its file.

    Args:
        model_file: a .tflite.
        num_threads: None for :func:`default_threads`.
        kernels: a key of ``KERNELS``: "xnnpack" as devices use it, "optimized" for LiteRT's
            own fast kernels, "reference" for the plain ones.
        preserve_all_tensors: keep inner tensors readable by :meth:`tensor` (costs memory); threads
            then wait for each other.
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
        self._source = _Source.of(Path(model_file), num_threads, kernels, preserve_all_tensors)
        self.model_file = self._source.model_file
        self.num_threads = self._source.num_threads
        most = 1 if preserve_all_tensors else max(1, usable_cores() // self.num_threads)
        self._interpreters = Interpreters(self._source.load, most)
        with self._interpreters.one() as interpreter:
            try:
                self._describe(interpreter, signature)
            except (RuntimeError, ValueError) as error:
                raise self._source.refusal("not a .tflite that LiteRT can run", error) from None

    def __reduce__(self) -> tuple[Any, ...]:
        source = self._source
        source.check_unchanged()
        options = {
            "num_threads": source.num_threads,
            "kernels": source.kernels,
            "preserve_all_tensors": source.preserve_all_tensors,
            "signature": self.signature,
        }
        return _unpickle, (
            str(source.path),
            file_sha256(source.path),
            options,
        )

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
        with self._interpreters.one() as interpreter:
            try:
                interpreter.set_tensor(self._input_index, tensor)
                interpreter.invoke()
                return {
                    name: np.array(interpreter.get_tensor(index))
                    for name, index in self._output_indices.items()
                }
            except (RuntimeError, ValueError) as error:
                raise self._source.refusal("LiteRT failed to run it", error) from None

    def tensor(self, index: int) -> NDArray[np.number]:
        """Return a copy of a tensor by its index in the file.

        Inner tensors hold what the last run put there only with ``preserve_all_tensors``.
        """
        with self._interpreters.one() as interpreter:
            return np.array(interpreter.get_tensor(index))

    def outputs_of(self, operator: str) -> tuple[str, ...] | None:
        """Return the names of the outputs that an operator writes, in its own order.

        Args:
            operator: its name in the file, e.g. "TFLite_Detection_PostProcess".

        Returns:
            None where the file has no such operator, or others come after it.
        """
        names = {index: name for name, index in self._output_indices.items()}
        with self._interpreters.one() as interpreter:
            # The one list of operators that every version of LiteRT gives.
            for details in interpreter._get_ops_details():
                if details["op_name"] == operator:
                    found = [names.get(int(index)) for index in details["outputs"]]
                    return None if None in found else tuple(filter(None, found))
        return None

    def _describe(self, interpreter: Interpreter, signature: str | None) -> None:
        """Set what is known of the model: its signature, input and outputs."""
        self.signature = self._choose_signature(list(interpreter.get_signature_list()), signature)
        inputs, output_details = _details(interpreter, self.signature)
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

    def _choose_signature(self, names: list[str], wanted: str | None) -> str:
        if wanted is None:
            first = names[0] if names else ""
            wanted = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in names else first
        if wanted and wanted not in names:
            raise ModelError(
                f'{self.model_file}: has no signature {wanted!r}, only {names}; the name "" '
                "means no signature"
            )
        return wanted

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


@dataclass(frozen=True)
class _Source:
    """A model file and how it is loaded.

    Attributes:
        model_file: as given.
        path: of the same file, whatever the working directory becomes.
        num_threads, kernels, preserve_all_tensors: as of ``Engine``.
        stamp: tells whether it is still the same file.
    """

    model_file: Path
    path: Path
    num_threads: int
    kernels: str
    preserve_all_tensors: bool
    stamp: tuple[int, ...]

    @classmethod
    def of(
        cls, model_file: Path, num_threads: int | None, kernels: str, preserve_all_tensors: bool
    ) -> _Source:
        """Return it with defaults filled in.

        Raises:
            ModelError: no such file, or a setting is unknown.
        """
        if num_threads is not None and not _is_thread_count(num_threads):
            raise ModelError(f"num_threads is {num_threads!r}; use 1 to {MOST_THREADS}")
        if kernels not in KERNELS:
            raise ModelError(f"kernels {kernels!r} are unknown; choose one of {list(KERNELS)}")
        if not model_file.is_file():
            raise ModelError(
                f"{model_file}: no such model file; check the path, or make it with "
                "`quantdet export`"
            )
        threads = default_threads() if num_threads is None else int(num_threads)
        path = model_file.absolute()
        return cls(model_file, path, threads, kernels, preserve_all_tensors, _stamp(path))

    def check_unchanged(self) -> None:
        """Raise ``ModelError`` if the file is not the one that was first loaded."""
        if not self.path.is_file() or _stamp(self.path) != self.stamp:
            raise ModelError(
                f"{self.model_file}: was changed or removed since it was loaded; load it again"
            )

    def load(self) -> Interpreter:
        """Return one more interpreter of the file, ready to run."""
        self.check_unchanged()
        try:
            with quiet_stderr(), warnings.catch_warnings():
                # LiteRT warns that preserve_all_tensors takes memory.
                warnings.simplefilter("ignore")
                from ai_edge_litert.interpreter import Interpreter, OpResolverType

                interpreter = Interpreter(
                    str(self.path),
                    num_threads=self.num_threads,
                    experimental_op_resolver_type=OpResolverType[KERNELS[self.kernels]],
                    experimental_preserve_all_tensors=self.preserve_all_tensors,
                )
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError, MemoryError) as error:
            raise self.refusal("not a .tflite that LiteRT can run, or truncated", error) from None
        return interpreter

    def refusal(self, what: str, error: Exception) -> ModelError:
        """Return the error of a file that LiteRT does not take; a whole file is not to blame."""
        reason = " ".join(str(error).split())  # LiteRT may say it in several lines
        if not self._is_whole():
            return ModelError(f"{self.model_file}: {what} ({reason}); copy or export it again")
        return ModelError(
            f"{self.model_file}: LiteRT cannot use it ({reason}), though it is as it was exported "
            "(sha256); free memory or close files, or update ai-edge-litert"
        )

    def _is_whole(self) -> bool:
        """Return whether a contract knows the file's sha256 and it is right."""
        try:
            return bool(load_contract(self.path).sha256)
        except QuantdetError:
            return False
        except MemoryError:
            return True  # memory is what is missing


def _is_thread_count(value: object) -> bool:
    # numpy's integers are no int.
    return isinstance(value, Integral) and 1 <= int(value) <= MOST_THREADS


def _stamp(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _details(interpreter: Interpreter, signature: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return name → LiteRT's description of inputs and of outputs."""
    if signature:
        runner = interpreter.get_signature_runner(signature)
        return runner.get_input_details(), runner.get_output_details()
    inputs = {item["name"]: item for item in interpreter.get_input_details()}
    return inputs, {item["name"]: item for item in interpreter.get_output_details()}


def _unpickle(model_file: str, sha256: str, options: dict[str, Any]) -> Engine:
    if Path(model_file).is_file() and file_sha256(Path(model_file)) != sha256:
        raise ModelError(
            f"{model_file}: is not the file that was pickled (sha256 differs); give this process "
            "the same file"
        )
    return Engine(model_file, **options)
