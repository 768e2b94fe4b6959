import numpy as np
import pytest
from PIL import Image

from quantdet.boxes import as_boxes
from quantdet.detections import Detections
from quantdet.runtime import draw
from quantdet.runtime.draw import class_color, draw_detections
from tests.runtime.helpers import solid

GREY = (90, 90, 90)


def found(boxes, names=("dog",), scores=None):
    count = len(as_boxes(boxes))
    return Detections(
        as_boxes(boxes),
        np.array(scores or [0.9] * count, np.float32),
        np.arange(count, dtype=np.int64) % len(names),
        tuple(names),
    )


def test_nothing_found_gives_an_equal_copy():
    picture = solid(GREY, (50, 60))
    drawn = draw_detections(picture, Detections.empty())
    np.testing.assert_array_equal(drawn, picture)
    assert drawn is not picture


def test_picture_is_not_changed():
    picture = solid(GREY, (50, 60))
    draw_detections(picture, found([5, 5, 40, 40]))
    assert (picture == 90).all()


def test_box_has_the_class_colour_where_it_should():
    drawn = draw_detections(solid(GREY, (200, 300)), found([100, 80, 200, 160]))
    for x, y in [(100, 120), (199, 120), (150, 80), (150, 159)]:
        assert tuple(drawn[y, x]) == class_color(0)
    assert tuple(drawn[120, 150]) == GREY


def changed_region(drawn, background=90):
    rows, columns = np.nonzero((drawn != background).any(axis=2))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_label_is_above_the_box_where_there_is_room():
    drawn = draw_detections(solid(GREY, (200, 300)), found([100, 80, 200, 160]))
    top, *_ = changed_region(drawn)
    assert 50 < top < 76


@pytest.mark.parametrize("box", [[0, 0, 300, 200], [280, 180, 300, 200], [250, 0, 300, 30]])
def test_label_is_whole_at_every_edge(box):
    picture = solid(GREY, (200, 300))
    size = np.array(changed_region(draw_detections(picture, found([100, 80, 101, 81]))))
    label_width = size[3] - size[2] + 1
    drawn = draw_detections(picture, found(box))
    filled = (drawn == class_color(0)).all(axis=2)
    # The widest row of class colour is at least the label; nothing was cut off at the edge.
    assert filled.sum(axis=1).max() >= label_width - 2


def test_line_and_letters_grow_with_the_picture():
    def line_width(size_hw):
        height, width = size_hw
        box = [width // 4, height // 4, width // 2, height // 2]
        row = draw_detections(solid(GREY, size_hw), found(box))[height * 3 // 8]
        return (row[: width * 3 // 8] == class_color(0)).all(axis=1).sum()

    assert line_width((1200, 1600)) > 2 * line_width((300, 400)) > 0


@pytest.mark.parametrize("names", [("aéroplane",), ("кот",), ("猫",), ("🚗",), ("",), ("a\nb",)])
@pytest.mark.parametrize("system_font", [True, False])
def test_any_class_name_can_be_drawn(names, system_font, monkeypatch):
    if not system_font:
        monkeypatch.setattr(draw, "_system_font", lambda size: None)
    drawn = draw_detections(solid(GREY, (100, 100)), found([30, 40, 60, 80], names))
    assert (drawn == class_color(0)).all(axis=2).any()


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (200, 3), (12, 12)])
def test_tiny_pictures(size_hw):
    drawn = draw_detections(solid(GREY, size_hw), found([0, 0, 2, 2], ("a very long name",)))
    assert drawn.shape == (*size_hw, 3)


def test_strange_boxes():
    boxes = [[50, 50, 50, 50], [60, 60, 20, 20], [-50, -50, 500, 500], [400, 400, 500, 500]]
    drawn = draw_detections(solid(GREY, (100, 100)), found(boxes))
    assert drawn.shape == (100, 100, 3)


def test_best_detection_is_on_top():
    boxes = [[100, 80, 200, 160], [100, 80, 200, 160]]
    picture = solid(GREY, (200, 300))
    for scores, winner in [([0.9, 0.5], 0), ([0.5, 0.9], 1)]:
        drawn = draw_detections(picture, found(boxes, ("dog", "cat"), scores))
        assert tuple(drawn[120, 100]) == class_color(winner)


def test_labels_do_not_hide_each_other():
    boxes = [[100, 80, 200, 160], [100, 80, 200, 160]]
    picture = solid(GREY, (200, 300))
    names = ("dog", "cat")

    def field(drawn, class_id):
        # Frames are at most 3 pixels thick: only the label has six in a row.
        filled = (drawn == class_color(class_id)).all(axis=2)
        return np.lib.stride_tricks.sliding_window_view(filled, 6, axis=1).all(axis=2)[:76].sum()

    alone = [
        draw_detections(picture, Detections(d.boxes_xyxy[i], d.scores[i], d.class_ids[i], names))
        for d in [found(boxes, names)]
        for i in (slice(0, 1), slice(1, 2))
    ]
    both = draw_detections(picture, found(boxes, names))
    assert field(both, 0) == field(alone[0], 0) > 0
    # The other one found a place beside it, not over it.
    assert field(both, 1) == field(alone[1], 1) > 0


def test_lines_of_small_objects_are_thin():
    drawn = draw_detections(solid(GREY, (600, 800)), found([100, 100, 112, 112], ("",)))
    row = (drawn[106] == class_color(0)).all(axis=1)
    assert row[100:112].sum() == 2
    assert (drawn[106, 104:108] == 90).all()


def test_class_colours_are_fixed_and_differ():
    colors = np.array([class_color(i) for i in range(22)])
    distances = np.abs(colors[:, None] - colors).sum(axis=2) + 999 * np.eye(22)
    assert distances.min() > 60
    assert class_color(0) == class_color(22) == (230, 159, 0)


def test_drawn_picture_is_a_picture(tmp_path):
    drawn = draw_detections(solid(GREY, (50, 60)), found([5, 5, 40, 40]))
    assert drawn.dtype == np.uint8
    Image.fromarray(drawn).save(tmp_path / "x.png")
