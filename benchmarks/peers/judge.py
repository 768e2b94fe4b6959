"""What becomes of one net: quantized, exported, run, and compared with the given float net."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from converter_ptq import write_converter_file
from numpy.typing import NDArray
from realistic import as_taken, draw_inputs, set_realistic_weights

from quantdet import QuantdetError, export_integer, prepare_qat
from quantdet.quant import ExactModel, freeze

# From bad to good; "unbuilt" is a fault of this benchmark, not of the quantizer.
VERDICTS = ("unbuilt", "traceback", "wrong", "late", "refused", "pass")
LEAST_DB = 20.0
MOST_STEPS = 2.0
# How far below LiteRT's own quantizer a net may be that 8 bits cost more than usual.
CONVERTER_MARGIN_DB = 1.0
CALIBRATION, COMPARED = 256, 16
_BATCH = 16
_KERNELS = {"reference": OpResolverType.BUILTIN_REF, "xnnpack": OpResolverType.BUILTIN}
Outputs = dict[str, NDArray[Any]]


@dataclass
class Row:
    """One net.

    Attributes:
        name: of the net.
        verdict: one of ``VERDICTS``.
        message: of the error, or what is wrong.
        db: SQNR of the file against the given float net, the worst output and kernel set.
        converter_db: that of LiteRT's own post-training quantizer; found only where ``db`` is low.
        steps: largest difference of file and simulation in steps of the output.
        mean_steps: mean difference.
        exact_steps: largest difference of the file from the simulation that rounds as its kernels
            do; found only where ``steps`` is too large.
        seconds: of all.
    """

    name: str
    verdict: str = "unbuilt"
    message: str = ""
    db: float | None = None
    converter_db: float | None = None
    steps: float | None = None
    mean_steps: float | None = None
    exact_steps: float | None = None
    seconds: float = 0.0


def judge(name: str, build: Callable[[Any], Any]) -> Row:
    """Return the verdict on a net; errors are caught, wherever they come from."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    start = time.perf_counter()
    row = Row(name)
    try:
        case = _Case(build)
    except Exception as error:
        row.message = _describe(error)
    else:
        _quantize(case, row)
    row.seconds = round(time.perf_counter() - start, 1)
    return row


class _Case:
    """A float net with weights and inputs."""

    def __init__(self, build: Callable[[Any], Any]) -> None:
        rng = np.random.default_rng(0)
        self.model = build(keras)
        self.calibration = draw_inputs(self.model, CALIBRATION, rng)
        self.compared = draw_inputs(self.model, COMPARED, rng)
        self._known = self.model.built
        if self._known:
            set_realistic_weights(self.model, self._fixed_batch(), rng)
            self.run()

    def run(self, model: Any = None) -> Outputs:
        """Return what the float net, or another model with its inputs, makes of the inputs."""
        model = model or self.model
        whole = self._answers(lambda batch: model(as_taken(model, batch), training=False))
        if not all(np.isfinite(values).all() for values in whole.values()):
            raise ValueError("outputs are not finite")
        return whole

    def _answers(self, answer: Callable[[list[NDArray[Any]]], Any]) -> Outputs:
        found = [_numbers(answer(batch)) for batch in self._batches(self.compared)]
        return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}

    def calibration_batches(self) -> list[Any]:
        return [as_taken(self.model, batch) for batch in self._batches(self.calibration)]

    def _batches(self, arrays: list[NDArray[Any]]) -> list[list[NDArray[Any]]]:
        size = self._batch_size()
        starts = range(0, len(arrays[0]), size)
        return [[array[start : start + size] for array in arrays] for start in starts]

    def _fixed_batch(self) -> list[NDArray[Any]]:
        """Return as many pictures at once as the net takes."""
        fixed = self.model.inputs[0].shape[0]
        return [array[:fixed] for array in self.calibration]

    def _batch_size(self) -> int:
        fixed = self.model.inputs[0].shape[0] if self._known else None
        return fixed or _BATCH


def _quantize(case: _Case, row: Row) -> None:
    stage = "prepare_qat"
    with tempfile.TemporaryDirectory() as folder:
        try:
            prepared = prepare_qat(case.model, case.calibration_batches())
            stage = "export_integer"
            path = export_integer(prepared, Path(folder) / "model.tflite")
            stage = "run"
            _compare(case, prepared, path, row)
        except QuantdetError as error:
            row.verdict = "refused" if stage == "prepare_qat" else "late"
            row.message = str(error)
        except Exception as error:
            row.verdict, row.message = "traceback", f"{stage}: {_describe(error)}"


def _compare(case: _Case, prepared: Any, path: Path, row: Row) -> None:
    frozen = freeze(prepared)
    wanted, simulated = case.run(), case.run(frozen)
    files = {kernels: _File(path, kernels) for kernels in _KERNELS}
    found = {kernels: file.run(case) for kernels, file in files.items()}
    for outputs in found.values():
        if outputs.keys() != wanted.keys():
            raise ValueError(f"outputs {sorted(outputs)} instead of {sorted(wanted)}")
    decibels = [sqnr(wanted[name], outputs[name]) for outputs in found.values() for name in wanted]
    steps = np.concatenate([files[k].differences(found[k], simulated) for k in _KERNELS])
    row.db = round(min(decibels), 1)
    row.steps, row.mean_steps = round(float(steps.max()), 2), round(float(steps.mean()), 4)
    if len(case.compared) == 1:
        if row.db < LEAST_DB:
            row.converter_db = _converter_db(case, wanted, path.with_name("converter.tflite"))
        if row.steps > MOST_STEPS:
            exact = {k: _numbers(ExactModel(frozen, k)(files[k].taken(case))) for k in _KERNELS}
            steps = np.concatenate([files[k].differences(found[k], exact[k]) for k in _KERNELS])
            row.exact_steps = round(float(steps.max()), 2)
    faults = list(_faults(row))
    row.verdict, row.message = ("wrong", ", ".join(faults)) if faults else ("pass", "")


def _converter_db(case: _Case, wanted: Outputs, path: Path) -> float | None:
    try:
        write_converter_file(case.model, case.calibration[0], path)
    # A net that the converter does not take sets no measure.
    except Exception:
        return None
    found = _File(path, "xnnpack").run(case)
    return round(min(sqnr(wanted[name], found[name]) for name in wanted), 1)


def _faults(row: Row) -> Iterator[str]:
    """Yield what is wrong with a file.

    A net to which 8 bits are no more cruel in our hands than in those of LiteRT's converter is
    not quantized wrongly. In a deep net the one-step differences of kernels grow to a noise like
    that of quantization; then the simulation that rounds as they do has to tell their answer.
    """
    if not row.db >= LEAST_DB:
        attainable = row.converter_db
        if attainable is None or not row.db >= attainable - CONVERTER_MARGIN_DB:
            yield f"{row.db} dB against the float net (LiteRT's converter: {attainable or '–'} dB)"
    if not row.steps <= MOST_STEPS:
        differ = f"file and simulation differ by {row.steps} steps ({row.mean_steps} on average)"
        if row.exact_steps is None:
            yield differ
        elif not row.exact_steps <= MOST_STEPS:
            yield f"{differ}, with the kernels' rounding by {row.exact_steps}"


def sqnr(wanted: NDArray[Any], found: NDArray[Any]) -> float:
    """Return 10 log10(signal power / error power) in dB, at most 100; shapes must be equal."""
    if wanted.shape != found.shape:
        raise ValueError(f"output of shape {found.shape} instead of {wanted.shape}")
    noise = float(np.mean((found - wanted) ** 2))
    signal = float(np.mean(wanted**2))
    if noise <= 1e-10 * signal:
        return 100.0
    return float(10 * np.log10(signal / noise)) if signal else -100.0


class _File:
    """A .tflite, by the names of its signature."""

    def __init__(self, path: Path, kernels: str) -> None:
        interpreter = Interpreter(str(path), experimental_op_resolver_type=_KERNELS[kernels])
        self._runner = interpreter.get_signature_runner()
        self._inputs = self._runner.get_input_details()
        self._outputs = self._runner.get_output_details()
        # Integers that stay integers (indices) have no scale.
        self.steps = {name: _grid(spec)[0] for name, spec in self._outputs.items()}

    def run(self, case: _Case) -> Outputs:
        """Return the real values of all outputs for the inputs of a case."""
        named = self.quantized(case)
        size = int(next(iter(self._inputs.values()))["shape"][0])
        found: list[Outputs] = []
        for start in range(0, COMPARED, size):
            batch = {name: values[start : start + size] for name, values in named.items()}
            raw = self._runner(**batch)
            found.append({name: self._real(name, values) for name, values in raw.items()})
        return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}

    def differences(self, found: Outputs, expected: Outputs) -> NDArray[np.float64]:
        """Return how far real values of all outputs are apart, in steps of their grids."""
        apart = [np.abs(found[name] - expected[name]) / self.steps[name] for name in expected]
        return np.concatenate([values.reshape(-1) for values in apart])

    def taken(self, case: _Case) -> NDArray[np.float32]:
        """Return the real values that the integers of one input stand for."""
        ((name, integers),) = self.quantized(case).items()
        scale, zero_point = _grid(self._inputs[name])
        return (np.float32(scale) * (integers.astype(np.float32) - zero_point)).astype(np.float32)

    def quantized(self, case: _Case) -> dict[str, NDArray[Any]]:
        """Return input name → integers; one input may have any name, several have Keras' own."""
        if len(self._inputs) == 1:
            names = list(self._inputs)
        else:
            names = [symbol.name for symbol in case.model.inputs]
        return {
            name: _quantized(values, self._inputs[name])
            for name, values in zip(names, case.compared, strict=True)
        }

    def _real(self, name: str, values: NDArray[Any]) -> NDArray[np.float64]:
        scale, zero_point = _grid(self._outputs[name])
        return (values.astype(np.float64) - zero_point) * scale


def _grid(spec: dict[str, Any]) -> tuple[float, int]:
    scale, zero_point = spec["quantization"]
    return (scale, zero_point) if scale else (1.0, 0)


def _quantized(values: NDArray[Any], spec: dict[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(spec["dtype"])
    if np.issubdtype(values.dtype, np.integer) or dtype.kind == "f":
        return values.astype(dtype)
    scale, zero_point = _grid(spec)
    limits = np.iinfo(dtype)
    steps = np.floor(values / np.float32(scale) + np.float32(0.5)) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def _numbers(outputs: Any) -> Outputs:
    return {name: np.asarray(v, np.float64) for name, v in _named(outputs).items()}


def _named(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, dict):
        return dict(outputs)
    return {f"output_{i}": tensor for i, tensor in enumerate(keras.tree.flatten(outputs))}


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
