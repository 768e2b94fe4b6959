"""Is the test a fair one? The same data as in training, and no test picture among the learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quantdet.config import DataConfig
from quantdet.data.dataset import fingerprint
from quantdet.data.digest import digest_files
from quantdet.data.images import read_image, resize
from quantdet.data.sample import Dataset, Sample
from quantdet.progress import Tick, no_tick
from quantdet.results.metrics import DataState

_EXAMPLES = 3
_LOOK_HW = (16, 16)
# Mean difference of pixels, 0 to 255: below, the same picture saved anew; others have 40 and more.
_SAME_LOOK = 10.0


def data_state(
    dataset: Dataset, data: DataConfig, trained_on: str, progress: Tick = no_tick
) -> DataState:
    """Compare the data set with what was trained on, and its test split with the other two.

    Pictures are the same if their files are, byte by byte, or if they have one id and look alike.

    Args:
        dataset: all splits, as training loads them.
        data: names of the splits.
        trained_on: fingerprint of the training; "": not known.
        progress: called with (pictures read, all pictures).

    Raises:
        DataError: a picture is not readable.
    """
    test = [sample for sample in dataset.splits.get(data.test_split, ()) if sample.annotated]
    learned = dataset.splits.get(data.train_split, ())
    chosen_on = dataset.splits.get(data.val_split, ())
    unchanged = fingerprint(dataset, progress) == trained_on if trained_on else None
    paths = (sample.image_path for part in (test, learned, chosen_on) for sample in part)
    digests = {str(path): digest for path, digest in digest_files(paths).items()}
    in_training, in_validation = (_twins(test, part, digests) for part in (learned, chosen_on))
    return DataState(
        unchanged=unchanged,
        in_training=len(in_training),
        in_validation=len(in_validation),
        examples=tuple((in_training or in_validation)[:_EXAMPLES]),
        reason="" if trained_on else "the run does not say what it was trained on",
    )


def _twins(
    test: Sequence[Sample], others: Sequence[Sample], digests: Mapping[str, str]
) -> list[str]:
    """Return "test id = other id" of each test picture that is among others."""
    by_content = {digests[str(sample.image_path)]: sample for sample in others}
    by_id = {sample.image_id: sample for sample in others}
    found = []
    for sample in test:
        twin = by_content.get(digests[str(sample.image_path)])
        namesake = by_id.get(sample.image_id)
        # Many sets number the pictures of each split from 1: one id is not yet one picture.
        if twin is None and namesake is not None and _alike(sample, namesake):
            twin = namesake
        if twin is not None:
            found.append(f"{sample.image_id} = {twin.image_id}")
    return found


def _alike(one: Sample, other: Sample) -> bool:
    difference = np.abs(_look(one) - _look(other))
    return float(difference.mean()) < _SAME_LOOK


def _look(sample: Sample) -> NDArray[np.float64]:
    return resize(read_image(sample.image_path), _LOOK_HW).astype(np.float64)
