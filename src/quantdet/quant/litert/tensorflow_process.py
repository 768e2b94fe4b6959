"""Export a model of another Keras backend: the converter reads only TensorFlow's functions.

The model travels as ``.keras`` file to a process with the TensorFlow backend; what that process
refuses comes back as the same error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras

from quantdet import errors
from quantdet.errors import DependencyError, ExportError, QuantdetError

_BY_HAND = (
    'save the model, model.save("model.keras"), and export it where TensorFlow is: '
    'KERAS_BACKEND=tensorflow python -c "import keras; from quantdet import export_integer; '
    "export_integer(keras.saving.load_model('model.keras'), 'model.tflite')\""
)


def content_by_tensorflow(model: keras.Model, io_dtype: str | None) -> bytes:
    """Do what ``integer_content`` does in a process with the TensorFlow backend.

    Args:
        model: prepared model of another backend.
        io_dtype: see ``integer_content``.

    Raises:
        QuantdetError: what ``integer_content`` raised there.
        ExportError: the process failed, for example on a layer of the caller's own.
        DependencyError: TensorFlow is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise DependencyError(
            f"export needs TensorFlow, and Keras runs on {keras.backend.backend()} without it: "
            f'pip install "quantdet[train]", or {_BY_HAND}'
        )
    with tempfile.TemporaryDirectory() as folder:
        saved, answer = Path(folder, "model.keras"), Path(folder, "answer.json")
        path = Path(folder, "model.tflite")
        model.save(saved)
        request = json.dumps([str(saved), str(path), io_dtype, str(answer)])
        done = subprocess.run(
            [sys.executable, "-m", __name__, request],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if not answer.is_file():
            said = done.stderr.strip().rsplit("\n", 1)[-1] or f"exit status {done.returncode}"
            raise ExportError(
                f"the TensorFlow process that exports for the {keras.backend.backend()} backend "
                f"failed: {said}; {_BY_HAND} (with your own layers imported)"
            )
        refusal = json.loads(answer.read_text("utf-8"))
        if refusal is not None:
            raise getattr(errors, refusal["type"])(refusal["message"])
        return path.read_bytes()


def _environment() -> dict[str, str]:
    return {
        # JAX has most of a GPU's memory; TensorFlow would want all of it.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }


def main(request: str) -> None:
    """Export a saved model, and write the refusal, or null, to a JSON file."""
    from quantdet.quant.litert.writer import integer_content

    saved, path, io_dtype, answer = json.loads(request)
    refusal = None
    try:
        Path(path).write_bytes(integer_content(keras.saving.load_model(saved), io_dtype))
    except QuantdetError as error:
        refusal = {"type": type(error).__name__, "message": str(error)}
    Path(answer).write_text(json.dumps(refusal), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
