from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from quantdet.data.check import check_dataset
from quantdet.data.dataset import load_dataset
from quantdet.data.images import read_image
from quantdet.data.scenes import SCENE_CLASSES, generate_scenes, render_scene
from quantdet.data.scenes.generate import _annotate, _Placed
from quantdet.errors import DataError

SIZE = (96, 128)


@pytest.fixture(scope="module")
def rendered():
    return [render_scene(7, index, SIZE) for index in range(150)]


def test_same_reader_as_everybody(scenes_folder):
    result = check_dataset(scenes_folder)
    assert [f for f in result.findings if f.severity == "error"] == []
    dataset = load_dataset(scenes_folder.parent, labels=SCENE_CLASSES)
    sizes = {name: len(members) for name, members in dataset.splits.items()}
    assert sizes == {"train": 7, "val": 1, "trainval": 8, "test": 2}
    for sample in dataset.splits["trainval"]:
        assert 1 <= len(sample.objects) <= 4
        areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (o.box_xyxy for o in sample.objects)]
        assert areas == sorted(areas, reverse=True)


def test_file_holds_what_was_rendered(scenes_folder):
    sample = load_dataset(scenes_folder).splits["train"][3]
    picture, objects = render_scene(0, 3, SIZE)
    assert sample.objects == objects
    # JPEG of quality 88 and more on sensor noise: measured 4.1 grey levels.
    assert np.abs(read_image(sample.image_path).astype(int) - picture).mean() < 8


def test_seed_decides_everything_and_the_number_of_pictures_nothing(tmp_path, scenes_folder):
    few = generate_scenes(tmp_path / "few", count=4, size_hw=SIZE)
    other = generate_scenes(tmp_path / "other", count=4, size_hw=SIZE, seed=1)
    for name in ("JPEGImages/000002.jpg", "Annotations/000002.xml"):
        assert (few / name).read_bytes() == (scenes_folder / name).read_bytes()
        assert (few / name).read_bytes() != (other / name).read_bytes()


def test_three_pictures_fill_three_splits(tmp_path):
    folder = generate_scenes(tmp_path, count=3, size_hw=(64, 64))
    lists = {path.stem: path.read_text().split() for path in (folder / "ImageSets/Main").iterdir()}
    assert lists == {
        "train": ["000001"],
        "val": ["000002"],
        "trainval": ["000001", "000002"],
        "test": ["000003"],
    }


def test_all_classes_flags_and_counts_occur(rendered):
    objects = [item for _, items in rendered for item in items]
    classes = Counter(item.label for item in objects)
    assert set(classes) == set(SCENE_CLASSES)
    assert max(classes.values()) < 3 * min(classes.values())
    assert {len(items) for _, items in rendered} == {1, 2, 3, 4}
    truncated = np.mean([item.truncated for item in objects])
    difficult = np.mean([item.difficult for item in objects])
    assert 0.05 < truncated < 0.5
    assert 0.005 < difficult < 0.3


def test_colour_does_not_tell_the_class(rendered):
    colours, labels = [], []
    for picture, items in rendered:
        item = items[0]
        x1, y1, x2, y2 = (int(value) for value in item.box_xyxy)
        inner = picture[
            (3 * y1 + y2) // 4 : (y1 + 3 * y2) // 4, (3 * x1 + x2) // 4 : (x1 + 3 * x2) // 4
        ]
        colours.append(inner.reshape(-1, 3).mean(axis=0))
        labels.append(item.label)
    points, names = np.array(colours), np.array(labels)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = names[np.argsort(distance, axis=1)[:, :5]]
    guesses = [Counter(row).most_common(1)[0][0] for row in nearest]
    # Chance is 1/6; measured 0.23.
    assert np.mean(np.array(guesses) == names) < 0.4


@pytest.mark.parametrize(
    ("full", "visible", "box", "truncated", "difficult"),
    [
        ((10, 20, 50, 60), np.s_[20:60, 10:50], (10, 20, 50, 60), False, False),
        ((-10, 20, 40, 60), np.s_[20:60, 0:40], (0, 20, 40, 60), True, False),
        ((10, 20, 50, 60), np.s_[20:60, 10:25], (10, 20, 25, 60), True, True),
        ((10, 20, 50, 60), np.s_[20:60:3, 10:50], (10, 20, 50, 60), False, True),
        ((10, 20, 50, 26), np.s_[20:26, 10:50], (10, 20, 50, 26), False, True),
    ],
)
def test_flags_are_true(full, visible, box, truncated, difficult):
    mask = np.zeros(SIZE, bool)
    mask[visible] = True
    pixels = (full[2] - full[0]) * (full[3] - full[1])
    item = _annotate(_Placed("car", full, pixels, mask), SIZE)
    # The striped object of row four ends at row 59.
    np.testing.assert_allclose(item.box_xyxy, box, atol=2)
    assert (item.truncated, item.difficult) == (truncated, difficult)


def test_never_overwrites(tmp_path):
    folder = generate_scenes(tmp_path, count=3, size_hw=(64, 64))
    stamp = (folder / "scenes.json").stat().st_mtime_ns
    assert generate_scenes(tmp_path, count=3, size_hw=(64, 64)) == folder
    assert (folder / "scenes.json").stat().st_mtime_ns == stamp
    with pytest.raises(DataError, match=r"VOCscenes: exists with other content.*choose another"):
        generate_scenes(tmp_path, count=4, size_hw=(64, 64))


def test_interrupted_generation_leaves_nothing(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_scenes(tmp_path, count=3, size_hw=(64, 64), progress=interrupt)
    assert list((tmp_path / "VOCdevkit").iterdir()) == []


@pytest.mark.parametrize("settings", [{"count": 2}, {"size_hw": (40, 200)}])
def test_settings_that_are_too_small(tmp_path, settings):
    with pytest.raises(DataError, match=r"too small; make at least 3 pictures of 64x64"):
        generate_scenes(tmp_path, **settings)
