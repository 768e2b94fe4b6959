"""What trains is imported late, without its greetings, and its absence explained."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from quantdet.errors import DependencyError
from quantdet.system.compiled import keep_compiled_programs
from quantdet.system.quiet import quiet_stderr


def training_stages() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what trains: the float stage and the quantization-aware one.

    Raises:
        DependencyError: a package that trains is not installed; the message has its install line.
    """
    import_keras_quietly()
    try:
        from quantdet.train.float_stage import train_float
        from quantdet.train.qat_stage import train_qat
    except ImportError as error:
        raise DependencyError(
            f'training needs {error.name}: pip install "quantdet[train]"'
        ) from None
    return train_float, train_qat


def import_keras_quietly() -> None:
    """Import the training backend without its greetings; later only its errors are shown.

    On JAX compiled programs are kept, see :mod:`quantdet.system.compiled`.
    """
    with suppress(ImportError), quiet_stderr():
        import keras

        if keras.backend.backend() == "jax":
            keep_compiled_programs()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
