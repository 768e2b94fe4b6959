import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantdet.boxes import Boxes, as_boxes, decode_boxes, iou_matrix
from quantdet.config import ModelConfig
from quantdet.errors import ConfigError, ModelError
from quantdet.models.detector_weights import folded_arrays
from quantdet.models.litert_weights import read_ssd_weights
from quantdet.models.ssd import build_ssd, ssd_anchors, ssd_head_input, trunk_layers
from quantdet.models.ssd_layout import LAYOUTS
from quantdet.models.ssd_start import choose_class_rows
from quantdet.models.ssd_targets import Matcher
from quantdet.models.style import KERAS_STYLE, TORCHVISION_STYLE
from quantdet.models.targets import PictureObjects
from quantdet.models.weight_files import DetectorHead, WeightSet
from quantdet.runtime.anchors import anchor_boxes

CODER = LAYOUTS["classic"].box_coder


def config(**values):
    return ModelConfig(
        **{"name": "ssd", "input_size": 160, "width": 0.35, "weights": "none", **values}
    )


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(3)
    return vary_norms(build_ssd(config(), 3))


def vary_norms(model):
    """Fresh BatchNorm lets nothing of the picture through twenty random layers."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def picture(side=160):
    return np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)


def weights_of(model, labels, layout="classic", style=KERAS_STYLE, width=0.35):
    head = DetectorHead(tuple(labels), LAYOUTS[layout].shapes_hw, 160, width)
    return WeightSet(folded_arrays(model), style, "test", "", head)


def test_classic_layout_at_300_has_the_anchors_of_tf_object_detection():
    maps = ssd_anchors(config(input_size=300))
    assert [(m.rows * m.cols * len(m.shapes_hw)) for m in maps] == [1083, 600, 150, 54, 24, 6]
    assert anchor_boxes(maps).shape == (1917, 4)
    np.testing.assert_allclose(maps[0].shapes_hw[1], (0.2 / 2**0.5, 0.2 * 2**0.5))
    # Last map: scale 0.95, then sqrt(0.95 * 1.0).
    np.testing.assert_allclose(maps[5].shapes_hw[0], (0.95, 0.95))
    np.testing.assert_allclose(maps[5].shapes_hw[5], (0.95**0.5,) * 2)


@pytest.mark.parametrize("name", ["ssd", "ssdlite"])
@pytest.mark.parametrize("anchors", LAYOUTS)
@pytest.mark.parametrize("size", [pytest.param(160, marks=pytest.mark.slow), 200])
def test_outputs_have_a_row_for_every_anchor(name, anchors, size):
    settings_ = config(name=name, anchors=anchors, input_size=size)
    model = build_ssd(settings_, 3)
    count = len(anchor_boxes(ssd_anchors(settings_)))
    out = model(np.zeros((1, size, size, 3), np.float32))
    assert {k: tuple(v.shape) for k, v in out.items()} == {
        "boxes": (1, count, 4),
        "scores": (1, count, 3),
    }
    # Every class starts improbable, so that focal loss starts calm.
    assert np.asarray(out["scores"]).max() < -3


def test_everything_behind_the_first_map_follows_from_its_layer(detector):
    border = detector.get_layer(ssd_head_input(config())).output
    head = keras.Model(border, detector.output)
    assert {layer.name for layer in head.layers} > {"box_1", "class_1", "box_6", "extra_4_conv"}


def test_unknown_layout_and_size_are_named():
    with pytest.raises(ConfigError, match=r"anchors = 'dense'.*classic"):
        build_ssd(config(anchors="dense"), 3)
    with pytest.raises(ValueError, match="160 to 512"):
        config(input_size=640)
    with pytest.raises(ModelError, match="at least one class"):
        build_ssd(config(), 0)


@pytest.mark.parametrize(
    ("style", "name"),
    [
        (KERAS_STYLE, "ssdlite"),
        (TORCHVISION_STYLE, "ssd"),
        pytest.param(KERAS_STYLE, "ssd", marks=pytest.mark.slow),
        pytest.param(TORCHVISION_STYLE, "ssdlite", marks=pytest.mark.slow),
    ],
)
def test_start_from_the_same_detector_is_the_same_function(style, name):
    keras.utils.set_random_seed(4)
    blank = choose_class_rows(
        weights_of(build_ssd(config(name=name), 3), "abc", style=style), "abc", {}
    )
    source = vary_norms(build_ssd(config(name=name), 3, blank))
    start = choose_class_rows(weights_of(source, "abc", style=style), "abc", {})
    copy = build_ssd(config(name=name), 3, start)
    expected, got = source(picture()), copy(picture())
    for output in expected:
        scale = np.abs(expected[output]).max()
        np.testing.assert_allclose(got[output], expected[output], atol=1e-4 * scale)


def test_class_rows_are_found_by_name_and_alias(detector):
    start = weights_of(detector, ["", "Car", "Dog"])
    chosen = choose_class_rows(start, ["dog", "bus", "cat"], {"bus": "Car"})
    assert chosen.head.class_rows == (2, 1, None)
    new = build_ssd(config(), 3, chosen)
    old_out = np.asarray(detector(picture())["scores"])
    new_out = np.asarray(new(picture())["scores"])
    np.testing.assert_allclose(new_out[..., 0], old_out[..., 2], atol=1e-4)
    np.testing.assert_allclose(new_out[..., 1], old_out[..., 1], atol=1e-4)
    assert np.abs(new_out[..., 2] - old_out[..., 0]).max() > 1e-3


def test_wrong_aliases_are_named(detector):
    start = weights_of(detector, ["", "Car", "Dog"])
    with pytest.raises(ConfigError, match=r"'lorry' is not a class of the data set"):
        choose_class_rows(start, ["bus"], {"lorry": "Car"})
    with pytest.raises(ConfigError, match=r"bus = 'Van'.*Car, Dog"):
        choose_class_rows(start, ["bus"], {"bus": "Van"})


def test_other_anchors_start_with_the_same_boxes(detector):
    """An anchor that is new predicts the very box of the old anchor it starts from."""
    start = choose_class_rows(weights_of(detector, ["a", "b", "c"]), ["a", "b", "c"], {})
    denser = build_ssd(config(anchors="small_objects"), 3, start)
    old = decode(detector, config())[: 10 * 10 * 3].reshape(100, 3, 4)
    new = decode(denser, config(anchors="small_objects"))[: 10 * 10 * 6].reshape(100, 6, 4)
    np.testing.assert_allclose(new[:, :3], old, atol=1e-5)
    for row, nearest in ((3, 0), (4, 0), (5, 0)):
        np.testing.assert_allclose(new[:, row], old[:, nearest], atol=1e-5)


def decode(model, settings_, side=160) -> Boxes:
    encoded = np.asarray(model(picture(side))["boxes"])[0]
    return decode_boxes(encoded, anchor_boxes(ssd_anchors(settings_)), CODER)


def test_weights_of_another_width_are_refused(detector):
    start = choose_class_rows(weights_of(detector, ["a"]), ["a"], {})
    with pytest.raises(ModelError, match="set \\[model\\] width"):
        build_ssd(config(width=0.5), 1, start)


@pytest.mark.parametrize("half", [pytest.param(False, marks=pytest.mark.slow), True])
def test_weights_are_read_back_from_a_float_tflite(detector, tmp_path, half):
    from quantdet.export.baselines import export_float

    path = export_float(detector, tmp_path / "d.tflite", half=half)
    arrays, width = read_ssd_weights(path, [layer.name for layer in trunk_layers(config())])
    assert width == 3
    head = DetectorHead(("a", "b", "c"), LAYOUTS["classic"].shapes_hw, 160, 0.35, (0, 1, 2))
    # Exported files have the input normalization folded in.
    style = type(KERAS_STYLE)("same", 1e-3, (0.0,) * 3, (1.0,) * 3)
    copy = build_ssd(config(), 3, WeightSet(arrays, style, "test", "", head))
    inside = np.zeros((1, 160, 160, 3), np.float32)
    for name, value in copy(inside).items():
        # Folding the half pixel of the input is exact but for the border (decision 002).
        np.testing.assert_allclose(value, detector(inside)[name], atol=5e-2 if half else 2e-2)


def test_other_tflite_files_are_refused(tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"0000TFL3 nothing")
    with pytest.raises(ModelError, match=r"x\.tflite"):
        read_ssd_weights(path, ["Conv1"])
    path.write_bytes(b"hello, world")
    with pytest.raises(ModelError, match=r"x\.tflite.*no TFL3 mark"):
        read_ssd_weights(path, ["Conv1"])


def objects(boxes, class_ids, ignored=None):
    ignored = [False] * len(class_ids) if ignored is None else ignored
    return PictureObjects(
        as_boxes(boxes), np.array(class_ids, np.int64), np.array(ignored, dtype=bool)
    )


@pytest.fixture(scope="module")
def matcher():
    return Matcher(anchor_boxes(ssd_anchors(config(input_size=300))), CODER, 3)


def test_a_picture_without_objects_is_all_background(matcher):
    targets = matcher(objects([], []))
    assert targets["boxes"].sum() == 0
    assert targets["scores"][:, :-1].sum() == 0
    assert (targets["scores"][:, -1] == 1).all()


def test_an_anchor_that_is_the_object_learns_offset_zero(matcher):
    anchor = 1083 + 6 * 55
    cy, cx, height, width = matcher.anchors_cyxhw[anchor]
    box = [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2]
    targets = matcher(objects([box], [2]))
    np.testing.assert_allclose(targets["boxes"][anchor], [0, 0, 0, 0, 1], atol=1e-4)
    np.testing.assert_array_equal(targets["scores"][anchor], [0, 0, 1, 1])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_matching_follows_its_definition(matcher, data):
    count = data.draw(st.integers(1, 5))
    corners = [sorted(data.draw(st.tuples(*[st.floats(0, 1)] * 2))) for _ in range(2 * count)]
    boxes = [
        [x[0], y[0], x[1] + 0.02, y[1] + 0.02]
        for x, y in zip(corners[::2], corners[1::2], strict=True)
    ]
    ignored = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    targets = matcher(objects(boxes, [i % 3 for i in range(count)], ignored))
    positive, weight = targets["boxes"][:, 4] == 1, targets["scores"][:, -1]
    overlaps = iou_matrix(as_boxes(boxes), matcher._corners())
    learned = ~np.array(ignored)
    if not learned.any():
        assert not positive.any()
        return
    best = overlaps[learned].max(axis=0)
    assert positive[best >= 0.5].all()
    assert (targets["scores"][positive, :-1].sum(axis=-1) == 1).all()
    # Below the threshold only the anchors that an object needs at all are positive.
    assert (positive & (best < 0.5)).sum() <= learned.sum()
    assert (weight[(best >= 0.4) & (best < 0.5) & ~positive] == 0).all()
    decoded = decode_boxes(targets["boxes"][positive, :4], matcher.anchors_cyxhw[positive], CODER)
    own = iou_matrix(decoded, as_boxes(boxes)[learned]).max(axis=1)
    np.testing.assert_allclose(own, 1, atol=1e-3)


def test_every_object_gets_an_anchor_even_a_tiny_one(matcher):
    targets = matcher(objects([[0.4, 0.4, 0.41, 0.41], [0.7, 0.1, 0.72, 0.11]], [0, 1]))
    assert targets["scores"][:, 0].sum() == 1
    assert targets["scores"][:, 1].sum() == 1


def test_ignored_objects_are_no_background(matcher):
    box = [0.3, 0.3, 0.6, 0.6]
    free = matcher(objects([], []))["scores"][:, -1]
    ignored = matcher(objects([box], [0], [True]))
    assert ignored["boxes"].sum() == 0
    overlaps = iou_matrix(as_boxes([box]), matcher._corners())[0]
    np.testing.assert_array_equal(ignored["scores"][:, -1], np.where(overlaps >= 0.4, 0, free))
