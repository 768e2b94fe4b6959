"""Load a Keras model from a file, float or fake-quantized."""

from __future__ import annotations

from pathlib import Path

import keras

# Registers the fake-quantization layers.
import quantdet.quant.layers  # noqa: F401
from quantdet.errors import ModelError


def load_keras(path: Path | str, made_by: str = "") -> keras.Model:
    """Load a ``.keras`` file, not compiled.

    Args:
        path: the file.
        made_by: what writes it, for the message if it is missing or damaged; of a run's file the
            command that its folder is named after.

    Raises:
        ModelError: missing, or not a Keras model.
    """
    path = Path(path)
    made_by = made_by or f"quantdet {'qat' if path.parent.name == 'qat' else 'train'}"
    if not path.is_file():
        raise ModelError(f"{path}: no such model; make it with `{made_by}`")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # zipfile, h5py and Keras raise about every kind on bad bytes
        raise ModelError(
            f"{path}: not a readable Keras model ({type(error).__name__}: {error}); make it again "
            f"with `{made_by}`"
        ) from None
