"""One training on several devices: each computes its part of every batch (data parallelism).

Keras and JAX do the work: the step is compiled once for all devices, variables are the same on
each, and losses and gradients are those of the whole batch, so that the number of devices changes
no result beyond the order of float32 sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras

from quantdet.errors import ConfigError
from quantdet.system.processes import count_processes
from quantdet.train.batches import ALONE, Share
from quantdet.train.recorder import Logs


class _SharedBatches(keras.distribution.DataParallel):
    """Cuts batches into one part for each device, or gives every device the whole."""

    whole = False

    def get_data_layout(self, data_shape: Sequence[int]) -> keras.distribution.TensorLayout:
        if self.whole:
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
        return super().get_data_layout(data_shape)


class WholeValidation(keras.callbacks.Callback):
    """Lets every device compute whole batches while Keras validates.

    Only batches that all devices have an equal part of can be cut. Training may fill them up with
    examples that it shows twice; a validation loss would not be that of its examples any more.
    """

    def on_test_begin(self, logs: Logs = None) -> None:
        """Keep batches whole."""
        self._keep_whole(True)

    def on_test_end(self, logs: Logs = None) -> None:
        """Cut batches again."""
        self._keep_whole(False)

    def _keep_whole(self, whole: bool) -> None:
        distribution = keras.distribution.distribution()
        if isinstance(distribution, _SharedBatches):
            distribution.whole = whole


def check_devices(devices: int, batch_size: int) -> None:
    """Refuse a number of devices that this machine, the backend or a batch does not have.

    Args:
        devices: of this machine.
        batch_size: pictures of a step, on all devices of all machines together.

    Raises:
        ConfigError: see above; the message says what there is.
    """
    if devices == 1 and count_processes() == 1:
        return
    backend = keras.backend.backend()
    if backend != "jax":
        raise ConfigError(
            f"train.devices = {devices}: only JAX trains on several devices, and Keras runs on "
            f"{backend}; add --backend jax, or --devices 1"
        )
    here = _local_devices()
    if devices > len(here):
        raise ConfigError(
            f"train.devices = {devices}, but JAX sees {len(here)} on this machine: "
            f"{', '.join(here)}; add --devices {len(here)}"
        )
    together = devices * count_processes()
    if batch_size % together:
        raise ConfigError(
            f"a batch of {batch_size} pictures has no equal parts for {together} devices; set "
            f"train.batch_size (--batch) and qat.batch_size to a multiple of {together}"
        )


@contextmanager
def shared_batches(devices: int, batch_size: int) -> Iterator[Share]:
    """Make models that are built here train on so many devices of each machine.

    Yields what batches have to be for that.

    Raises:
        ConfigError: see :func:`check_devices`.
    """
    check_devices(devices, batch_size)
    parts = count_processes()
    if devices * parts == 1:
        yield ALONE
        return
    import jax

    found = [
        f"{device.platform}:{device.id}"
        for process in range(parts)
        for device in [x for x in jax.devices() if x.process_index == process][:devices]
    ]
    with _SharedBatches(devices=found, auto_shard_dataset=False).scope():
        yield Share(len(found), jax.process_index(), parts)


def _local_devices() -> list[str]:
    import jax

    return [f"{device.platform}:{device.id}" for device in jax.local_devices()]
