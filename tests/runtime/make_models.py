"""Tiny models whose right answers are known: they look at the mean colour.

    python -m tests.runtime.make_models

writes tests/runtime/models, which are committed so that the tests of the runtime need no
TensorFlow.

"single" sees the whole picture: class "red" or "blue", and always the box ymin 1/8, xmin 1/4,
ymax 5/8, xmax 7/8. "grid" sees each quarter of the picture by itself and answers with the most
coloured one; its box reaches 1/8 left, 1/4 up, 1/8 right and 1/4 down from the centre. "ssd" finds
every coloured one of 4 x 4 squares, with one anchor each that is the square.

Those of ``YOLO_NAMES`` have the layout of YOLO heads with strides of 8, 16 and 32, and find the
coloured cells of each: "yolov8" (1, 4 + classes, 21) in fractions of the picture, "yolov5" (1, 63,
5 + classes) with three equal boxes a cell, "yolox" (1, 21, 5 + classes) with offsets from cells.
"""

from __future__ import annotations

import numpy as np

from quantdet.runtime.yolo_grid import cell_grid
from tests.runtime.helpers import MODEL_NAMES, MODELS, SIZE, YOLO_NAMES


def _logit(p):
    return np.log(np.array(p) / (1 - np.array(p))).astype(np.float32)


def _graph(kind):
    import tensorflow as tf

    # Rows: red, green, blue. Columns: background, red, blue.
    colors = np.array([[0, 8, -8], [-8, -8, -8], [0, -8, 8]], np.float32)

    def single(image):
        mean = tf.reduce_mean(image, [1, 2])
        box = 0 * mean[:, :1] + _logit([1 / 8, 1 / 4, 5 / 8, 7 / 8])[None]
        return {"scores": tf.nn.softmax(mean @ colors), "boxes": tf.sigmoid(box)}

    def grid(image):
        cells = tf.nn.avg_pool2d(image, SIZE // 2, SIZE // 2, "VALID")
        logits = tf.nn.conv2d(cells, colors[None, None, :, 1:], 1, "VALID")
        box = 0 * cells[..., :1] + _logit([1 / 8, 1 / 4, 1 / 8, 1 / 4])
        return {
            "scores": tf.reshape(logits, (1, 4, 2)),
            "boxes": tf.reshape(tf.sigmoid(box), (1, 4, 4)),
        }

    def ssd(image):
        cells = tf.nn.avg_pool2d(image, SIZE // 4, SIZE // 4, "VALID")
        logits = tf.nn.conv2d(cells, colors[None, None, :, 1:], 1, "VALID") - 4.0
        return {
            "scores": tf.reshape(logits, (1, 16, 2)),
            "boxes": tf.reshape(0 * cells[..., :1] + tf.zeros((1, 4, 4, 4)), (1, 16, 4)),
        }

    kinds = {"single": single, "grid": grid, "ssd": ssd, **_yolo_heads(colors[:, 1:])}
    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")
    return tf.function(kinds[kind]).get_concrete_function(spec)


def _yolo_heads(colors):
    """Heads whose input is 0 to 1, but of "yolox" 0 to 255."""
    import tensorflow as tf

    grid = cell_grid((SIZE, SIZE), (8, 16, 32))
    strides = grid[:, 2:] / SIZE
    boxes = np.concatenate([(grid[:, :2] + 0.5) * strides, strides, strides], axis=1)

    def scores(image):
        means = [tf.nn.avg_pool2d(2 * image - 1, stride, stride, "VALID") for stride in (8, 16, 32)]
        logits = [tf.nn.conv2d(mean, colors[None, None], 1, "VALID") - 4.0 for mean in means]
        return tf.sigmoid(tf.concat([tf.reshape(item, (1, -1, 2)) for item in logits], 1))

    def yolov8(image):
        found = scores(image)
        rows = tf.concat([0 * found[..., :1] + boxes[None].astype(np.float32), found], 2)
        return {"output": tf.transpose(rows, (0, 2, 1))}

    def with_objectness(values, found):
        objectness = tf.reduce_max(found, 2, keepdims=True)
        return tf.concat([0 * objectness + values[None].astype(np.float32), objectness, found], 2)

    def yolov5(image):
        return {"output": tf.repeat(with_objectness(boxes, scores(image)), 3, axis=1)}

    def yolox(image):
        offsets = np.tile(np.float32([[0.5, 0.5, 0.0, 0.0]]), (len(grid), 1))
        return {"output": with_objectness(offsets, scores(image / 255))}

    return {"yolov8": yolov8, "yolov5": yolov5, "yolox": yolox}


def convert(kind, dtype):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_graph(kind)], tf.Module())
    if dtype != "float32":
        rng = np.random.default_rng(0)
        colors = [rng.choice([-128, 0, 127], 3) for _ in range(40)]
        real = [np.full((1, SIZE, SIZE, 3), color, np.float32) / 127.5 for color in colors]
        if kind in {name.split("-")[0] for name in YOLO_NAMES}:
            real = [0.5 + item / 2 for item in real]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([item] for item in real)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(dtype)
    return converter.convert()


if __name__ == "__main__":
    for name in (*MODEL_NAMES, *YOLO_NAMES):
        (MODELS / f"{name}.tflite").write_bytes(convert(*name.split("-")))
