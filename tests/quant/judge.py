"""Judge a quantized model by the float model that was given, never by a rewritten one."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from quantdet.errors import QuantdetError
from quantdet.evaluate.parity import layer_parity
from quantdet.export import integer
from quantdet.quant import prepare
from quantdet.quant.freezing import freeze
from quantdet.quant.litert_file import FileGraph, read_litert
from quantdet.quant.match import file_params
from quantdet.quant.numerics import dequantize, quantize
from tests.quant.error_bound import Uncertain, simulate
from tests.quant.random_nets import Net

# How far the noise may be above what independent roundings make: 6.4 dB is the most that 1,300 nets
# had, where a kernel of nine weights was rounded unluckily.
MARGIN_DB = 6.5
# Of the values: what float arithmetic in another order makes.
_FLOAT_NOISE = 1e-4
# Pictures that are compared layer by layer.
_FEW = 4


@dataclass(frozen=True)
class Verdict:
    """What became of a net.

    Attributes:
        refusal: what ``prepare_qat`` said; None if it took the net.
        margin_db: of the noisiest output, measured SQNR less the one predicted from the scales.
    """

    refusal: str | None = None
    margin_db: float = 0.0


def judge(net: Net) -> Verdict:
    """Prepare, export and run a net, and compare it with the float model at every step.

    Raises:
        AssertionError: a fault; the message says which, and has the program of the net.
    """
    try:
        return _judge(net)
    except Exception as error:  # anything but a refusal by prepare_qat is a fault
        raise AssertionError(f"{type(error).__name__}: {error} in\n{net}") from error


def _judge(net: Net) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            prepared = _exported(net, path)
        except QuantdetError as error:
            assert _names_one(str(error), net.names), f"no layer is named by: {error}"
            return Verdict(refusal=str(error))
        simulation = simulation_of(prepared, net)
        check_simulation(simulation, net)
        check_file(path, simulation, net)
    return Verdict(margin_db=_margin(simulation.outputs, net))


def _exported(net: Net, path: Path) -> Any:
    """Prepare and export a net, with one export instead of the two that a user's net has.

    Raises:
        QuantdetError: of ``prepare_qat``, never of the export.
    """
    prepared = prepare.prepare_qat(net.model, [net.x], observer="minmax", trial_export=False)
    try:
        integer.export_integer(prepared, path)
    except QuantdetError as error:
        prepare.prepare_qat(net.model, [net.x], observer="minmax")
        raise AssertionError("prepare_qat takes what the export refuses") from error
    return prepared


@dataclass(frozen=True)
class Simulation:
    """A prepared model, run as it will be exported.

    Attributes:
        frozen: the model on its integers.
        outputs: name in the file → values.
    """

    frozen: Any
    outputs: dict[str, Uncertain]


def simulation_of(prepared: Any, net: Net) -> Simulation:
    """Run a model made of the net by ``prepare_qat`` with ``observer="minmax"``, all pictures."""
    frozen = freeze(prepared)
    return Simulation(frozen, simulate(prepared, frozen, net.x))


def check_simulation(simulation: Simulation, net: Net) -> None:
    """Compare a prepared model with the float model, value by value and in dB.

    Args:
        simulation: of a model that was made of the net.
        net: what was given.

    Raises:
        AssertionError: another function, beyond the bound, or noisier than predicted.
    """
    simulated = simulation.outputs
    assert set(simulated) == set(net.expected)
    for name, wanted in net.expected.items():
        got = simulated[name]
        assert got.value.shape == wanted.shape, f"{name} has shape {got.value.shape}"
        noise = _FLOAT_NOISE * (1 + np.abs(wanted).max())
        lost = np.abs(got.rewritten - wanted).max()
        assert lost <= 10 * noise, (
            f"{name} was rewritten with an error of {lost:.3g}, {sqnr_db(wanted, got.value):.1f} dB"
        )
        beyond = (np.abs(got.value - wanted) - got.bound).max()
        assert beyond <= noise, f"{name} is {beyond:.3g} beyond the bound"
    _margin(simulated, net)


def check_file(path: Path, simulation: Simulation, net: Net) -> None:
    """Run an exported file; compare it with the float model and, by layers, with the simulation.

    Raises:
        AssertionError: noisier than predicted, or a layer is more than a step off.
    """
    file = read_litert(path)
    integers = _integers(file, net)
    outputs = run_file(path, file, integers)
    assert set(outputs) == set(net.expected), f"the file has outputs {list(outputs)}"
    written = {
        name: replace(simulation.outputs[name], value=value) for name, value in outputs.items()
    }
    _margin(written, net)
    if len(integers) == 1:  # layer_parity takes one input
        (pixels,) = integers.values()
        for layer in layer_parity(simulation.frozen, path, pixels[:_FEW]):
            # Some kernels round coarsely, and are modelled to the last bit.
            assert layer.max_lsb <= 1 or layer.identical_exact == 1.0, str(layer)


def _margin(outputs: dict[str, Uncertain], net: Net) -> float:
    """Return the smallest measured SQNR less the predicted one, in dB, at least ``-MARGIN_DB``."""
    margins = []
    for name, wanted in net.expected.items():
        got = outputs[name]
        measured = sqnr_db(wanted, got.value)
        noise = _FLOAT_NOISE * np.abs(wanted).max()
        predicted = _db(wanted, got.variance.mean() + noise**2)
        margins.append(measured - predicted)
        assert margins[-1] >= -MARGIN_DB, (
            f"{name} is at {measured:.1f} dB; its scales make {predicted:.1f} dB"
        )
    return min(margins)


def sqnr_db(wanted: np.ndarray, got: np.ndarray) -> float:
    return _db(wanted, np.square(got.reshape(wanted.shape) - wanted).mean())


def _db(signal: np.ndarray, noise: float) -> float:
    return float(10 * np.log10((np.square(signal).mean() + 1e-20) / (noise + 1e-20)))


def _names_one(message: str, names: set[str]) -> bool:
    """Tell whether a message quotes a name, or one made from it ('conv2d_depthwise')."""
    return any(re.search(rf"'{re.escape(name)}(_\w+)?'", message) for name in names)


def run_file(path: Path, file: FileGraph, integers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the real outputs of a file, by name, with the kernels that devices use by default."""
    run = Interpreter(str(path), num_threads=1).get_signature_runner("serving_default")
    stored = {
        name: _other_sign(values, run.get_input_details()[name]["dtype"])
        for name, values in integers.items()
    }
    rows = [
        run(**{name: values[i : i + 1] for name, values in stored.items()})
        for i in range(len(next(iter(integers.values()))))
    ]
    return {
        name: dequantize(
            _other_sign(np.concatenate([row[name] for row in rows]), np.uint8),
            file_params(file.tensors[index]),
        )
        for name, index in file.outputs.items()
    }


def _other_sign(values: np.ndarray, kind: Any) -> np.ndarray:
    """Return integers of 8 bits as int8 or uint8, whose zero is 128; int16 as it is."""
    if values.dtype in (kind, np.int16):
        return values
    return (values.view(np.uint8) ^ np.uint8(128)).view(kind)


def _integers(file: FileGraph, net: Net) -> dict[str, np.ndarray]:
    """Return input name → the pictures as the file takes them."""
    inputs = net.model.inputs
    if isinstance(net.x, dict):
        parts = [net.x[tensor.name] for tensor in inputs]
    else:
        parts = keras.tree.flatten(net.x)
    return {
        tensor.name: quantize(part, file_params(file.tensors[file.inputs[tensor.name]]))
        for tensor, part in zip(inputs, parts, strict=True)
    }
