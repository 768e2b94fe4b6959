import pytest

from quantdet.errors import ModelError
from quantdet.runtime.contract import contract_path, file_sha256, load_contract
from tests.runtime.helpers import make_contract


def test_round_trip(own_model):
    contract = make_contract(own_model, "single")
    contract.save(contract_path(own_model))
    assert load_contract(own_model) == contract


def test_sha256_is_the_known_one(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_missing_contract(own_model):
    contract_path(own_model).unlink()
    with pytest.raises(ModelError, match=r"model\.contract\.json: not found.*export again"):
        load_contract(own_model)


def test_missing_model(own_model):
    own_model.unlink()
    with pytest.raises(ModelError, match=r"model\.tflite: no such model file"):
        load_contract(own_model)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"labels"', '"label"', "labels"),
        ('"version": 1', '"version": 2', "version"),
        ('"dtype": "uint8"', '"dtype": "int4"', "input.tensor.dtype"),
        ("{", "", "JSON"),
        ('"red"', '"re\\nd"', "line break"),
        ('"red"', '"\\u001b[2J"', "control character"),
        ('"red"', '"\\u202ered"', "control character"),
        ('"red"', '"blue"', "'blue' stands twice"),
        ('"pixel_scale": ', '"pixel_scale": 1e300, "x": ', "less than or equal to 1000000"),
        ('"pixel_offset": ', '"pixel_offset": -1e308, "x": ', "greater than or equal to -1000000"),
        ('"score_threshold": 0.5', '"score_threshold": NaN', "score_threshold"),
    ],
)
def test_malformed_contract_names_the_field(own_model, old, new, field):
    path = contract_path(own_model)
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(ModelError, match=r"not a valid contract.*export the model again") as caught:
        load_contract(own_model)
    assert field in str(caught.value)
    assert "errors.pydantic" not in str(caught.value)


def test_a_contract_that_an_editor_marked_as_utf8(own_model):
    path = contract_path(own_model)
    path.write_text(path.read_text("utf-8"), "utf-8-sig")
    assert load_contract(own_model).labels[0] == "red"


def test_contract_of_another_file(own_model):
    own_model.write_bytes(own_model.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"model\.tflite: is damaged or not the file.*sha256"):
        load_contract(own_model)
