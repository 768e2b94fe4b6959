"""A clear message, exit code 2, no traceback: here, and where others load models."""

from __future__ import annotations

import json
import shutil

import pytest

from quantdet.data.scenes import generate_scenes
from quantdet.runtime.contract import contract_path
from quantdet.runtime.pretrained import pretrained_file


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return generate_scenes(tmp_path_factory.mktemp("scenes"), count=10, size_hw=(90, 120))


@pytest.fixture
def own(tmp_path):
    """A copy of the shipped model that a test may spoil."""
    file = tmp_path / "own.tflite"
    shutil.copy(pretrained_file(), file)
    shutil.copy(contract_path(pretrained_file()), contract_path(file))
    return file


def spoil(file, **changes):
    content = json.loads(contract_path(file).read_text())
    contract_path(file).write_text(json.dumps({**content, **changes}))


def refused(answer, *words):
    code, out, err = answer
    assert code == 2, (out, err)
    assert "Traceback" not in err
    for word in words:
        assert word in err, err


def commands(file, data):
    """The same model for all that load models."""
    picture = next((data / "JPEGImages").iterdir())
    yield "verify", file, "--data", data, "--pictures", 1
    yield "predict", file, picture, "--out", file.parent / "found"
    yield "evaluate", file, "--data", data


def test_truncated_file(quantdet, own, scenes):
    own.write_bytes(own.read_bytes()[:100_000])
    for command in commands(own, scenes):
        refused(quantdet(*command), "own.tflite", "sha256")
    spoil(own, sha256="")  # not checked: LiteRT itself has to notice
    for command in commands(own, scenes):
        refused(quantdet(*command), "own.tflite", "truncated", "export it again")


def test_file_without_contract(quantdet, own, scenes):
    contract_path(own).unlink()
    content = own.read_bytes()
    own.write_bytes(content[: content.index(b"PK\3\4")])  # the archive that has another one
    for command in commands(own, scenes):
        refused(quantdet(*command), "own.contract.json: not found", "export again")


def test_labels_that_do_not_fit_the_scores(quantdet, own, scenes):
    spoil(own, labels=["just", "three", "labels"])
    for command in commands(own, scenes):
        refused(quantdet(*command), "own.tflite", "scores have 20 classes", "3 labels")


def test_float_model_is_not_verified_but_predicts(quantdet, scenes, tmp_path):
    from tests.runtime.helpers import make_contract, tiny_model

    file = tmp_path / "float.tflite"
    file.write_bytes(tiny_model("ssd", "float32"))
    make_contract(file, "ssd").save(contract_path(file))
    verify, predict, _ = commands(file, scenes)
    refused(quantdet(*verify), "float.tflite", "not quantized to 8 bits", "quantdet qat", "predict")
    code, _, err = quantdet(*predict)
    assert code == 0, err


def test_unknown_target(quantdet, folder):
    answer = quantdet("verify", "voc-ssd300", "--data", folder, "--target", "toaster")
    refused(answer, "'toaster' is unknown", "tflite-micro", "browser")


def test_too_few_pictures(quantdet, folder):
    answer = quantdet("verify", "voc-ssd300", "--data", folder)
    refused(answer, "50 pictures are requested, but there are 3", "--pictures 3")


def test_lone_file_needs_pictures(quantdet):
    refused(quantdet("verify", "voc-ssd300"), "--data")


def test_folder_without_pictures(quantdet, tmp_path):
    refused(quantdet("verify", "voc-ssd300", "--data", tmp_path), "holds no picture")


def test_folder_that_is_no_run(quantdet, tmp_path):
    refused(quantdet("verify", tmp_path), "not a run folder")


def test_picture_that_is_none(quantdet, tmp_path):
    (tmp_path / "a.jpg").write_text("<svg/>")
    answer = quantdet("verify", "voc-ssd300", "--data", tmp_path, "--pictures", 1)
    refused(answer, "a.jpg", "not a picture")
