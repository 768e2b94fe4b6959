"""What a machine may have too little of: no fault of the file or command that needed it."""

from __future__ import annotations

import errno

SHORTAGES = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
    }
)
"""Numbers of such errors of the system: disk, open files, memory, processes."""


def is_shortage(error: BaseException) -> bool:
    """Tell whether the machine lacks something."""
    return isinstance(error, OSError) and error.errno in SHORTAGES
