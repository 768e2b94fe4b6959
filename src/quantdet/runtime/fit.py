"""Does a contract fit its file? Compared once, when a detector is made."""

from __future__ import annotations

from pathlib import Path

from quantdet.errors import ModelError
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.decoders import DECODERS
from quantdet.runtime.engine import Engine
from quantdet.runtime.raw import output_specs

# The contract keeps scales as decimal text, the file as float32.
_SCALE_TOLERANCE = 1e-5


def check_fit(model_file: Path, contract: Contract, engine: Engine) -> None:
    """Compare contract and file.

    Raises:
        ModelError: names what differs.
    """
    if contract.decoder.kind not in DECODERS:
        raise ModelError(
            f"{model_file}: its contract asks for decoder {contract.decoder.kind!r}, this "
            f"version knows {sorted(DECODERS)}; update quantdet"
        )
    for problem in (*_tensors(contract, engine), *_labels(contract), *_boxes(contract)):
        raise ModelError(
            f"{model_file}: {problem}; export model and contract again, or fix the contract"
        )


def _tensors(contract: Contract, engine: Engine) -> list[str]:
    problems = []
    wanted_input = (1, *contract.input.size_hw, 3)
    if contract.input.tensor.shape != wanted_input:
        problems.append(
            f"contract: input shape {contract.input.tensor.shape} is not {wanted_input} as size_hw "
            "requires"
        )
    problems += _tensor_differences(contract.input.tensor, engine.input)
    for spec in output_specs(contract).values():
        if spec.name in engine.outputs:
            problems += _tensor_differences(spec, engine.outputs[spec.name])
        else:
            problems.append(f"has no output {spec.name!r}, only {sorted(engine.outputs)}")
    return problems


def _labels(contract: Contract) -> list[str]:
    problems = [
        f"contract: class_thresholds names {label!r}, which is not one of its labels"
        for label in contract.decoder.class_thresholds
        if label not in contract.labels
    ]
    if contract.classes is not None:
        return problems  # class numbers, not a column for each class
    columns = len(contract.column_labels)
    if contract.scores.shape[-1] != columns:
        background = "" if contract.background_index is None else " and background"
        problems.append(
            f"scores have {contract.scores.shape[-1]} classes, but the contract names "
            f"{len(contract.labels)} labels{background}"
        )
    if contract.background_index is not None and contract.background_index >= columns:
        problems.append(
            f"contract: background_index {contract.background_index} is none of {columns} columns"
        )
    return problems


def _boxes(contract: Contract) -> list[str]:
    shape = contract.boxes.shape
    if shape[-1:] != (4,) or min(*shape, *contract.scores.shape) < 1:
        return [f"boxes have shape {shape}, but each box has 4 values"]
    anchors = sum(item.count for item in contract.decoder.anchors)
    if contract.decoder.kind != "ssd" or shape[-2:] == (anchors, 4):
        return []
    return [f"boxes have shape {shape}, but the contract's decoder.anchors make {anchors} anchors"]


def _tensor_differences(promised: TensorSpec, real: TensorSpec) -> list[str]:
    pairs: list[tuple[str, object, object]] = [
        ("name", repr(promised.name), repr(real.name)),
        ("shape", promised.shape, real.shape),
        ("dtype", promised.dtype, real.dtype),
    ]
    if real.dtype != "float32":
        pairs.append(("zero_point", promised.zero_point, real.zero_point))
        if abs(promised.scale - real.scale) > _SCALE_TOLERANCE * real.scale:
            pairs.append(("scale", promised.scale, real.scale))
    return [
        f"{real.name!r} has {what} {value}, the contract says {expected}"
        for what, expected, value in pairs
        if expected != value
    ]
