"""Pictures that are not kept are the same rows and the same faults."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantdet.config import DataConfig
from quantdet.data.dataset import load_dataset
from quantdet.data.mapped import opened, portable
from quantdet.data.undecoded import Undecoded, model_pictures
from quantdet.errors import DataError

SIZE = (32, 24)


@pytest.fixture
def samples(voc):
    voc.add("a").add("b").add("c").add("d")
    return load_dataset(voc.root).splits["train"]


@pytest.fixture
def settings(tmp_path):
    def make(*, cache, skip_bad=False):
        folder = tmp_path / "cache"
        return DataConfig(cache_dir=folder, cache=cache, skip_bad=skip_bad, root=Path())

    return make


@pytest.mark.parametrize("index", [0, -1, slice(1, 3), slice(None, None, -2), [3, 0, 3], []])
def test_rows_are_those_of_the_cache(samples, settings, tmp_path, index):
    lazy = model_pictures(samples, SIZE, settings(cache=False))
    assert isinstance(lazy.images, Undecoded)
    assert not (tmp_path / "cache").exists()
    kept = model_pictures(samples, SIZE, settings(cache=True))
    assert (lazy.key, lazy.samples) == (kept.key, kept.samples)
    assert lazy.images.shape == kept.images.shape
    chosen = np.array(index, np.int64) if isinstance(index, list) else index
    np.testing.assert_array_equal(lazy.images[chosen], kept.images[chosen])
    np.testing.assert_array_equal(list(lazy.images), kept.images)
    again = opened(pickle.loads(pickle.dumps(portable(lazy.images))))
    np.testing.assert_array_equal(again[chosen], kept.images[chosen])


def cut_short(sample):
    sample.image_path.write_bytes(sample.image_path.read_bytes()[:600])


def other_size(sample):
    sample.image_path.write_bytes(sample.image_path.with_name("e.jpg").read_bytes())


@pytest.mark.parametrize("damage", [cut_short, other_size])
def test_faults_are_those_of_the_cache(samples, voc, settings, damage):
    Image.new("RGB", (20, 10)).save(voc.root / "JPEGImages" / "e.jpg")
    damage(samples[1])
    said = []
    for cache in (True, False):
        with pytest.raises(DataError) as raised:
            model_pictures(samples, SIZE, settings(cache=cache))
        found = model_pictures(samples, SIZE, settings(cache=cache, skip_bad=True))
        said.append((str(raised.value), found.samples, found.skipped, found.key))
    assert said[0] == said[1]
    assert len(said[0][1]) == 3


def test_nothing_usable(samples, settings):
    for sample in samples:
        cut_short(sample)
    with pytest.raises(DataError, match=r"none of 4 pictures is usable; first: .*a\.jpg"):
        model_pictures(samples, SIZE, settings(cache=False, skip_bad=True))
