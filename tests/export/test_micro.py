"""What TFLite-Micro needs: operators by the resolver's names, and the smallest arena."""

from __future__ import annotations

import sys

import pytest

from quantdet.errors import DependencyError
from quantdet.export.micro import MicroNeeds, micro_method, micro_needs
from quantdet.quant.litert.micro import ArenaTrials, smallest_arena
from tests.runtime.helpers import tiny_model

CONTENT = tiny_model("ssd", "uint8")


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("CONV_2D", "Conv2D"),
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2D"),
        ("PADV2", "PadV2"),
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor"),
        ("TFLite_Detection_PostProcess", "DetectionPostprocess"),
        ("ERF", None),
        ("my.operator", None),
    ],
)
def test_names(operator, method):
    assert micro_method(operator) == method


def test_arena_is_the_smallest():
    pytest.importorskip("tflite_micro")
    needs = micro_needs(CONTENT)
    assert needs.schema_version == 3
    assert {"AddConv2D", "AddQuantize", "AddReshape"} < set(needs.methods)
    assert (needs.missing, needs.why_no_arena) == ((), "")
    # The process breaks in an arena that is much too small, and another one goes on.
    sizes = (needs.arena_bytes - 1024, 16, needs.arena_bytes)
    with ArenaTrials(CONTENT) as trials:
        assert [trials.fits(size) for size in sizes] == [False, False, True]


def test_without_tflite_micro(monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    monkeypatch.setitem(sys.modules, "tflite_micro.python.tflite_micro", None)
    needs = micro_needs(CONTENT)
    assert needs.arena_bytes is needs.arena_with_margin is None
    assert "pip install --pre tflite-micro" in needs.why_no_arena
    with pytest.raises(DependencyError, match="tflite-micro"):
        smallest_arena(CONTENT)


@pytest.mark.parametrize(("arena", "with_margin"), [(4096, 12288), (204800, 230400)])
def test_margin(arena, with_margin):
    assert MicroNeeds(3, (), (), arena, "").arena_with_margin == with_margin
