"""Interpreters of one model, shared by threads and safe in forked processes.

LiteRT's interpreter is for one thread at a time, and its threads do not live on in a forked child:
there it hangs or crashes, even while it is destroyed.
"""

from __future__ import annotations

import ctypes
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from quantdet.errors import ModelError

T = TypeVar("T")
_pools: WeakSet[Interpreters[Any]] = WeakSet()


class Interpreters(Generic[T]):
    """As many interpreters as the threads that run at once need, each used by one at a time.

    The one that was given back last is taken first, so a single thread always has the same.

    Args:
        make: loads one more.
        most: how many are loaded at most; further threads wait.

    Raises:
        ModelError: as ``make`` does; the first is loaded at once.
    """

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make = make
        self._most = most
        self._start()
        with self.one():
            _pools.add(self)

    def _start(self) -> None:
        self._all: list[T] = []
        self._idle: queue.LifoQueue[T] = queue.LifoQueue()
        self._growing = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[T]:
        """Yield an interpreter that no other thread uses meanwhile."""
        interpreter = self._take()
        try:
            yield interpreter
        finally:
            self._idle.put(interpreter)

    def _take(self) -> T:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            with self._growing:
                made = self._one_more()
        return self._idle.get() if made is None else made

    def _one_more(self) -> T | None:
        if len(self._all) == self._most:
            return None
        try:
            self._all.append(self._make())
        except ModelError:
            if not self._all:
                raise
            # The file was replaced, or memory is short: those that are there have to do.
            self._most = len(self._all)
            return None
        return self._all[-1]

    def leave_to_parent(self) -> None:
        """Forget, in a forked child, what the parent loaded; the next use loads anew."""
        for interpreter in self._all:
            # Its destructor would wait for threads that only the parent has.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(interpreter))
        self._start()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.leave_to_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
