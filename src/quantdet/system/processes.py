"""One training in several processes, as on several machines: each runs the same command.

Which processes there are is told by the variables that Keras has for that, see :data:`VARIABLES`;
JAX connects them. The first process leads: its run folder is the one that people get.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from quantdet.errors import ConfigError, QuantdetError

if TYPE_CHECKING:
    import keras

VARIABLES = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)
"""Address of the first process (host:port), how many there are, and which this one is, from 0."""


def count_processes() -> int:
    """Return how many processes train together.

    Raises:
        ConfigError: the variables are incomplete, or not what they have to be.
    """
    return _place()[0]


def leads() -> bool:
    """Return whether the results of this process are the ones that are kept."""
    return _place()[1] == 0


def join_processes() -> None:
    """Connect to the other processes, if there are any; before JAX computes anything.

    Raises:
        ConfigError: the variables are wrong, or Keras does not run on JAX.
        QuantdetError: the others do not answer.
    """
    if count_processes() == 1:
        return
    import keras

    if keras.backend.backend() != "jax":
        raise ConfigError(
            f"{VARIABLES[0]} is set, but only JAX trains in several processes, and Keras runs on "
            f"{keras.backend.backend()}; add --backend jax, or unset {VARIABLES[0]}"
        )
    import jax

    if jax.distributed.is_initialized():
        return
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        raise QuantdetError(
            f"the processes of {VARIABLES[0]}={os.environ[VARIABLES[0]]} did not come together: "
            f"{error}"
        ) from error


def leave_processes() -> None:
    """Part from the other processes, which do so, too."""
    if count_processes() > 1:
        import jax

        jax.distributed.shutdown()


def require_same_everywhere(found: object) -> None:
    """Compare between processes what each is about to train from.

    Args:
        found: anything that JSON can write.

    Raises:
        QuantdetError: they differ.
    """
    if count_processes() == 1:
        return
    import numpy as np  # not above: every command of the command line imports this module
    from jax.experimental.multihost_utils import process_allgather

    text = json.dumps(found, sort_keys=True)
    digest = np.frombuffer(blake2b(text.encode(), digest_size=16).digest(), np.uint8)
    everywhere = process_allgather(digest)
    if (everywhere != everywhere[0]).any():
        raise QuantdetError(
            "the processes would not train the same; give each the same command, the same data and "
            "the same run folder, on a file system that all of them see"
        )


def start_alike(model: keras.Model) -> None:
    """Give a model the variables of the leader.

    Machines may differ in the last bit of what they computed so far, e.g. of a calibration.
    """
    if count_processes() == 1:
        return
    import numpy as np
    from jax.experimental.multihost_utils import broadcast_one_to_all

    values = broadcast_one_to_all([np.array(variable.numpy()) for variable in model.variables])
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(np.array(value))


@contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to work in: to the leader the given one, to others a copy.

    They are copied before the leader goes on, and removed at the end.
    """
    if count_processes() == 1:
        yield folder
        return
    from jax.experimental.multihost_utils import sync_global_devices

    with tempfile.TemporaryDirectory(prefix="quantdet-") as scratch:
        copy = Path(scratch) / folder.name
        if not leads() and folder.exists():
            shutil.copytree(folder, copy)
        sync_global_devices("copied")
        yield folder if leads() else copy


def _place() -> tuple[int, int]:
    """Return how many processes there are, and which this one is."""
    values = [os.environ.get(name, "") for name in VARIABLES]
    if not any(values):
        return 1, 0
    count, index = (int(text) if text.isdigit() else -1 for text in values[1:])
    if not values[0] or not 0 <= index < count:
        given = ", ".join(f"{name}={value}" for name, value in zip(VARIABLES, values, strict=True))
        raise ConfigError(
            f"{given}: several processes need all three, as host:port of the first, their number, "
            "and the one that this is, from 0"
        )
    return count, index
