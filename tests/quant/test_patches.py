"""A file that computes its first operators in patches gives every integer of the ordinary one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantdet.errors import ExportError
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.patches.border import border_of
from quantdet.quant.patches.choose import candidates, in_patches, smallest
from quantdet.quant.patches.geometry import Span, Window, same_padding, size_hw
from quantdet.quant.patches.memory import peak_bytes
from quantdet.quant.patches.plan import plan_patches
from quantdet.quant.patches.rewrite import patched
from quantdet.quant.patches.stem import find_stems
from quantdet.runtime.pretrained import pretrained_file
from tests.quant.integer_stems import Layer, StemWriter, layers
from tests.runtime.helpers import tiny_model


def litert_answers(content, pictures, kernels):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = {"reference": OpResolverType.BUILTIN_REF, "xnnpack": OpResolverType.AUTO}[kernels]
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    (given,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    for picture in pictures:
        interpreter.set_tensor(given["index"], picture.view(given["dtype"]))
        interpreter.invoke()
        yield [interpreter.get_tensor(item["index"]) for item in outputs]


def micro_answers(content, pictures):
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content)
    kind = interpreter.get_input_details(0)["dtype"]
    for picture in pictures:
        interpreter.set_input(picture.view(kind), 0)
        interpreter.invoke()
        yield [np.array(interpreter.get_output(0))]


def check_equal(ordinary, rewritten, shape, kernels):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 1, *shape)).astype(np.uint8)
    runs = (
        (micro_answers(content, pictures) for content in (ordinary, rewritten))
        if kernels == "tflite-micro"
        else (litert_answers(content, pictures, kernels) for content in (ordinary, rewritten))
    )
    spread = 0
    for expected, found in zip(*runs, strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)
            spread += len(np.unique(one))
    return spread


def written(size_hw, parts, dtype="int8", seed=0):
    writer = StemWriter(size_hw, seed, dtype)
    for layer in parts:
        writer.add(layer)
    return writer.content()


@st.composite
def nets(draw):
    """Return (height, width, channels) and the file of a small net."""
    size = draw(st.tuples(st.integers(5, 24), st.integers(5, 24)))
    parts = draw(st.lists(layers(), min_size=1, max_size=4))
    dtype, seed = draw(st.sampled_from(["int8", "uint8"])), draw(st.integers(0, 99))
    return (*size, 3), written(size, parts, dtype, seed)


grids = st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda grid: grid != (1, 1))


@pytest.mark.parametrize("kernels", ["reference", "xnnpack", "tflite-micro"])
@settings(deadline=None, max_examples=20, derandomize=True)
@given(net=nets(), grid=grids)
def test_random_stems(kernels, net, grid):
    if kernels == "tflite-micro":
        pytest.importorskip("tflite_micro")
    shape, ordinary = net
    for number in range(len(find_stems(EditableFile(ordinary)))):
        stem = find_stems(EditableFile(ordinary))[number]
        height, width = size_hw(stem.file, stem.result)
        if grid[0] <= height and grid[1] <= width:
            plan = plan_patches(stem, grid)
            if plan is not None:
                check_equal(ordinary, patched(plan), shape, kernels)


MOBILE = (
    Layer("conv", (3, 3), (2, 2), channels=8),
    Layer("residual", (3, 3), channels=8),
    Layer("depthwise", (3, 3), (2, 2)),
    Layer("padded", (3, 3), (2, 2), same=False, channels=6),
)


@pytest.mark.parametrize("kernels", ["reference", "xnnpack"])
@pytest.mark.parametrize("size", [(48, 48), (47, 61)])
def test_answers_are_not_all_alike(size, kernels):
    """Equal integers mean something."""
    ordinary = written(size, MOBILE, "uint8")
    found = candidates(ordinary, [(2, 3)])
    assert sorted(item.operators for item in found) == [1, 5, 6, 7]
    for candidate in found:
        assert check_equal(ordinary, in_patches(ordinary, candidate), (*size, 3), kernels) > 20


def test_wrong_padding_is_seen(monkeypatch):
    ordinary = written((32, 32), MOBILE)
    monkeypatch.setattr(
        "quantdet.quant.patches.rewrite._Writer._pad",
        lambda writer, step, inputs, output: writer._slice(step, inputs, output),
    )
    monkeypatch.setattr("quantdet.quant.patches.border.same_padding", lambda window, size: (1, 1))
    with pytest.raises(Exception):  # noqa: B017 - LiteRT's own, or other integers
        for candidate in candidates(ordinary, [(2, 2)]):
            check_equal(ordinary, in_patches(ordinary, candidate), (32, 32, 3), "reference")


def reads(window, size, position, before):
    """Return the positions of the input that one of the output reads; None is a zero point."""
    start = position * window.stride - before
    places = range(start, start + window.size)
    return [place if 0 <= place < size else None for place in places]


@pytest.mark.parametrize("same", [True, False])
def test_borders_read_what_the_whole_does(same):
    """Every span of every small axis; the other axis has no border."""
    seen = set()
    for size, kernel, stride in product(range(1, 9), (1, 2, 3, 5), (1, 2, 3)):
        if not same and kernel > size:
            continue
        plain = Window(kernel, stride)
        before = same_padding(plain, size)[0] if same else 0
        window = Window(kernel, stride, before)
        count = -(-size // stride) if same else (size - kernel) // stride + 1
        for start, stop in product(range(count), range(1, count + 1)):
            if start >= stop:
                continue
            border = border_of((window, Window()), (Span(start, stop), Span(0, 1)), (size, 1))
            rows = border.given
            if rows[0].size < 1:
                continue
            given = list(range(rows[0].start, rows[0].stop))
            (above, below), _ = border.pads
            given = [None] * above + given + [None] * below
            inner = same_padding(plain, len(given))[0] if border.same else 0
            expected = [reads(window, size, i, before) for i in range(start, stop)]
            found = [
                [given[i] if i is not None else None for i in reads(plain, len(given), j, inner)]
                for j in range(border.begin[0], border.begin[0] + stop - start)
            ]
            assert found == expected
            assert border.begin[0] + stop - start <= border.answer[0]
            seen.add((border.same, above + below > 0, border.answer[0] > stop - start))
    assert len(seen) == (4 if same else 1)


@pytest.fixture(scope="module")
def shipped():
    return pretrained_file().read_bytes()


def test_shipped_detector(shipped):
    best = smallest(candidates(shipped, [(4, 4)]))
    file = EditableFile(shipped)
    assert best.least_arena < 0.35 * peak_bytes(file, None)
    rewritten = in_patches(shipped, best)
    assert len(rewritten) < 1.02 * len(shipped)  # constants are shared
    assert check_equal(shipped, rewritten, (300, 300, 3), "xnnpack") > 100


def test_one_code_for_each_operator(shipped):
    rewritten = in_patches(shipped, smallest(candidates(shipped, [(2, 2)])))
    file = EditableFile(rewritten)
    names = [file.name(op) for op in file.operators]
    assert len(file.model.operatorCodes) == len(set(names))
    assert {"SLICE", "CONCATENATION"} < set(names)


def test_peak_of_a_chain():
    """Input, 8x8x3; then 8x8x4 by 1x1, and 8x8x2: two maps at a time."""
    content = written((8, 8), [Layer("conv", (1, 1), channels=4)])
    assert peak_bytes(EditableFile(content), None) == 64 * (3 + 4)
    (first,) = [stem for stem in find_stems(EditableFile(content)) if len(stem.operators) == 1]
    plan = plan_patches(first, (2, 1))
    # The first half's result is there while the second half is sliced; then both are joined.
    assert peak_bytes(first.file, plan) == max(64 * 3 + 32 * (4 + 3), 64 * (4 + 4))
    assert plan.macs == 64 * (3 * 4 + 4 * 2)


def test_what_overlaps_is_computed_twice():
    content = written((8, 8), [Layer("conv", (1, 1), channels=4), Layer("depthwise")])
    _, second, _ = find_stems(EditableFile(content))
    plan = plan_patches(second, (2, 1))
    assert plan.macs == 2 * 5 * 8 * 3 * 4 + 64 * 9 * 4 + 64 * 4 * 2


def test_other_beginnings_are_refused():
    with pytest.raises(ExportError, match="does not begin with 8 bit convolutions"):
        candidates(tiny_model("ssd", "float32"), [(2, 2)])
