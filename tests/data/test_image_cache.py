from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from quantdet.data import cache as cache_module
from quantdet.data.cache import build_cache
from quantdet.data.dataset import load_dataset
from quantdet.data.images import read_image, resize
from quantdet.errors import DataError, QuantdetError
from quantdet.system import owner, temporary
from quantdet.system.user_cache import user_cache_dir

SIZE = (32, 24)


@pytest.fixture
def samples(voc):
    voc.add("a").add("b").add("c").add("d")
    return load_dataset(voc.root).splits["train"]


def break_picture(sample):
    sample.image_path.write_bytes(sample.image_path.read_bytes()[:600])


def test_rows_are_the_pixels_that_predict_sees(samples, tmp_path):
    calls = []
    cache = build_cache(samples, SIZE, tmp_path / "cache", lambda *c: calls.append(c))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert cache.images.shape == (4, 32, 24, 3)
    assert isinstance(cache.images, np.memmap)
    assert cache.samples == samples
    for row, sample in zip(cache.images, samples, strict=True):
        np.testing.assert_array_equal(row, resize(read_image(sample.image_path), SIZE))


def test_second_time_decodes_nothing(samples, tmp_path, monkeypatch):
    first = build_cache(samples, SIZE, tmp_path / "cache")

    def forbidden(path):
        raise AssertionError(f"{path} decoded again")

    monkeypatch.setattr(cache_module, "read_image", forbidden)
    again = build_cache(samples, SIZE, tmp_path / "cache")
    np.testing.assert_array_equal(again.images, first.images)
    with pytest.raises(AssertionError, match="decoded again"):
        build_cache(samples, (24, 24), tmp_path / "cache")


def test_changed_picture_and_changed_order_are_other_caches(samples, voc, tmp_path):
    first = build_cache(samples, SIZE, tmp_path / "cache")
    times = samples[0].image_path.stat()
    samples[0].image_path.write_bytes(samples[1].image_path.read_bytes())
    os.utime(samples[0].image_path, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = build_cache(samples, SIZE, tmp_path / "cache")
    np.testing.assert_array_equal(changed.images[0], first.images[1])
    turned = build_cache(samples[::-1], SIZE, tmp_path / "cache")
    np.testing.assert_array_equal(turned.images[0], first.images[3])


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_byte,
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: np.save(path, np.zeros((4, 32, 24, 1), np.uint8)),
        lambda path: path.with_suffix(".json").write_text("{}"),
        lambda path: path.with_suffix(".json").write_text("[1"),
        lambda path: path.with_suffix(".json").unlink(),
    ],
)
def test_damaged_cache_is_built_again(samples, tmp_path, damage):
    first = build_cache(samples, SIZE, tmp_path / "cache")
    expected = np.array(first.images)
    damage(first.path)
    again = build_cache(samples, SIZE, tmp_path / "cache")
    np.testing.assert_array_equal(again.images, expected)


def test_interrupted_build_leaves_nothing_and_starts_again(samples, tmp_path):
    folder = tmp_path / "cache"

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_cache(samples, SIZE, folder, interrupt)
    assert list(folder.iterdir()) == []
    assert len(build_cache(samples, SIZE, folder).images) == 4


def test_leftovers_of_killed_builds_are_cleared_but_not_running_ones(
    samples, tmp_path, monkeypatch
):
    folder = tmp_path / "cache"
    path = build_cache(samples, SIZE, folder).path
    path.unlink()
    new = temporary.temporary_path(path)
    monkeypatch.setattr(owner, "_TOKEN", "0" * 8)
    old = temporary.temporary_path(path)
    monkeypatch.undo()
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    temporary._swept.clear()
    build_cache(samples, SIZE, folder)
    assert not old.exists()
    assert new.exists()


def test_bad_picture_stops_or_is_skipped(samples, tmp_path):
    break_picture(samples[1])
    folder = tmp_path / "cache"
    says = r"b\.jpg: picture is truncated or damaged.*data check.*--skip-bad"
    with pytest.raises(DataError, match=says):
        build_cache(samples, SIZE, folder)
    for _ in range(2):  # decoded, then from the cache
        cache = build_cache(samples, SIZE, folder, skip_bad=True)
        assert [s.image_id for s in cache.samples] == ["a", "c", "d"]
        assert len(cache.skipped) == 1
        np.testing.assert_array_equal(
            cache.images[1], resize(read_image(samples[2].image_path), SIZE)
        )
    with pytest.raises(DataError, match=says):
        build_cache(samples, SIZE, folder)


def test_all_pictures_bad_and_none_given(samples, tmp_path):
    break_picture(samples[0])
    with pytest.raises(DataError, match=r"none of 1 pictures is usable; first: .*a\.jpg"):
        build_cache(samples[:1], SIZE, tmp_path / "cache", skip_bad=True)
    with pytest.raises(DataError, match="no picture to decode"):
        build_cache([], SIZE, tmp_path / "cache")


def test_annotated_size_must_be_the_pictures(samples, tmp_path):
    wrong = replace(samples[0], size_hw=(80, 60))
    with pytest.raises(DataError, match=r"a\.jpg: picture is 80x60.*says 60x80; correct the ann"):
        build_cache([wrong], SIZE, tmp_path / "cache")


def test_unwritable_folder_and_full_disk(samples, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(QuantdetError, match=r"file.*: cannot write here.*choose another"):
        build_cache(samples, SIZE, tmp_path / "file" / "cache")
    usage = cache_module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(QuantdetError, match=r"need 0\.0 GB, free are.*data\.cache_dir"):
        build_cache(samples, SIZE, tmp_path / "cache")


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_dir() == tmp_path / "quantdet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache_dir() == tmp_path / "home" / ".cache" / "quantdet"
