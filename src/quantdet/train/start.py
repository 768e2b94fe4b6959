"""The model of a float training's first step; channels of a wider start are chosen on pictures."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.config import ModelConfig
from quantdet.errors import ModelError
from quantdet.manifest import Identity
from quantdet.models import WeightSet, build_model
from quantdet.models.ssd import narrow_start
from quantdet.quant.saved import load_keras
from quantdet.system.atomic import atomic_path
from quantdet.train.pictures import PictureSource

_log = logging.getLogger(__name__)
# What channels are chosen on: 48 pictures of 192 pixels, fewer of larger ones, since all that two
# layers make of them is in memory at once.
_PIXELS = 48 * 192**2


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Attributes:
        model: the [model] section.
        weights: as they were resolved; None for random ones.
        pictures: to train on; channels are chosen on some of them.
        identity: of the training.
    """

    model: ModelConfig
    weights: WeightSet | None
    pictures: PictureSource
    identity: Identity

    def build(self, folder: Path) -> keras.Model:
        """Return the model with its starting weights.

        A narrowed one is kept in ``folder``: a training that resumes on another machine would be
        refused if a single number of its start were another.
        """
        count = len(self.identity.labels)
        if self.weights is None or self.weights.taken is None:
            return build_model(self.model, count, self.weights)
        file = folder / f"start-{self._digest()}.keras"
        try:
            return load_keras(file)
        except (ModelError, OSError, ValueError):
            pass  # absent, or damaged
        _log.info("choosing %d of the %d channels of %s", *self.weights.taken, self.weights.source)
        narrow = narrow_start(self.model, count, self.weights, self._some_pictures())
        model = build_model(self.model, count, narrow)
        with atomic_path(file) as temporary:
            model.save(temporary)
        return model

    def _some_pictures(self) -> NDArray[np.float32]:
        count = max(1, _PIXELS // self.model.input_size**2)
        chosen = np.random.default_rng(0).permutation(len(self.pictures))[:count]
        return self.pictures.pictures(np.sort(chosen))

    def _digest(self) -> str:
        """Return a digest of all that a narrowed model depends on."""
        parts = self.identity.model_dump_json(include={"model", "labels", "data", "weights"})
        key = f"{parts} {self.identity.train['seed']}"
        return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
