"""Which nets of keras.applications TFMOT quantizes and converts, as JSON.

    VENV/bin/python rivals/tfmot_coverage.py [NET ...] > coverage.json

Random weights, 10 classes, 96x96 pixels, no training: the structure counts.
"""

from __future__ import annotations

import argparse
import json

import tf_keras
from job import describe_file
from tfmot_qat import convert, open_file, tfmot

NETS = (
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "MobileNetV3Large",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "NASNetMobile",
    "DenseNet121",
    "ResNet50",
    "Xception",
)
SHAPE = (96, 96, 3)
LONGEST_ERROR = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*")
    rows = [try_net(name) for name in parser.parse_args().nets or NETS]
    print(json.dumps(rows, indent=2))


def try_net(name):
    row = {"net": name, "quantized": False, "converted": False, "all_integer": False, "error": None}
    tf_keras.backend.clear_session()
    model = getattr(tf_keras.applications, name)(weights=None, input_shape=SHAPE, classes=10)
    try:
        quantized = tfmot.quantization.keras.quantize_model(model)
        row["quantized"] = True
        content = convert(quantized, ["output_0"], SHAPE)
        row["converted"] = True
        row["all_integer"] = describe_file(open_file(content))["all_integer"]
    # Whatever TFMOT or the converter raises is the finding.
    except Exception as error:
        row["error"] = first_lines(error)
    return row


def first_lines(error):
    """Return kind and message of an error; the second line has the cause where Keras adds one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:LONGEST_ERROR]


if __name__ == "__main__":
    main()
