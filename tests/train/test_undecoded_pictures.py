"""Pictures that are not kept give the same training."""

import numpy as np

from quantdet.config import load_config
from quantdet.data.dataset import load_dataset
from quantdet.data.scenes import generate_scenes
from quantdet.train.batches import Batches
from quantdet.train.ssd_task import ssd_task


def test_batches_are_those_of_the_cache(tmp_path):
    scenes = generate_scenes(tmp_path / "scenes", count=10, size_hw=(96, 128))
    tasks = []
    for cache in ("true", "false"):
        overrides = (f"data.cache={cache}", "model.input_size=160", "train.augment=ssd_mosaic")
        values = {"data": {"root": scenes, "cache_dir": tmp_path}}
        config = load_config(preset="ssd", values=values, overrides=overrides)
        tasks.append(ssd_task(config, load_dataset(scenes)))
    kept, lazy = tasks
    assert kept.fingerprint == lazy.fingerprint
    inputs, targets = Batches(kept.train, 4, 0, shuffle=True)[1]
    again, same = Batches(lazy.train, 4, 0, shuffle=True)[1]
    np.testing.assert_array_equal(again, inputs)
    np.testing.assert_array_equal(same["scores"], targets["scores"])
