"""The pictures of a verification: spread evenly over a data set, a split or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quantdet.data.dataset import load_dataset
from quantdet.data.formats import READABLE
from quantdet.errors import DataError
from quantdet.runtime.contract import InputSpec
from quantdet.runtime.preprocess import fit_picture, read_image
from quantdet.runtime.sources import find_sources
from quantdet.verify.subject import Pictures


def read_pictures(paths: Sequence[Path], count: int, spec: InputSpec) -> Pictures:
    """Decode ``count`` of the pictures, evenly spread over the list.

    Args:
        paths: picture files.
        count: how many.
        spec: the contract's input part.

    Raises:
        DataError: there are fewer, or one cannot be read.
    """
    if len(paths) < count:
        raise DataError(
            f"{paths[0].parent if paths else 'data'}: {count} pictures are requested, but there "
            f"are {len(paths)}; give --pictures {len(paths)}, or more pictures with --data"
        )
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    originals = [read_image(path) for path in chosen]
    pixels = np.stack([fit_picture(image, spec) for image in originals])
    return Pictures(pixels, [(image.shape[0], image.shape[1]) for image in originals])


def picture_files(data: Path) -> list[Path]:
    """Return the pictures of a data set's test split (of all splits without one) or of a folder.

    Raises:
        DataError: neither a data set nor a folder with pictures.
    """
    if any(format.applies(data) for format in READABLE.values()):
        splits = load_dataset(data, skip_bad=True).splits
        wanted = [splits["test"]] if "test" in splits else splits.values()
        # A picture may be in several splits, e.g. train and trainval.
        return list(dict.fromkeys(sample.image_path for split in wanted for sample in split))
    sources = find_sources([data])
    return [source.path for source in sources if source.kind == "picture" and source.path]
