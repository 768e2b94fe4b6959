"""TFLite-Micro on this machine: the interpreter, and how small its arena may be.

Optimized kernels of a chip (CMSIS-NN, ESP-NN) are not part of it. The arena is what the tensors
need on a 64 bit machine; pointers in it are half as large on a chip.
"""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

from quantdet.errors import DependencyError, ModelError
from quantdet.system.child_environment import child_environment

_KIB = 1024
_FIRST_GUESS = 1024 * _KIB
_LARGEST = 1 << 32
# Too small an arena ends in an error or, when it is too small for that, in a broken process.
_TRY_SIZES = """
import sys
from tflite_micro.python.tflite_micro import runtime
given = sys.stdin.buffer
content = given.read(int(given.readline()))
for line in given:
    try:
        runtime.Interpreter.from_bytes(content, arena_size=int(line))
    except RuntimeError:
        print(0, flush=True)
    else:
        print(1, flush=True)
"""


def micro_runtime() -> ModuleType:
    """Import TFLite-Micro.

    Raises:
        DependencyError: package ``tflite-micro`` is not installed.
    """
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError:
        raise DependencyError(
            "TFLite-Micro is not installed: pip install --pre tflite-micro"
        ) from None
    module: ModuleType = runtime
    return module


def smallest_arena(content: bytes) -> int:
    """Return the bytes of the smallest arena that holds the tensors of a .tflite, whole KiB.

    Raises:
        DependencyError: package ``tflite-micro`` is not installed.
        ModelError: the file does not run in an arena of any size.
    """
    with ArenaTrials(content) as trials:
        fails, fits = 0, _FIRST_GUESS
        while not trials.fits(fits):
            fails, fits = fits, 2 * fits
            if fits > _LARGEST:
                raise ModelError(
                    "TFLite-Micro cannot allocate the file in an arena of up to 4 GB; "
                    "`quantdet verify MODEL --target tflite-micro` says why"
                )
        while fits - fails > _KIB:
            middle = (fails + fits) // 2 // _KIB * _KIB
            if trials.fits(middle):
                fits = middle
            else:
                fails = middle
    return fits


class ArenaTrials:
    """Tries sizes of the arena in a process that may break.

    Args:
        content: the .tflite.

    Raises:
        DependencyError: package ``tflite-micro`` is not installed.
    """

    def __init__(self, content: bytes) -> None:
        micro_runtime()
        self._content = content
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ArenaTrials:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def fits(self, arena_bytes: int) -> bool:
        """Return whether the tensors fit into an arena of so many bytes."""
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None  # pipes, see _start
        process.stdin.write(b"%d\n" % arena_bytes)
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:  # it broke
            self._end()
        return answer == b"1\n"

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TRY_SIZES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
        )
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % len(self._content) + self._content)
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None
