"""What all workers share: reading a job, writing a result. Nothing here needs quantdet or Keras.

JOB_FOLDER holds job.json, net.json, weights.npz, reference.npz, float.tflite, train.npz and
calibration.npz; OUT_FOLDER receives model.tflite and result.json.
"""

from __future__ import annotations

import argparse
import json
import resource
from importlib.metadata import version
from pathlib import Path

import numpy as np


def parse_arguments(description, variants):
    """Read JOB_FOLDER, OUT_FOLDER and the variant, by default the first, from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("job", type=Path, metavar="JOB_FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--variant", choices=variants, default=variants[0])
    return parser.parse_args()


def read_json(path):
    return json.loads(path.read_text())


def model_inputs(pixels):
    """Return what nets take for uint8 ``pixels``, arrays or TensorFlow tensors of float32."""
    return (pixels - 128.0) / 127.5


def float_inputs(pixels):
    return model_inputs(pixels.astype(np.float32)).astype(np.float32)


def versions(*packages):
    return {package: version(package) for package in packages}


def peak_memory_mb():
    """Return the largest resident memory of this process so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def describe_file(interpreter):
    """Return the interface types of a .tflite and the names of its tensors that are not integer.

    Args:
        interpreter: of LiteRT or TensorFlow, without delegates: these add tensors of their own.
    """
    tensors = interpreter.get_tensor_details()
    floats = [tensor["name"] for tensor in tensors if np.dtype(tensor["dtype"]).kind not in "iu"]
    return {
        "input_types": [str(np.dtype(t["dtype"])) for t in interpreter.get_input_details()],
        "output_types": [str(np.dtype(t["dtype"])) for t in interpreter.get_output_details()],
        "all_integer": not floats,
        "float_tensors": len(floats),
    }


def write_whole(path, content):
    """Write bytes to ``path`` so that a reader sees all of them or no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_result(folder, content, result):
    """Write model.tflite and result.json; the latter last: where it is, the job is done."""
    write_whole(folder / "model.tflite", content)
    write_whole(folder / "result.json", (json.dumps(result, indent=2) + "\n").encode())
