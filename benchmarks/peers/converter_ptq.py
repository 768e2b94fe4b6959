"""LiteRT's own post-training quantizer: what 8 bits cost a net, found by somebody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from quantdet.quant import run_litert, sqnr_db
from quantdet.runtime import Engine


def write_converter_file(model: Any, pictures: NDArray[Any], path: Path) -> None:
    """Write a float Keras model of one input as int8 .tflite, ranges from ``pictures``."""

    def samples() -> Iterator[list[NDArray[Any]]]:
        for picture in pictures:
            yield [picture[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    # Keras prints what it saves; standard output is for tables.
    with redirect_stdout(sys.stderr):
        path.write_bytes(converter.convert())


def converter_db(
    model: Any, calibration: NDArray[Any], compared: NDArray[Any], path: Path
) -> float:
    """Return the SQNR of LiteRT's own quantizer against a float model of one output, in dB.

    Args:
        model: float Keras model of one input.
        calibration: pictures that the ranges come from.
        compared: other pictures.
        path: where the file may be written.
    """
    write_converter_file(model, calibration, path)
    name = Engine(path).input.name
    (found,) = run_litert(path.read_bytes(), {name: compared}).values()
    return sqnr_db(model.predict(compared, verbose=0), found)
