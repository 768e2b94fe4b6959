"""Trainings of a few steps, which cost less than compiling one."""

from __future__ import annotations

import contextlib


@contextlib.contextmanager
def eager_steps():
    """Do not compile the steps of a training in this process."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
