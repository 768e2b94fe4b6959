"""Post-training quantization by LiteRT's quantizer (ai-edge-quantizer, now litert-quantizer).

    VENV/bin/python rivals/ai_edge_ptq.py JOB_FOLDER OUT_FOLDER --variant minmax

Recipe static_wi8_ai8 on float.tflite, calibrated on calibration.npz. The variants differ in the
weights' scales only; ranges of activations are moving averages of minimum and maximum in all.
"""

from __future__ import annotations

import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from job import describe_file, float_inputs, parse_arguments, peak_memory_mb, versions, write_result
from litert_quantizer import recipe
from litert_quantizer.qtyping import TFLOperationName
from litert_quantizer.quantizer import AlgorithmName, Quantizer

WEIGHTED = (
    TFLOperationName.FULLY_CONNECTED,
    TFLOperationName.CONV_2D,
    TFLOperationName.DEPTHWISE_CONV_2D,
    TFLOperationName.CONV_2D_TRANSPOSE,
)


def main() -> None:
    arguments = parse_arguments(__doc__.splitlines()[0], ("minmax", "octav", "mse"))
    source = (arguments.job / "float.tflite").read_bytes()
    with np.load(arguments.job / "calibration.npz") as file:
        pixels = file["x"]
    start = time.perf_counter()
    content = quantize(source, pixels, arguments.variant)
    convert_seconds = time.perf_counter() - start
    file = describe_file(open_file(content))
    result = {
        "rival": f"ai_edge_ptq {arguments.variant}",
        "versions": versions("litert-quantizer", "ai-edge-litert", "numpy"),
        "train_seconds": 0.0,
        "steps": 0,
        "images_per_second": None,
        "convert_seconds": round(convert_seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
        **file,
        "notes": [f"{len(pixels)} calibration pictures; convert_seconds include calibration"],
    }
    write_result(arguments.out, content, result)


def quantize(source, pixels, variant):
    """Return the bytes of the quantized file."""
    quantizer = Quantizer(source, make_recipe(variant))
    (signature, arguments), *_ = open_file(source).get_signature_list().items()
    (name,) = arguments["inputs"]
    pictures = [{name: float_inputs(picture[None])} for picture in pixels]
    calibration = quantizer.calibrate({signature: pictures})
    return bytes(quantizer.quantize(calibration, enable_progress_report=False).quantized_model)


def make_recipe(variant):
    if variant == "octav":
        return recipe.static_wi8_ai8(AlgorithmName.OCTAV)
    steps = recipe.static_wi8_ai8()
    if variant == "mse":
        # MSE knows operators with weights only; the later of two steps for an operator counts.
        steps += [
            {**steps[0], "operation": operation, "algorithm_key": AlgorithmName.MSE}
            for operation in WEIGHTED
        ]
    return steps


def open_file(content):
    return Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )


if __name__ == "__main__":
    main()
