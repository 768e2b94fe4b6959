"""A .keras with code in it is not loaded where a run or a model is expected."""

import keras
import pytest

from quantdet.errors import QuantdetError
from quantdet.quant.saved import load_keras


def test_code_in_a_keras_file_is_not_loaded(tmp_path):
    inputs = keras.Input((4,))
    outputs = keras.layers.Lambda(lambda x: x + 1)(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    with pytest.raises(QuantdetError, match=r"model\.keras"):
        load_keras(tmp_path / "model.keras")
