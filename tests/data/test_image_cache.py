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
    damage(first.paths[0])
    again = build_cache(samples, SIZE, tmp_path / "cache")
    np.testing.assert_array_equal(again.images, expected)


def test_checksum_of_a_large_file_waits_for_another_date(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_LARGE", 1)
    computed = []
    checksum = cache_module._checksum
    monkeypatch.setattr(
        cache_module, "_checksum", lambda path: computed.append(path) or checksum(path)
    )
    (path,) = build_cache(samples, SIZE, tmp_path / "cache").paths
    computed.clear()
    build_cache(samples, SIZE, tmp_path / "cache")
    assert not computed
    times = path.stat()
    flip_byte(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    again = build_cache(samples, SIZE, tmp_path / "cache")
    assert computed[0] == path
    monkeypatch.setattr(cache_module, "_LARGE", 1 << 30)
    expected = build_cache(samples, SIZE, tmp_path / "other")
    np.testing.assert_array_equal(again.images, expected.images)


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
    path = build_cache(samples, SIZE, folder).paths[0]
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


@pytest.fixture
def small_files(monkeypatch):
    monkeypatch.setattr(cache_module, "_PICTURES_A_FILE", 2)


@pytest.fixture
def five(voc):
    for name in "abcde":
        voc.add(name)
    return load_dataset(voc.root).splits["train"]


def test_many_pictures_are_in_several_files(five, tmp_path, monkeypatch, caplog):
    one = build_cache(five, SIZE, tmp_path / "one")
    assert len(one.paths) == 1
    monkeypatch.setattr(cache_module, "_PICTURES_A_FILE", 2)
    calls = []
    with caplog.at_level("INFO"):
        several = build_cache(five, SIZE, tmp_path / "several", lambda *c: calls.append(c))
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert "decoding 5 pictures: 0.0 GB in" in caplog.text
    assert len(several.paths) == 3
    np.testing.assert_array_equal(several.images[:], one.images)
    assert several.key == one.key
    assert several.samples == one.samples


def test_too_little_room_for_all_files_is_told_before_the_first(
    five, small_files, tmp_path, monkeypatch
):
    usage = cache_module.shutil.disk_usage(tmp_path)
    room = usage._replace(free=4 * 3 * SIZE[0] * SIZE[1])  # for four of five
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: room)
    decoded = counted(monkeypatch)
    with pytest.raises(QuantdetError, match=r"data\.cache_dir"):
        build_cache(five, SIZE, tmp_path / "cache")
    assert decoded == []


def test_a_stopped_build_goes_on(five, small_files, tmp_path, monkeypatch):
    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_cache(five, SIZE, tmp_path / "cache", interrupt)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    decoded = counted(monkeypatch)
    cache = build_cache(five, SIZE, tmp_path / "cache")
    assert decoded == ["c", "d", "e"]
    for row, sample in zip(cache.images, five, strict=True):
        np.testing.assert_array_equal(row, resize(read_image(sample.image_path), SIZE))


def test_a_changed_picture_costs_its_file_alone(five, small_files, tmp_path, monkeypatch):
    first = build_cache(five, SIZE, tmp_path / "cache")
    five[2].image_path.write_bytes(five[0].image_path.read_bytes())
    decoded = counted(monkeypatch)
    changed = build_cache(five, SIZE, tmp_path / "cache")
    assert decoded == ["c", "d"]
    assert changed.key != first.key
    np.testing.assert_array_equal(changed.images[2], first.images[0])
    np.testing.assert_array_equal(changed.images[[0, 1, 3, 4]], first.images[[0, 1, 3, 4]])


def test_bad_pictures_in_several_files(five, small_files, tmp_path):
    for number in (2, 3, 4):
        break_picture(five[number])
    for _ in range(2):  # decoded, then from the cache
        cache = build_cache(five, SIZE, tmp_path / "cache", skip_bad=True)
        assert [sample.image_id for sample in cache.samples] == ["a", "b"]
        assert [reason[-60:] for reason in cache.skipped] == sorted(
            reason[-60:] for reason in cache.skipped
        )
        assert len(cache.skipped) == 3
        assert len(cache.images) == 2
    with pytest.raises(DataError, match=r"c\.jpg: picture is truncated or damaged"):
        build_cache(five, SIZE, tmp_path / "cache")


def counted(monkeypatch) -> list[str]:
    """Return the names of the pictures that are read from here on."""
    names = []

    def read(path):
        names.append(path.stem)
        return read_image(path)

    monkeypatch.setattr(cache_module, "read_image", read)
    monkeypatch.setattr(cache_module, "map_threads", one_by_one)
    return names


def one_by_one(work, items, progress):
    for done, item in enumerate(items, start=1):
        work(item)
        progress(done, len(items))
