"""Result files: what is written is what is read; figures are named and shown in one way."""

import json
import math

import pytest
from pydantic import ValidationError

from quantdet.config import Config
from quantdet.errors import ModelError
from quantdet.manifest import Identity, Phase, QatIdentity
from quantdet.results.details import Details
from quantdet.results.figures import CLASS_ACCURACY, COCO_AP, FIGURES, MEAN_IOU, VOC07
from quantdet.results.folder import read_results
from quantdet.results.metrics import METRICS, DetectionVariant, LocalizerVariant
from quantdet.results.thresholds import Thresholds
from quantdet.results.training import QatSummary, TrainSummary
from quantdet.runs import Run

DETECTOR_ROW = DetectionVariant(
    variant="uint8_tflite",
    name="uint8 .tflite",
    bytes=4_200_000,
    pictures=200,
    map_voc07=0.82768,
    map_voc07_interval=(0.7, 0.9996),
    map_voc10=0.8,
    map_voc10_interval=(0.7, 0.9),
    coco={"ap": None},
)
LOCALIZER_ROW = LocalizerVariant(
    variant="uint8_tflite",
    name="uint8 .tflite",
    bytes=1,
    pictures=9,
    class_accuracy=0.25,
    mean_iou=0.1234,
)


def test_a_written_key_that_no_reader_knows_is_a_defect():
    with pytest.raises(ValidationError, match="Extra inputs"):
        Details.build({"labels": ("cat",), "treshold": 0.5})
    assert Details.build({"labels": ("cat",)}).version == Details.LAYOUT


def test_a_file_comes_back_as_it_was_written(tmp_path):
    written = Details.build({"labels": ("cat",), "thresholds": {"cat": 0.25}, "pictures": 3})
    written.save(tmp_path / "details.json")
    content = json.loads((tmp_path / "details.json").read_text())
    assert Details.model_validate(content) == written


def test_a_file_of_before_the_versions_is_read():
    assert Details.model_validate({"labels": ["cat"], "unknown": 1}).labels == ("cat",)


def test_a_file_of_a_later_layout_is_refused_by_name(tmp_path):
    run = Run.create(tmp_path / "run", Config())
    run.details_file.write_text(json.dumps({"version": Details.LAYOUT + 1, "labels": ["cat"]}))
    found = read_results(run)
    assert found.details is None
    (note,) = found.notes
    assert "details.json: version" in note
    assert "written by a later quantdet; update quantdet" in note


def test_a_summary_holds_what_its_stage_found_and_nothing_else(tmp_path):
    found = QatSummary(identity=QatIdentity(data="abc"))
    assert "version" not in found.content()
    found.save(tmp_path / "summary.json")
    content = json.loads((tmp_path / "summary.json").read_text())
    assert content == {"version": 1, "identity": {"data": "abc"}}
    assert QatSummary.read(tmp_path / "summary.json") == found


def test_a_summary_of_a_training_that_diverged(tmp_path):
    phase = Phase(epochs=1, best_epoch=1, best={"epoch": 1, "loss": math.nan}, seconds=0.5)
    TrainSummary(identity=Identity(), phases={"frozen": phase}).save(tmp_path / "summary.json")
    found = TrainSummary.read(tmp_path / "summary.json")
    assert math.isnan(found.phases["frozen"].best["loss"])
    assert found.phases["frozen"].best["epoch"] == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"identity": {}}', '{"identity": {"later": 1}, "phases": {}}']
)
def test_a_summary_that_does_not_say_what_was_trained_is_none(tmp_path, text):
    assert TrainSummary.read(tmp_path / "summary.json") is None
    (tmp_path / "summary.json").write_text(text)
    assert TrainSummary.read(tmp_path / "summary.json") is None


def test_a_summary_of_before_the_versions_is_read_one_of_a_later_quantdet_refused(tmp_path):
    path, content = tmp_path / "summary.json", {"identity": {"data": "abc"}, "phases": {}}
    path.write_text(json.dumps(content))
    assert TrainSummary.read(path).identity.data == "abc"
    path.write_text(json.dumps({"version": 2, **content, "new": 1}))
    with pytest.raises(ModelError, match=r"summary\.json: version: .* later quantdet; update"):
        TrainSummary.read(path)


def test_figures_of_a_row():
    assert VOC07.header == "VOC07 mAP %"
    assert VOC07.text(DETECTOR_ROW) == "82.8"
    # Only a share of 1 reads 100.
    assert VOC07.between(DETECTOR_ROW) == "70.0–99.9"
    assert COCO_AP.text(DETECTOR_ROW) == "–"
    assert MEAN_IOU.header == "mean IoU"
    assert MEAN_IOU.text(LOCALIZER_ROW) == "0.123"
    assert MEAN_IOU.between(LOCALIZER_ROW) == "–"
    assert CLASS_ACCURACY.text(None) == "–"


def test_changes_keep_the_unit_of_the_figure():
    assert VOC07.change(-0.0123) == "−1.23"
    assert VOC07.points == "points"
    assert MEAN_IOU.change(0.0123) == "+0.012"
    assert MEAN_IOU.points == ""
    assert VOC07.changes((-0.01, 0.02)) == "−1.00 … +2.00"


@pytest.mark.parametrize("family", FIGURES)
def test_every_figure_is_a_field_of_its_family(family):
    variant = METRICS[family].model_fields["variants"].annotation.__args__[0]
    figures = FIGURES[family]
    for figure in (*figures.headline, *figures.more):
        assert figure.key.partition(".")[0] in variant.model_fields
    for figure in figures.headline:
        assert f"{figure.key}_interval" in variant.model_fields


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ("validation", "chosen by best F1 on the 1,234 objects of split “val”"),
        ("settings", "set in the configuration"),
        ("default", "not chosen: there is no split"),
        ("contract", "as the contract has it"),
    ],
)
def test_how_thresholds_were_chosen_in_words(chosen, text):
    told = Thresholds(
        score=0.5, chosen=chosen, split="val", objects=1234, reason="there is no split"
    )
    assert told.describe() == text


def test_scores_of_thresholds_in_words():
    told = Thresholds(score=0.254, chosen="contract")
    assert told.scores() == "0.25"
    assert told.model_copy(update={"per_class": {"a": 0.1, "b": 0.9}}).scores() == "0.1 to 0.9"


@pytest.mark.parametrize("wrong", [1, 3, 4])
def test_a_damaged_file_is_explained_by_its_first_three_faults(tmp_path, wrong):
    run = Run.create(tmp_path / "run", Config())
    keys = ["model", "sha256", "baseline", "targets"][:wrong]
    run.verify_file.write_text(json.dumps({"version": 1, **dict.fromkeys(keys, 1)}))
    (note,) = read_results(run).notes
    parts = [f"{key}: Input should be a valid string" for key in keys[:3]]
    shown = "; ".join([*parts, "…"] if wrong > 3 else parts)
    assert note == f"{run.verify_file}: {shown}; verify again."
