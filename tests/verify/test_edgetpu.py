"""Edge TPU: every published rule is checked, and a file that breaks it is found."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from quantdet.quant.litert_file import FileGraph, FileOp, FileTensor, read_litert
from quantdet.verify.targets.edgetpu import SUPPORTED, check_rules


def tensor(name, *shape, dtype="int8", data=None, dynamic=False):
    scales = np.array([0.1], np.float32) if dtype != "float32" else np.zeros(0, np.float32)
    return FileTensor(name, shape, dtype, scales, 0, data, dynamic)


def graph(op, inputs, outputs, **options):
    tensors = (*inputs, *outputs)
    numbers = tuple(range(len(tensors)))
    first = len(inputs)
    return FileGraph(
        tensors,
        (FileOp(op, numbers[:first], numbers[first:], SimpleNamespace(**options)),),
        {"image": 0},
        {"boxes": first},
        ("boxes",),
    )


def conv(**changes):
    """A convolution that keeps every rule, but for what is changed."""
    parts = {
        "picture": tensor("picture", 1, 8, 8, 3),
        "weights": tensor("weights", 4, 3, 3, 3, data=np.ones((4, 3, 3, 3), np.int8)),
        "bias": tensor("bias", 4, dtype="int32", data=np.ones(4, np.int32)),
        "out": tensor("out", 1, 8, 8, 4),
        **changes,
    }
    options = {"dilationWFactor": 1, "dilationHFactor": parts.pop("dilation", 1)}
    *inputs, out = parts.values()
    return graph("CONV_2D", inputs, [out], **options)


def broken(file):
    return [rule.rule for rule in check_rules(file) if not rule.passed]


def test_a_convolution_keeps_every_rule():
    assert broken(conv()) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"out": tensor("out", 1, 8, 8, 4, dtype="float32")}, "8 bits"),
        ({"out": tensor("out", 1, 8, 8, 4, dtype="int16")}, "8 bits"),
        ({"weights": tensor("w", 4, 3, 3, 3, dtype="int4", data=np.ones(108))}, "8 bits"),
        ({"picture": tensor("picture", 1, 8, 8, 3, dynamic=True)}, "sizes are constant"),
        ({"bias": tensor("bias", 4, dtype="int8")}, "constants"),
        ({"out": tensor("out", 2, 8, 8, 4)}, "innermost"),
        ({"dilation": 2}, "dilation"),
    ],
)
def test_a_rule_that_is_broken_is_found(change, rule):
    (found,) = broken(conv(**change))
    assert rule in found


AXES = {"batch": np.array([0]), "rows": np.array([1, 2]), "channels": np.array([3])}


@pytest.mark.parametrize(
    ("file", "good"),
    [
        (graph("HARD_SWISH", [tensor("a", 1, 4)], [tensor("b", 1, 4)]), False),
        (graph("SOFTMAX", [tensor("a", 1, 20)], [tensor("b", 1, 20)]), True),
        (graph("SOFTMAX", [tensor("a", 9, 20)], [tensor("b", 9, 20)]), False),
        (graph("SOFTMAX", [tensor("a", 1, 16001)], [tensor("b", 1, 16001)]), False),
        (graph("MAX_POOL_2D", [tensor("a", 1, 4)], [tensor("b", 1, 4)],
               fusedActivationFunction=0), True),
        (graph("MAX_POOL_2D", [tensor("a", 1, 4)], [tensor("b", 1, 4)],
               fusedActivationFunction=3), False),
        *(
            (graph("MEAN", [tensor("a", 1, 4, 4, 6),
                            tensor("axes", 1, dtype="int32", data=AXES[name])],
                   [tensor("b", 1, 6)]), good)
            for name, good in (("batch", False), ("rows", True), ("channels", False))
        ),
        (graph("SPLIT", [tensor("axis", dtype="int32", data=np.array(3)), tensor("a", 1, 2, 2, 8)],
               [tensor("b", 1, 2, 2, 4)]), True),
        (graph("SPLIT", [tensor("axis", dtype="int32", data=np.array(0)), tensor("a", 1, 2, 2, 8)],
               [tensor("b", 1, 2, 2, 8)]), False),
        (graph("PAD", [tensor("a", 1, 2), tensor("p", 2, 2, dtype="int32",
               data=np.array([[0, 0], [1, 1]]))], [tensor("b", 1, 4)]), True),
        (graph("PAD", [tensor("a", 1, 2), tensor("p", 2, 2, dtype="int32",
               data=np.array([[0, 1], [0, 0]]))], [tensor("b", 1, 2)]), False),
        (graph("CONCATENATION", [tensor("a", 1, 2), tensor("zeros", 1, 2, data=np.zeros((1, 2)))],
               [tensor("b", 1, 4)], fusedActivationFunction=0), True),
        (graph("CONCATENATION", [tensor("a", 1, 2), tensor("ones", 1, 2, data=np.ones((1, 2)))],
               [tensor("b", 1, 4)], fusedActivationFunction=0), False),
    ],
)  # fmt: skip
def test_limits_of_operators(file, good):
    assert (broken(file) == []) is good


def test_every_operator_of_the_shipped_model_is_looked_at(subject):
    file = read_litert(subject.model_file)
    rules = [rule.rule for rule in check_rules(file)]
    names = {op.name for op in file.ops}
    assert names <= set(SUPPORTED)
    assert all(any(rule.startswith(f"{name} (") for rule in rules) for name in names)
