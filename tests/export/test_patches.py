"""`export --patches` and `--arena`: files, contract, what else is made of them, refusals."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from quantdet import Detector
from quantdet.errors import ConfigError, DependencyError, ExportError
from quantdet.export.metadata import embed_contract
from quantdet.export.patches import Arena, Patches, parse_wish, patch_source
from quantdet.export.source import ModelSource
from quantdet.quant.litert.micro import smallest_arena
from quantdet.runtime.contract import load_contract
from quantdet.runtime.pretrained import pretrained_file
from quantdet.stages.patches import patch_model
from tests.runtime.helpers import make_contract, solid, tiny_model


@pytest.fixture
def model(tmp_path):
    """A detector that begins with a pool of 8 x 8 pixels."""
    file = tmp_path / "model.tflite"
    file.write_bytes(tiny_model("ssd", "uint8"))
    embed_contract(file, make_contract(file, "ssd"))
    return file


def test_files(model, tmp_path):
    made = patch_model(model, Patches(2, 2), ["labels", "c-array"], tmp_path / "out")
    assert sorted(path.name for path in made.paths) == [
        *("model-patches.contract.json", "model-patches.labels.txt", "model-patches.tflite"),
        *("model_patches.c", "model_patches.h", "model_patches_micro.h"),
        *("quantdet_decode.c", "quantdet_decode.h", "quantdet_model.h"),
    ]
    new = tmp_path / "out" / "model-patches.tflite"
    contract, before = load_contract(new), load_contract(model)
    assert contract == before.model_copy(update={"sha256": contract.sha256})
    assert contract.sha256 == hashlib.sha256(new.read_bytes()).hexdigest()
    picture = solid((255, 0, 0), (32, 32))
    picture[:16, :8] = (0, 0, 255)
    found, expected = Detector(new).predict(picture), Detector(model).predict(picture)
    assert len(expected) == 16
    np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert made.ordinary.bytes == model.stat().st_size
    assert made.patched.operators > made.ordinary.operators
    assert made.patched.macs == made.ordinary.macs  # pools do not overlap


def test_foreign_file_in_the_way_stays(model):
    mine = model.with_name("model-patches.tflite")
    mine.write_text("mine")
    with pytest.raises(ExportError, match=r"model-patches\.tflite: already exists"):
        patch_model(model, Patches(2, 2))
    assert mine.read_text() == "mine"


def test_format_that_needs_a_run(model):
    with pytest.raises(ConfigError, match="'int8' is not made from"):
        patch_model(model, Patches(2, 2), ["int8"])
    assert not model.with_name("model-patches.tflite").exists()


def test_more_patches_than_positions(model):
    with pytest.raises(ExportError, match="5x5: too many for the size of the model's input"):
        patch_model(model, Patches(5, 5))


def test_arena_that_is_enough_or_too_small(model):
    pytest.importorskip("tflite_micro")
    with pytest.raises(ExportError, match="fits into an arena of 64 KiB as it is"):
        patch_model(model, Arena(64 * 1024))
    with pytest.raises(ExportError, match=r"no patches .* arena of 2 KiB; \dx\d take \d+ KiB"):
        patch_model(model, Arena(2 * 1024))


def test_arena_without_tflite_micro(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro.python.tflite_micro", None)
    with pytest.raises(DependencyError, match="pip install --pre tflite-micro"):
        patch_model(model, Arena(2 * 1024))
    made = patch_model(model, Patches(2, 2))
    assert made.patched.arena_bytes is None


@pytest.mark.parametrize(
    ("patches", "arena", "wish"),
    [
        (None, None, None),
        ("3x3", None, Patches(3, 3)),
        ("1X4", None, Patches(1, 4)),
        (None, "512K", Arena(524288)),
        (None, "1.5MiB", Arena(1572864)),
        (None, "262144", Arena(262144)),
    ],
)
def test_wishes(patches, arena, wish):
    assert parse_wish(patches, arena) == wish


@pytest.mark.parametrize("text", ["3", "1x1", "0x3", "11x2", "x", "3x3x3", ""])
def test_patches_that_are_none(text):
    with pytest.raises(ConfigError, match="for instance 3x3"):
        parse_wish(text, None)


@pytest.mark.parametrize("text", ["", "much", "0", "-1K", "512G", "1e3"])
def test_arena_that_is_none(text):
    with pytest.raises(ConfigError, match="write for instance 512K"):
        parse_wish(None, text)


def test_both_wishes():
    with pytest.raises(ConfigError, match="give one"):
        parse_wish("3x3", "512K")


@pytest.mark.slow
def test_shipped_detector_fits_into_a_megabyte():
    pytest.importorskip("tflite_micro")
    source = ModelSource.load(pretrained_file())
    size = 1000 * 1024
    candidate = Arena(size).choose(source.content)
    made = patch_source(source, candidate)
    assert smallest_arena(made["voc-ssd300-patches.tflite"]) <= size
    assert candidate.macs < 1.1 * 658_731_824
