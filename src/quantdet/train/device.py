"""What a training is computed on, and who makes its batches."""

from __future__ import annotations

import importlib.util
import logging

import keras

from quantdet.manifest import TrainedOn
from quantdet.runtime.cores import usable_cores
from quantdet.system.backends import list_devices
from quantdet.system.processes import count_processes

_MOST_WORKERS = 16
_log = logging.getLogger(__name__)


def training_device(devices: int = 1) -> TrainedOn:
    """Return Keras' backend and what it computes on.

    Args:
        devices: of each machine that share the batches.
    """
    backend = keras.backend.backend()
    first = list_devices(backend)[0]
    together = devices * count_processes()
    return TrainedOn(backend=backend, id=first["id"], name=first["name"], devices=together)


def choose_workers(wanted: int | str) -> int:
    """Return how many processes shall make batches; 0: the one that trains.

    Args:
        wanted: a number, or "auto": none on a CPU, on a GPU one for each core but one.
    """
    if wanted == "auto":
        if training_device().id == "cpu":
            return 0
        wanted = min(_MOST_WORKERS, max(1, usable_cores() - 1))
    if wanted and importlib.util.find_spec("grain") is None:
        _log.warning(
            "batches are made by one thread of this process, which may keep the GPU waiting: "
            '%d workers need Grain (pip install "quantdet[workers]", Python 3.11 or later)',
            wanted,
        )
        return 0
    return int(wanted)
