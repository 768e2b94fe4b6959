"""Formats made from a .tflite and its contract: where they go, and what is refused."""

from __future__ import annotations

import json

import pytest

from quantdet.config import load_config
from quantdet.errors import ConfigError, ExportError, ModelError
from quantdet.export.contract import write_contract
from quantdet.export.file_formats import export_file_formats
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.stages.export import export_model


def change(file, **values):
    contract = load_contract(file).model_copy(update=values)
    contract.save(contract_path(file))


def test_labels(tiny, tmp_path):
    made = export_file_formats(tiny["single"], ["labels"], tmp_path / "out")
    assert made == {"labels": [tmp_path / "out" / "single.labels.txt"]}
    assert made["labels"][0].read_text() == "background\nred\nblue\n"


def test_files_go_beside_the_model_or_where_asked(tiny, tmp_path):
    assert export_model(tiny["ssd"], ["labels"]) == [tiny["ssd"].with_name("ssd.labels.txt")]
    (path,) = export_model(tiny["ssd"], ["labels"], tmp_path / "new")
    assert path.parent == tmp_path / "new"


def test_foreign_file_in_the_way_stays(tiny):
    mine = tiny["ssd"].with_name("ssd.labels.txt")
    mine.write_text("mine")
    with pytest.raises(ExportError, match=r"ssd\.labels\.txt: already exists.*--out"):
        export_model(tiny["ssd"], ["c-array", "labels"])
    assert mine.read_text() == "mine"
    assert not tiny["ssd"].with_name("ssd.h").exists()
    export_file_formats(tiny["ssd"], ["labels"], mine.parent, replace=True)
    assert mine.read_text() == "red\nblue\n"
    export_model(tiny["ssd"], ["labels"])  # the same content is not in the way


def test_format_that_needs_a_run(tiny):
    with pytest.raises(ConfigError, match=r"'int8' is not made from a \.tflite.*labels, c-array"):
        export_model(tiny["ssd"], ["int8"])


@pytest.mark.parametrize("name", ["labels", "c-array", "postprocess"])
def test_labels_that_do_not_fit_the_outputs(tiny, name):
    change(tiny["ssd"], labels=("red", "blue", "unicorn"))
    with pytest.raises(ModelError, match=r"ssd\.tflite: scores have 2 classes.*3 labels"):
        export_model(tiny["ssd"], [name])


def test_labels_that_do_not_fit_when_a_run_is_exported(plain, tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(plain["single"].read_bytes())
    config = load_config(preset="note")
    with pytest.raises(ModelError, match=r"scores have 3 classes.*3 labels and background"):
        write_contract(file, config, ("red", "blue", "unicorn"), "")
    assert not contract_path(file).exists()
    assert file.read_bytes() == plain["single"].read_bytes()
    assert write_contract(file, config, ("red", "blue"), "") == load_contract(file)


def test_model_without_contract(plain):
    with pytest.raises(ModelError, match=r"ssd\.contract\.json: not found"):
        export_model(plain["ssd"], ["labels"])


def test_truncated_model(tiny):
    tiny["ssd"].write_bytes(tiny["ssd"].read_bytes()[:3000])
    contract = json.loads(contract_path(tiny["ssd"]).read_text())
    contract_path(tiny["ssd"]).write_text(json.dumps({**contract, "sha256": ""}))
    with pytest.raises(ModelError, match=r"ssd\.tflite: is no whole \.tflite"):
        export_model(tiny["ssd"], ["c-array"])


@pytest.mark.parametrize("kind", ["single", "grid"])
def test_post_processing_needs_anchors(tiny, kind):
    with pytest.raises(ExportError, match=r"postprocess is for detectors with anchors.*decoder '"):
        export_model(tiny[kind], ["postprocess"])


def test_options_that_the_operator_does_not_have(tiny):
    decoder = load_contract(tiny["ssd"]).decoder
    change(tiny["ssd"], decoder=decoder.model_copy(update={"nms_iou": 0.0}))
    with pytest.raises(ExportError, match=r"nms_iou is 0.*set predict\.nms_iou"):
        export_model(tiny["ssd"], ["postprocess"])
    change(tiny["ssd"], decoder=decoder, labels=("red",), background_index=1)
    with pytest.raises(ExportError, match=r"background is column 1.*only as the first"):
        export_model(tiny["ssd"], ["postprocess"])
