"""Who writes a temporary file or holds a lock, and whether that process is still there."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

# Containers count their processes anew: the same number may be another process of the same host.
_TOKEN = secrets.token_hex(4)


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        host: digest of the machine's name and of its space of process numbers, 8 hex digits.
        pid: number of the process.
        token: drawn by the process when it started, 8 hex digits.
    """

    host: str
    pid: int
    token: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return the one that calls."""
        return cls(_host(), os.getpid(), _TOKEN)

    def is_here(self) -> bool:
        """Return whether the process is, or was, one of this host."""
        return self.host == _host()

    def is_gone(self) -> bool:
        """Return whether the process is known to have ended; of another host nothing is known."""
        if not self.is_here():
            return False
        if self.pid == os.getpid():
            return self.token != _TOKEN
        return not _is_running(self.pid)


@cache
def _host() -> str:
    return blake2b(f"{socket.gethostname()} {_pid_space()}".encode(), digest_size=4).hexdigest()


def _pid_space() -> str:
    """Return what tells a container's process numbers from another's, where the system does."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


if sys.platform == "win32":

    def _is_running(pid: int) -> bool:
        import ctypes

        kernel = ctypes.windll.kernel32
        # PROCESS_QUERY_LIMITED_INFORMATION; os.kill would end the process.
        handle = kernel.OpenProcess(0x1000, False, pid)
        if not handle:
            return bool(kernel.GetLastError() == 5)  # access denied: it is there
        code = ctypes.c_ulong()
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return code.value == 259  # STILL_ACTIVE

else:

    def _is_running(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # another user's
            return True
        return True
