"""Pictures that are decoded whenever they are shown, where there is no room to keep them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.config import DataConfig
from quantdet.data.cache import ImageCache, bad_picture, build_cache, cache_key, require_size
from quantdet.data.images import read_image, resize
from quantdet.data.mapped import Array, PictureRows
from quantdet.data.pictures import look_at_files
from quantdet.data.remembered import Seen
from quantdet.data.sample import Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick


class Undecoded(PictureRows):
    """Picture files as rows of one array.

    Args:
        paths: the files.
        size_hw: (height, width) that each is resized to.
    """

    def __init__(self, paths: Sequence[Path], size_hw: tuple[int, int]) -> None:
        self._paths = tuple(map(str, paths))
        self.shape = (len(self._paths), *size_hw, 3)

    def _one(self, number: int) -> Array:
        return resize(read_image(Path(self._paths[number])), (self.shape[1], self.shape[2]))

    def _take(self, numbers: NDArray[np.int64]) -> Array:
        taken = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for row, number in enumerate(numbers):
            taken[row] = self._one(int(number))
        return taken


def model_pictures(
    samples: Sequence[Sample],
    size_hw: tuple[int, int],
    config: DataConfig,
    progress: Tick = no_tick,
) -> ImageCache:
    """Return the pictures of ``samples`` at model size, kept or not, as [data] says.

    Args:
        samples: the pictures, in the order of the rows.
        size_hw: (height, width) of the rows.
        config: the [data] section.
        progress: called with (pictures looked at, all pictures).

    Raises:
        DataError, QuantdetError: see :func:`quantdet.data.cache.build_cache`.
    """
    if config.cache:
        folder, skip_bad = config.cache_dir, config.skip_bad
        return build_cache(samples, size_hw, folder, progress, skip_bad=skip_bad)
    paths = [sample.image_path for sample in samples]
    seen = look_at_files(paths, progress)
    bad = {
        row: fault
        for row, sample in enumerate(samples)
        if (fault := _fault(sample, seen[sample.image_path]))
    }
    if bad and not config.skip_bad:
        raise bad_picture(next(iter(bad.values())))
    kept = [sample for row, sample in enumerate(samples) if row not in bad]
    if not kept:
        raise DataError(f"none of {len(samples)} pictures is usable; first: {bad[0]}")
    images = Undecoded([sample.image_path for sample in kept], size_hw)
    key = cache_key(samples, [seen[path].digest for path in paths], size_hw)
    return ImageCache(images, tuple(kept), tuple(bad.values()), key, ())


def _fault(sample: Sample, seen: Seen) -> str:
    """Return what is wrong with a picture, as decoding at full size says it."""
    try:
        if seen.size_hw is None:
            read_image(sample.image_path)
            return f"{sample.image_path}: {seen.fault}"
        require_size(sample, seen.size_hw)
    except DataError as error:
        return str(error)
    return ""
