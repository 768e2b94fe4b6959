"""TensorFlow's own errors of the machine are sentences, too."""

from __future__ import annotations

import tensorflow as tf

from quantdet.cli.endings import machine_problem


def test_a_full_disk():
    error = tf.errors.OutOfRangeError(None, None, "run/logs/events.1; File too large")
    assert machine_problem(error) == (
        "run/logs/events.1; File too large; check space, permissions and limits of this machine"
    )


def test_another_error_is_a_defect():
    assert machine_problem(tf.errors.OutOfRangeError(None, None, "End of sequence")) is None
