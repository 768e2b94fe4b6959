"""Several arrays of pictures as one."""

from __future__ import annotations

import numpy as np
import pytest

from quantdet.data.mapped import Joined, MappedFile, joined, opened, portable


@pytest.fixture
def whole():
    return np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3), np.uint8)


@pytest.fixture
def parts(whole):
    return joined([whole[:4], whole[4:4], whole[4:5], whole[5:]])


@pytest.mark.parametrize(
    "index",
    [
        *(0, 3, 4, 5, 9, -1, -10, np.int64(7)),
        *(slice(None), slice(2, 7), slice(None, None, -3), slice(8, 99), slice(3, 3)),
        *([0, 9, 4, 4], [-1, 3], np.array([5, 2]), np.arange(10) % 3 == 0, np.zeros(0, int)),
    ],
    ids=str,
)
def test_indexed_as_one_array(whole, parts, index):
    assert isinstance(parts, Joined)
    np.testing.assert_array_equal(parts[index], whole[index])
    assert parts[index].dtype == np.uint8


@pytest.mark.parametrize("index", [10, -11, [10], [0, -11]], ids=str)
def test_what_is_not_there(parts, index):
    with pytest.raises(IndexError):
        parts[index]


def test_looks_like_one_array(whole, parts):
    assert (len(parts), parts.shape, parts.dtype) == (10, whole.shape, whole.dtype)
    for one, other in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_array_stays_itself(whole):
    assert joined([whole]) is whole
    assert joined([whole[:0], whole]) is whole
    assert len(joined([whole[:0], whole[:0]])) == 0


def test_files_travel_by_name(whole, tmp_path):
    for number, part in enumerate((whole[:6], whole[6:])):
        np.save(tmp_path / f"{number}.npy", part)
    files = [np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in (0, 1)]
    sent = portable(joined(files))
    assert all(isinstance(part, MappedFile) for part in sent)
    back = opened(sent)
    np.testing.assert_array_equal(back[:], whole)
    assert all(isinstance(array, np.memmap) for array in back.arrays)
    # No file, or a part of one: as it is.
    np.testing.assert_array_equal(opened(portable(files[0][2:4])), whole[2:4])
    assert opened(portable(None)) is None
