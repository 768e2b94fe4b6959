from hypothesis import given
from hypothesis import strategies as st

from quantdet.runtime.label_places import LabelPlaces

SIZE = (100, 200)


def overlap(a, b):
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def test_the_first_choice_is_above_the_box():
    assert LabelPlaces(SIZE, [(50, 50, 90, 80)]).take(0, (30, 10)) == (50, 40, 80, 50)


def test_inside_where_there_is_no_room_above():
    assert LabelPlaces(SIZE, [(50, 5, 190, 95)]).take(0, (30, 10)) == (50, 5, 80, 15)


def test_other_objects_are_not_hidden():
    # A small object lies right above the box, where the label would go.
    places = LabelPlaces(SIZE, [(50, 50, 120, 80), (50, 38, 62, 50)])
    field = places.take(0, (30, 10))
    assert overlap(field, (50, 38, 62, 50)) == 0


def test_labels_of_one_place_keep_apart():
    box = (60, 40, 140, 60)
    places = LabelPlaces(SIZE, [box] * 4)
    fields = [places.take(i, (40, 12)) for i in range(4)]
    assert None not in fields
    assert all(overlap(a, b) == 0 for i, a in enumerate(fields) for b in fields[:i])


def test_no_place_rather_than_over_others():
    places = LabelPlaces((20, 40), [(0, 0, 40, 20)] * 9)
    fields = [places.take(i, (40, 10)) for i in range(9)]
    assert [field is not None for field in fields] == [True, True] + [False] * 7


def test_label_larger_than_the_picture_has_no_place():
    assert LabelPlaces(SIZE, [(0, 0, 9, 9)]).take(0, (201, 5)) is None
    assert LabelPlaces(SIZE, [(0, 0, 9, 9)]).take(0, (5, 101)) is None


side = st.integers(-20, 220)
rectangles = st.tuples(side, side, side, side).map(
    lambda r: (min(r[0], r[2]), min(r[1], r[3]), max(r[0], r[2]), max(r[1], r[3]))
)


@given(st.lists(rectangles, min_size=1, max_size=12), st.integers(1, 60), st.integers(1, 30))
def test_always_inside_and_never_much_over_others(boxes, width, height):
    places = LabelPlaces(SIZE, boxes)
    taken = []
    for i in range(len(boxes)):
        field = places.take(i, (width, height))
        if field is None:
            continue
        x1, y1, x2, y2 = field
        assert (x2 - x1, y2 - y1) == (width, height)
        assert 0 <= x1 <= x2 <= 200
        assert 0 <= y1 <= y2 <= 100
        assert sum(overlap(field, other) for other in taken) <= 0.15 * width * height
        taken.append(field)
