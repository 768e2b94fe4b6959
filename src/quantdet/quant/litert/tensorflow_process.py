"""Export a model of another Keras backend: the converter reads only TensorFlow's functions.

The model travels as ``.keras`` file to a process with the TensorFlow backend; what that process
refuses comes back as the same error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras

from quantdet import errors
from quantdet.errors import DependencyError, ExportError, QuantdetError
from quantdet.system.child_environment import child_environment

_BY_HAND = (
    'save the model, model.save("model.keras"), and export it where TensorFlow is: '
    'KERAS_BACKEND=tensorflow python -c "import keras; from quantdet import export_integer; '
    "export_integer(keras.saving.load_model('model.keras'), 'model.tflite')\""
)


def on_tensorflow(function: Callable[..., bytes], model: keras.Model, *options: object) -> bytes:
    """Call a function that makes a .tflite where Keras runs on TensorFlow: here, or in a process.

    Args:
        function: at the top of a module; called with the model and the options.
        model: of any backend.
        options: what pickle takes.

    Raises:
        QuantdetError: what the function raised there.
        ExportError: the process failed, for example on a layer of the caller's own.
        DependencyError: TensorFlow is not installed.
    """
    if keras.backend.backend() == "tensorflow":
        return function(model, *options)
    if importlib.util.find_spec("tensorflow") is None:
        raise DependencyError(
            f"export needs TensorFlow, and Keras runs on {keras.backend.backend()} without it: "
            f'pip install "quantdet[train]", or {_BY_HAND}'
        )
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.keras"))
        # Nobody else can write into the folder, so that loading it runs nobody else's code.
        Path(folder, "call.pickle").write_bytes(pickle.dumps((function, options)))
        return _answer(Path(folder))


def _answer(folder: Path) -> bytes:
    """Run the process on what lies in the folder."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, folder],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    answer = folder / "answer.json"
    if not answer.is_file():
        said = done.stderr.strip().rsplit("\n", 1)[-1] or f"exit status {done.returncode}"
        raise ExportError(
            f"the TensorFlow process that exports for the {keras.backend.backend()} backend "
            f"failed: {said}; {_BY_HAND} (with your own layers imported)"
        )
    refusal = json.loads(answer.read_text("utf-8"))
    if refusal is not None:
        raise getattr(errors, refusal["type"])(refusal["message"])
    return (folder / "model.tflite").read_bytes()


def _environment() -> dict[str, str]:
    # JAX has most of a GPU's memory; TensorFlow would want all of it.
    growth = os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return child_environment(
        KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", TF_FORCE_GPU_ALLOW_GROWTH=growth
    )


def main(folder: str) -> None:
    """Make the .tflite of a saved model, and write the refusal, or null, to a JSON file."""
    function, options = pickle.loads(Path(folder, "call.pickle").read_bytes())
    refusal = None
    try:
        content = function(
            keras.saving.load_model(Path(folder, "model.keras"), compile=False), *options
        )
        Path(folder, "model.tflite").write_bytes(content)
    except QuantdetError as error:
        refusal = {"type": type(error).__name__, "message": str(error)}
    Path(folder, "answer.json").write_text(json.dumps(refusal), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
