"""Processes that make batches beside the training, by Grain: the same batches, in the same order.

A batch follows from its number alone (:class:`~quantdet.train.batches.Batches`), so it does not
matter who makes it, and a training can go on without its workers.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import current_process, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from quantdet.errors import DependencyError, QuantdetError
from quantdet.train.batches import Batch, Batches

# Of one worker: two that wait, in its queue and in ours, and the one in the making.
_BATCHES_AHEAD = 3
_SHARED_MEMORY = Path("/dev/shm")
_log = logging.getLogger(__name__)


class Workers:
    """Makes the batches ``numbers`` of ``plan``, each in one of several processes.

    Where they end early, e.g. killed for want of memory, that is logged, and :meth:`take` has
    nothing from then on.
    """

    def __init__(self, plan: Batches, numbers: range, processes: int) -> None:
        self._next = numbers.start
        self._made = _start(plan, numbers, processes)

    def take(self, number: int) -> Batch | None:
        """Return a batch if it is the next one that is made; None: the caller has to make it."""
        if self._made is None or number != self._next:
            return None
        try:
            batch: Batch = next(self._made)
        except Exception as error:  # one of the batch itself shows again when it is made here
            _log.warning(
                "the workers ended (%s); batches are made by the process that trains from here "
                "on. A script that trains needs `if __name__ == '__main__':`, and "
                "data.workers = 0 does without workers",
                error,
            )
            self.close()
            return None
        self._next += 1
        return batch

    def close(self) -> None:
        """End the processes."""
        made, self._made = self._made, None
        if made is not None:
            made.close()


@contextmanager
def batches_made_beside(plan: Batches, numbers: range, processes: int) -> Iterator[Workers | None]:
    """Yield workers for the batches ``numbers``; None where there are to be none, or no room.

    Raises:
        DependencyError: Grain is not installed.
        QuantdetError: this is a worker, which imports a script that trains.
    """
    if processes:
        _refuse_to_train_in_a_worker()
    processes = _with_room(processes, plan[numbers.start]) if processes and numbers else 0
    if not processes:
        yield None
        return
    _log.info("workers that make the batches: %d", processes)
    workers = Workers(plan, numbers, processes)
    try:
        yield workers
    finally:
        workers.close()


def _refuse_to_train_in_a_worker() -> None:
    """Refuse what a new process imports before it knows what to do, as multiprocessing does."""
    if getattr(current_process(), "_inheriting", False):
        raise QuantdetError(
            "a worker imported the script that trains, and the script began to train again; put "
            "what trains under `if __name__ == '__main__':`, or set data.workers = 0"
        )


def _with_room(processes: int, batch: Batch) -> int:
    """Return for how many processes the shared memory suffices: writing beyond it is fatal."""
    if not _SHARED_MEMORY.is_dir():
        return processes
    inputs, targets = batch
    needed = _BATCHES_AHEAD * (inputs.nbytes + sum(array.nbytes for array in targets.values()))
    # Batches that are in use are there, too.
    free = shutil.disk_usage(_SHARED_MEMORY).free - needed
    possible = max(0, int(free // needed))
    if possible < processes:
        _log.warning(
            "%s has room for the batches of %d of %d workers; give it more (Docker: "
            "--shm-size=%dg)",
            *(_SHARED_MEMORY, possible, processes, 1 + (processes + 1) * needed // 10**9),
        )
    return min(processes, possible)


@dataclass(frozen=True)
class _Numbered:
    """The batches ``numbers`` of ``plan``, as Grain's sources are."""

    plan: Batches
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Batch:
        return self.plan[self.numbers[index]]


def _start(plan: Batches, numbers: range, processes: int) -> Any:
    """Return Grain's iterator, its processes at work already."""
    grain = _import_grain()
    source = grain.MapDataset.source(_Numbered(plan, numbers))
    alone = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    batches = source.to_iter_dataset(alone).mp_prefetch(
        grain.MultiprocessingOptions(num_workers=processes), worker_init_fn=_prepare_worker
    )
    made = iter(batches)
    made.start_prefetch()
    return made


def _import_grain() -> Any:
    try:
        import grain
        from absl import flags
    except ImportError:
        raise DependencyError(
            "workers that make batches need Grain; install it with `pip install "
            "'quantdet[workers]'` (Python 3.11 or later), or set data.workers = 0"
        ) from None
    # Grain asks for flags that only programs of absl's read from their command line.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return grain


def _prepare_worker(number: int, count: int) -> None:
    """Make a worker end with its parent and nothing else, and keep to one core."""
    # Ctrl-C reaches the whole group; the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow_parent, daemon=True).start()
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(0)


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
