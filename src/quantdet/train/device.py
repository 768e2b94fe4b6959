"""What a training is computed on."""

from __future__ import annotations

import keras

from quantdet.manifest import TrainedOn
from quantdet.system.backends import list_devices


def training_device() -> TrainedOn:
    """Return Keras' backend and the device that it computes on."""
    backend = keras.backend.backend()
    first = list_devices(backend)[0]
    return TrainedOn(backend=backend, id=first["id"], name=first["name"])
