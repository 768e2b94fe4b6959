"""The newest frames of cameras and streams, several at once."""

import threading

import numpy as np
import pytest

from quantdet.errors import DataError
from quantdet.runtime import live
from quantdet.runtime.live import Frame, newest_frames, numbered
from quantdet.runtime.sources import Source

FIRST, SECOND = Source("camera", "camera:0", camera=0), Source("camera", "camera:1", camera=1)


def pixels(value):
    return np.full((2, 3, 3), value, np.uint8)


@pytest.fixture
def cameras(monkeypatch):
    """Source → function that yields its frames."""
    given = {}

    def read(source, every=1):
        yield from given[source]()

    monkeypatch.setattr(live, "read_frames", read)
    return given


def test_numbers_count_what_is_skipped(cameras):
    cameras[FIRST] = lambda: iter([pixels(0), pixels(3)])
    assert [frame.number for frame in numbered(FIRST, every=3)] == [0, 3]


def test_only_the_newest_is_seen(cameras):
    """While one frame is looked at, the camera gives ten more."""
    gate, done = threading.Event(), threading.Event()

    def frames():
        yield pixels(0)
        gate.wait(10)
        for number in range(1, 11):
            yield pixels(number)
        done.set()

    cameras[FIRST] = frames
    with newest_frames([FIRST]) as found:
        assert next(found).number == 0
        gate.set()
        assert done.wait(10)
        last = next(found)
        assert (last.number, int(last.pixels[0, 0, 0])) == (10, 10)
        assert list(found) == [(FIRST, None)]


def test_several_take_turns(cameras):
    """A fast camera does not keep a slow one out."""
    stop = threading.Event()

    def endless():
        while not stop.wait(0.001):
            yield pixels(1)

    cameras[FIRST] = cameras[SECOND] = endless
    with newest_frames([FIRST, SECOND]) as found:
        seen = [next(found).source.name for _ in range(40)]
        stop.set()
    assert 10 <= seen.count("camera:1") <= 30


def test_one_that_fails_is_told_and_the_other_goes_on(cameras):
    def fails():
        raise DataError("camera:0: gone")
        yield

    cameras[FIRST], cameras[SECOND] = fails, lambda: iter([pixels(2)])
    with newest_frames([FIRST, SECOND]) as found:
        items = list(found)
    assert [item.source.name for item in items if isinstance(item, Frame)] == ["camera:1"]
    ended = dict(item for item in items if not isinstance(item, Frame))
    assert str(ended[FIRST]) == "camera:0: gone"
    assert ended[SECOND] is None


def test_a_defect_is_raised_where_frames_are_asked_for(cameras):
    def broken():
        raise KeyError("defect")
        yield

    cameras[FIRST] = broken
    with newest_frames([FIRST]) as found, pytest.raises(KeyError, match="defect"):
        next(found)
