"""Training data and pace of the workers that train with TensorFlow, whichever Keras they use."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf
from job import model_inputs


def alone_or_all(values):
    return values if len(values) > 1 else values[0]


def batches(job, names, file):
    """Return a tf.data set of (inputs, targets), shuffled every epoch, and the picture count."""
    with np.load(file) as arrays:
        pixels = tf.constant(arrays["x"])
        targets = [tf.constant(arrays[f"y_{name}"]) for name in names]

    def take(indices):
        chosen = tf.cast(tf.gather(pixels, indices), tf.float32)
        # A tuple: tf.data would stack a list into one tensor.
        return model_inputs(chosen), alone_or_all(tuple(tf.gather(y, indices) for y in targets))

    count = len(pixels)
    # Numbers are shuffled, not pictures: their buffer would hold the data a second time.
    order = tf.data.Dataset.range(count).shuffle(count, seed=job["seed"])
    return order.batch(job["batch_size"]).map(take).prefetch(2), count


class Steps:
    """Callback, for either Keras; the first step also traces the graph and does not count."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())

    def images_per_second(self, job, count):
        if len(self.ends) < 2:
            return None
        images = count * job["epochs"] - min(job["batch_size"], count)
        return round(images / (self.ends[-1] - self.ends[0]), 2)
