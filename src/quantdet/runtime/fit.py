"""Does a contract fit its file? Compared once, when a detector is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

from quantdet.errors import ModelError
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.decoders import find_decoder
from quantdet.runtime.engine import Engine
from quantdet.runtime.raw import output_specs

# The contract keeps scales as decimal text, the file as float32.
_SCALE_TOLERANCE = 1e-5
_TABLE_NDIM = 2


def check_fit(model_file: Path, contract: Contract, engine: Engine) -> None:
    """Compare contract and file.

    Raises:
        ModelError: names what differs.
    """
    try:
        find_decoder(contract.decoder.kind)
    except ModelError as error:
        raise ModelError(f"{model_file}: contract: {error}") from None
    check = _LAYOUT_CHECKS.get(contract.decoder.kind, _nothing)
    for problem in (*_tensors(contract, engine), *_thresholds(contract), *check(contract)):
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


def _thresholds(contract: Contract) -> list[str]:
    return [
        f"contract: class_thresholds names {label!r}, which is not one of its labels"
        for label in contract.decoder.class_thresholds
        if label not in contract.labels
    ]


def _columns(contract: Contract) -> list[str]:
    """Scores have a column for each class, boxes have four values."""
    problems = []
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
    shape = contract.boxes.shape
    if shape[-1:] != (4,) or min(*shape, *contract.scores.shape) < 1:
        problems.append(f"boxes have shape {shape}, but each box has 4 values")
    return problems


def _anchors(contract: Contract) -> list[str]:
    shape = contract.boxes.shape
    anchors = sum(item.count for item in contract.decoder.anchors)
    problems = _columns(contract)
    if shape[-2:] != (anchors, 4):
        problems.append(
            f"boxes have shape {shape}, but the contract's decoder.anchors make {anchors} anchors"
        )
    return problems


def _four_outputs(contract: Contract) -> list[str]:
    """The outputs of TFLite_Detection_PostProcess; its two (1, N) cannot be told apart by shape."""
    boxes, specs = contract.boxes.shape, output_specs(contract)
    missing = [part for part in ("classes", "count") if part not in specs]
    if missing:
        return [f"contract: decoder 'post_processed' needs the output {missing[0]!r}"]
    wanted = {"scores": boxes[-2:-1], "classes": boxes[-2:-1], "count": (1,)}
    if boxes[-1:] != (4,) or len(boxes) < _TABLE_NDIM:
        return [f"boxes have shape {boxes}, but each box has 4 values; outputs are mixed up"]
    return [
        f"{part} have shape {specs[part].shape}, but {boxes[-2]} boxes need {shape}; outputs are "
        "mixed up"
        for part, shape in wanted.items()
        if prod(boxes) and specs[part].shape[-1:] != shape
    ]


def _nothing(_: Contract) -> list[str]:
    """A decoder checks the rest itself."""
    return []


_LAYOUT_CHECKS: Mapping[str, Callable[[Contract], list[str]]] = {
    "ssd": _anchors,
    "grid": _columns,
    "single_box": _columns,
    "post_processed": _four_outputs,
}
"""Kind of decoder → what its outputs' shapes tell against the contract."""


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
