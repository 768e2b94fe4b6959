"""Google Coral's Edge TPU: the published rules for models, checked on the file.

Its compiler is not run: Google does not allow it to be passed on, and no package index has it. So
this cannot say that the compiler maps every operator (it leaves some out "for unspecified
reasons"), only that no published rule is against it.

Rules: "TensorFlow models on the Edge TPU", coral.ai/docs/edgetpu/models-intro, sections "Model
requirements" and "Supported operations" (runtime 14).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from quantdet.progress import Tick
from quantdet.quant.litert_file import FileGraph, FileOp, FileTensor, read_litert
from quantdet.results.verification import TargetResult
from quantdet.runtime.foreign import POST_PROCESS
from quantdet.verify.subject import WEIGHTED, Subject, decodes_inside, decoding_operators

_EIGHT_BITS = ("int8", "uint8")
_LONGEST_SOFTMAX = 16000

Limit = Callable[[FileOp, FileGraph], bool]
"""(operator, its graph) → whether the Edge TPU takes it."""


@dataclass(frozen=True)
class Rule:
    """One published rule; ``broken`` are the first few names that break it."""

    rule: str
    passed: bool
    broken: tuple[str, ...] = ()


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Check every rule; passed if all hold."""
    rules = check_rules(read_litert(subject.model_file))
    tick(1, 1)
    broken = [rule for rule in rules if not rule.passed]
    inside = f"{POST_PROCESS} stays on the CPU; " if decodes_inside(subject.contract) else ""
    return TargetResult(
        status="failed" if broken else "passed",
        reason=f"{len(rules) - len(broken)} of {len(rules)} published rules hold; {inside}its "
        "compiler is not redistributable and was not run",
        details={"rules": [{**vars(rule), "broken": list(rule.broken)} for rule in rules]},
    )


def check_rules(file: FileGraph) -> list[Rule]:
    """Return the rules for the whole file, and one for each kind of operator in it.

    TFLite_Detection_PostProcess is left out, with what prepares its numbers: it is the last one of
    Coral's own detectors ("Object detection", coral.ai/models/object-detection).
    """
    decoding = decoding_operators(file)
    file = replace(file, ops=tuple(op for op in file.ops if op not in decoding))
    constant = {i for i, tensor in enumerate(file.tensors) if tensor.data is not None}
    used = {i for op in file.ops for i in (*op.inputs, *op.outputs)}
    computed = [file.tensors[i] for i in sorted(used - constant)]
    weights = [file.tensors[op.inputs[1]] for op in file.ops if op.name in WEIGHTED]
    parameters = [
        file.tensors[i] for op in file.ops if op.name in WEIGHTED for i in _parameters(op)
    ]
    return [
        _rule("tensors are quantized to 8 bits", [*computed, *weights], _is_8_bit),
        _rule("tensor sizes are constant", file.tensors, lambda tensor: not tensor.dynamic),
        _rule("weights and biases are constants", parameters, lambda t: t.data is not None),
        _rule(
            "of a tensor's dimensions only the 3 innermost are above 1",
            computed,
            lambda tensor: prod(tensor.shape[:-3]) == 1,
        ),
        *_operator_rules(file),
    ]


def _operator_rules(file: FileGraph) -> list[Rule]:
    rules = []
    for name, count in sorted(Counter(op.name for op in file.ops).items()):
        if name not in SUPPORTED:
            rules.append(Rule(f"{name} ({count}) is supported", False, (name,)))
            continue
        words, limit = SUPPORTED[name]
        broken = [
            file.tensors[op.outputs[0]].name
            for op in file.ops
            if op.name == name and not limit(op, file)
        ]
        text = f"{name} ({count}) is supported" + (f": {words}" if words else "")
        rules.append(Rule(text, not broken, tuple(broken[:3])))
    return rules


def _rule(
    text: str, tensors: list[FileTensor] | tuple[FileTensor, ...], holds: Callable[..., bool]
) -> Rule:
    broken = [tensor.name for tensor in tensors if not holds(tensor)]
    return Rule(text, not broken, tuple(broken[:3]))


def _parameters(op: FileOp) -> tuple[int, ...]:
    """Return weights and bias; a transposed convolution has (size, weights, input, bias)."""
    return (op.inputs[0], *op.inputs[1:2], *op.inputs[3:]) if _transposed(op) else op.inputs[1:]


def _transposed(op: FileOp) -> bool:
    return op.name == "TRANSPOSE_CONV"


def _is_8_bit(tensor: FileTensor) -> bool:
    return tensor.dtype in _EIGHT_BITS and bool(tensor.scales.size)


def _always(_op: FileOp, _file: FileGraph) -> bool:
    return True


def _not_fused(op: FileOp, _file: FileGraph) -> bool:
    return not op.options.fusedActivationFunction


def _same_dilation(op: FileOp, _file: FileGraph) -> bool:
    return bool(op.options.dilationWFactor == op.options.dilationHFactor)


def _axes_spare_batch(op: FileOp, file: FileGraph) -> bool:
    shape = file.tensors[op.inputs[0]].shape
    axes = file.tensors[op.inputs[1]].data
    return axes is not None and all(int(axis) % len(shape) != 0 for axis in axes.reshape(-1))


def _mean(op: FileOp, file: FileGraph) -> bool:
    tensor = file.tensors[op.inputs[0]]
    axes = file.tensors[op.inputs[1]].data
    if axes is None or not _axes_spare_batch(op, file):
        return False
    channels = len(tensor.shape) - 1
    reduces_z = any(int(axis) % len(tensor.shape) == channels for axis in axes.reshape(-1))
    return not reduces_z or tensor.shape[-1] % 4 == 0


def _concatenation(op: FileOp, file: FileGraph) -> bool:
    constants = [file.tensors[i].data for i in op.inputs if file.tensors[i].data is not None]
    padding = len(op.inputs) == 2 and all(not data.any() for data in constants if data is not None)
    return _not_fused(op, file) and (not constants or padding)


def _dense(op: FileOp, file: FileGraph) -> bool:
    shape = file.tensors[op.outputs[0]].shape
    return not op.options.weightsFormat and prod(shape[:-1]) == 1


def _pad(op: FileOp, file: FileGraph) -> bool:
    pads = file.tensors[op.inputs[1]].data
    return pads is not None and not pads.reshape(-1, 2)[0].any()


def _pack(op: FileOp, _file: FileGraph) -> bool:
    return bool(op.options.axis)


def _split(op: FileOp, file: FileGraph) -> bool:
    axis = file.tensors[op.inputs[0]].data
    rank = len(file.tensors[op.inputs[1]].shape)
    return axis is not None and int(axis.reshape(-1)[0]) % rank != 0


def _softmax(op: FileOp, file: FileGraph) -> bool:
    shape = file.tensors[op.inputs[0]].shape
    return prod(shape[:-1]) == 1 and shape[-1] <= _LONGEST_SOFTMAX


def _strided_slice(op: FileOp, file: FileGraph) -> bool:
    strides = file.tensors[op.inputs[3]].data
    masks = op.options.ellipsisMask or op.options.newAxisMask
    return strides is not None and bool((strides == 1).all()) and not masks


def _prelu(op: FileOp, file: FileGraph) -> bool:
    return prod(file.tensors[op.inputs[1]].shape[:-1]) == 1


_NOT_FUSED = ("no fused activation", _not_fused)
_DILATION = ("the same dilation in x and y", _same_dilation)
_NOT_BATCH = ("not over the batch", _axes_spare_batch)
_PICTURE = ("a picture of 3 dimensions; large ones may stay on the CPU", _always)
_PLAIN = ("", _always)

SUPPORTED: dict[str, tuple[str, Limit]] = {
    "ADD": _PLAIN,
    "AVERAGE_POOL_2D": _NOT_FUSED,
    "CONCATENATION": ("no fused activation; constant input only as padding", _concatenation),
    "CONV_2D": _DILATION,
    "DEPTHWISE_CONV_2D": _DILATION,
    "EXPAND_DIMS": _PLAIN,
    "FULLY_CONNECTED": ("default weight format, output of one dimension", _dense),
    "L2_NORMALIZATION": _PLAIN,
    "LOGISTIC": _PLAIN,
    "MAXIMUM": _PLAIN,
    "MAX_POOL_2D": _NOT_FUSED,
    "MEAN": ("not over the batch; over channels only by multiples of 4", _mean),
    "MINIMUM": _PLAIN,
    "MUL": _PLAIN,
    "PACK": ("not along the batch", _pack),
    "PAD": ("not along the batch", _pad),
    "PRELU": ("one slope per channel", _prelu),
    "QUANTIZE": _PLAIN,
    "REDUCE_MAX": _NOT_BATCH,
    "REDUCE_MIN": _NOT_BATCH,
    "RELU": _PLAIN,
    "RELU6": _PLAIN,
    "RELU_N1_TO_1": _PLAIN,
    "RESHAPE": ("large ones may stay on the CPU", _always),
    "RESIZE_BILINEAR": _PICTURE,
    "RESIZE_NEAREST_NEIGHBOR": _PICTURE,
    "RSQRT": _PLAIN,
    "SLICE": _PLAIN,
    "SOFTMAX": (f"one dimension of at most {_LONGEST_SOFTMAX}", _softmax),
    "SPACE_TO_DEPTH": _PLAIN,
    "SPLIT": ("not along the batch", _split),
    "SQUARED_DIFFERENCE": _PLAIN,
    "SQUEEZE": _PLAIN,
    "STRIDED_SLICE": ("steps of 1, no ellipsis, no new axis", _strided_slice),
    "SUB": _PLAIN,
    "SUM": _NOT_BATCH,
    "TANH": _PLAIN,
    "TRANSPOSE": _PLAIN,
    "TRANSPOSE_CONV": _PLAIN,
}
"""Operator → (its limit in words, check). LSTM, which detectors here never have, is left out."""
