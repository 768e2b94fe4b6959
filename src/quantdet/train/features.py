"""Train a head on features that the frozen backbone computed once.

Ten epochs then cost little more than one pass over the pictures.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.progress import Tick, no_tick
from quantdet.train.batches import ArraySource
from quantdet.train.build import jit_compile
from quantdet.train.pictures import PictureSource

_IN_MEMORY_BYTES = 1 << 30
_BATCH = 32


def split_model(model: keras.Model, head_input: str) -> tuple[keras.Model, keras.Model]:
    """Cut a functional model in two that share its layers.

    Args:
        model: the whole model.
        head_input: name of the layer whose output the head reads, and nothing before it.

    Returns:
        (backbone, head); what the head learns, ``model`` has learned.
    """
    border = model.get_layer(head_input).output
    backbone = keras.Model(model.input, border, name="backbone")
    return backbone, keras.Model(border, model.output, name="head")


def extract_features(
    backbone: keras.Model,
    source: PictureSource,
    folder: Path,
    progress: Tick = no_tick,
) -> ArraySource:
    """Run ``backbone`` once over all pictures, without augmentation.

    Args:
        backbone: from pictures to features.
        source: pictures and targets.
        folder: on the disk that takes features too large for memory (over 1 GiB); the file is
            nameless and goes with the process.
        progress: called with (pictures done, all pictures).

    Returns:
        Features float32 (N, …) and the targets of all N pictures.
    """
    backbone.compile(jit_compile=jit_compile())
    count = len(source)
    features = _allocate((count, *backbone.output.shape[1:]), folder)
    for start in range(0, count, _BATCH):
        indices = np.arange(start, min(start + _BATCH, count))
        features[indices] = backbone.predict_on_batch(source.pictures(indices))
        progress(int(indices[-1]) + 1, count)
    return ArraySource(features, source.targets(np.arange(count)))


def _allocate(shape: tuple[int, ...], folder: Path) -> NDArray[np.float32]:
    if 4 * np.prod(shape, dtype=np.int64) <= _IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float32, "w+", shape=shape)
