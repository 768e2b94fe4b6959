"""Training examples made of cached pictures and their objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import area
from quantdet.data.augment import Augmentation, augment_batch
from quantdet.data.mapped import Pictures, opened, portable
from quantdet.models.targets import PictureObjects
from quantdet.runtime.pixels import to_real
from quantdet.train.batches import Batch, Indices, Targets

Encode = Callable[[PictureObjects], Mapping[str, NDArray[np.number]]]
Augment = Callable[
    [NDArray[np.uint8], Sequence[PictureObjects], np.random.Generator, tuple[int, int]],
    tuple[NDArray[np.uint8], Sequence[PictureObjects]],
]
"""(pictures, their objects, chance, wanted (height, width)) → new pictures and objects."""


@dataclass(frozen=True)
class PictureSource:
    """Pictures and targets of one split.

    Attributes:
        images: uint8 (M, H, W, 3), RGB, e.g. the memory-mapped cache of the split.
        rows: int64 (N,), row of ``images`` for each example.
        objects: N entries, what is to be learned in each picture.
        encode: objects of a picture → targets by output name.
        augment: changes a batch of pictures and their objects; None leaves them as they are.
        large: the rows of ``images`` at a larger size, for crops that stay sharp; None: crops
            are cut from ``images``.
    """

    images: Pictures
    rows: Indices
    objects: Sequence[PictureObjects]
    encode: Encode
    augment: Augment | None = None
    large: Pictures | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs; it maps the same files instead of getting a copy."""
        return {**vars(self), "images": portable(self.images), "large": portable(self.large)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, images=opened(state["images"]), large=opened(state["large"]))

    @property
    def distinct(self) -> int:
        """How many different pictures there are; ``train.balance`` shows some several times."""
        return len(np.unique(self.rows))

    def batch(self, indices: Indices, rng: np.random.Generator) -> Batch:
        """Return uint8 pictures (N, H, W, 3), and their targets."""
        objects: Sequence[PictureObjects] = [self.objects[i] for i in indices]
        if self.augment is None:
            return np.asarray(self.images[self.rows[indices]]), self._targets(objects)
        source = self.images if self.large is None else self.large
        size_hw = (self.images.shape[1], self.images.shape[2])
        pictures, objects = self.augment(source[self.rows[indices]], objects, rng, size_hw)
        return pictures, self._targets(objects)

    def pictures(self, indices: Indices) -> NDArray[np.float32]:
        """Return model inputs without augmentation, e.g. for calibration."""
        return to_real(self.images[self.rows[indices]])

    def targets(self, indices: Indices) -> Targets:
        """Return targets without augmentation."""
        return self._targets([self.objects[i] for i in indices])

    def _targets(self, objects: Sequence[PictureObjects]) -> Targets:
        encoded = [self.encode(item) for item in objects]
        return {name: np.stack([item[name] for item in encoded]) for name in encoded[0]}


@dataclass(frozen=True)
class Vary:
    """Augments a batch at random.

    An object that is cut off too far to be learned is ignored; one that is wholly outside is
    gone.

    Attributes:
        settings: how far pictures are varied.
        keep_objects: leave a picture as it was if none of its objects stays learnable; only
            for pictures that have the wanted size.
    """

    settings: Augmentation
    keep_objects: bool = False

    def __call__(
        self,
        pictures: NDArray[np.uint8],
        objects: Sequence[PictureObjects],
        rng: np.random.Generator,
        size_hw: tuple[int, int],
    ) -> tuple[NDArray[np.uint8], list[PictureObjects]]:
        """Return varied pictures of ``size_hw``, and their objects."""
        before, after = _scale(pictures.shape[1:3]), _scale(size_hw)
        boxes = [item.boxes_xyxy_norm * before for item in objects]
        batch = augment_batch(pictures, boxes, rng, size_hw, self.settings)
        changed = batch.images
        moved: list[PictureObjects] = []
        for i, old in enumerate(objects):
            new = _moved(objects, batch.boxes_xyxy[i] / after, batch.visible[i], batch.origins[i])
            if self.keep_objects and new.ignored.all() and not old.ignored.all():
                changed[i], new = pictures[i], old
            moved.append(new)
        return changed, moved


def _scale(size_hw: Sequence[int]) -> NDArray[np.float32]:
    height, width = size_hw
    return np.array([width, height, width, height], np.float32)


def _moved(
    objects: Sequence[PictureObjects],
    boxes_xyxy_norm: NDArray[np.float32],
    visible: NDArray[np.bool_],
    origins: NDArray[np.int64],
) -> PictureObjects:
    class_ids = [objects[picture].class_ids[number] for picture, number in origins]
    ignored = [objects[picture].ignored[number] for picture, number in origins]
    inside = area(boxes_xyxy_norm) > 0
    return PictureObjects(
        boxes_xyxy_norm[inside],
        np.array(class_ids, dtype=np.int64)[inside],
        (np.array(ignored, dtype=bool) | ~visible)[inside],
    )


def fingerprint(cache_key: str, source: PictureSource) -> str:
    """Return a digest of what a source holds.

    Args:
        cache_key: stands for the content of all pictures.
        source: the source.
    """
    digest = hashlib.blake2b(cache_key.encode(), digest_size=16)
    digest.update(np.asarray(source.rows).tobytes())
    for item in source.objects:
        for array in (item.boxes_xyxy_norm, item.class_ids, item.ignored):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
