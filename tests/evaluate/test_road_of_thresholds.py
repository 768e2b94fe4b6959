"""From export to the report with a file that is there already: one threshold all the way."""

from __future__ import annotations

import json
import shutil

import pytest

from quantdet.config import load_config
from quantdet.data.configured import load_configured
from quantdet.data.dataset import fingerprint
from quantdet.data.scenes import generate_scenes
from quantdet.errors import DataError
from quantdet.evaluate import run as evaluate_run
from quantdet.runs import Run
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.detector import Detector
from quantdet.runtime.pretrained import pretrained_file
from quantdet.stages import dataset as stage_data
from quantdet.stages import export
from quantdet.stages.evaluate import run_evaluate
from quantdet.stages.report import run_report


@pytest.fixture(scope="module", autouse=True)
def _without_latency():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate_run, "benchmark", lambda *_args, **_options: [])
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return an exported and evaluated run of the shipped detector on generated scenes."""
    root = tmp_path_factory.mktemp("road")
    labels = load_contract(pretrained_file()).labels
    (root / "labels.txt").write_text("\n".join(labels))
    scenes = generate_scenes(root / "scenes", count=60, size_hw=(200, 260))
    # Classes that the detector does not know are called like one that it knows.
    names = {name: name if name in labels else "person" for name in _names(scenes)}
    config = load_config(
        preset="voc_ssd300",
        values={
            "data": {
                **{"root": scenes, "labels": root / "labels.txt", "class_map": names},
                **{"train_split": "train", "val_split": "val", "cache_dir": root / "cache"},
            },
        },
    )
    predict = config.predict.model_copy(update={"score_threshold": None})
    config = config.model_copy(update={"predict": predict})
    run = Run.create(root / "run", config)
    dataset = load_configured(config.data)
    facts = {"identity": {"labels": list(labels)}, "data_fingerprint": fingerprint(dataset)}
    run.record("train", facts)

    def export_one(run, name, _load, folder):
        shutil.copy(pretrained_file(), folder / export.export_file(run, name).name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_export_one", export_one)
        export.run_export(run, ("uint8", "int8-ptq"))
    run_evaluate(run, parity_pictures=0)
    run_report(run)
    return run


def _names(scenes):
    from quantdet.data.dataset import load_dataset

    return load_dataset(scenes).labels


def test_one_threshold_from_validation_to_the_report(run):
    metrics = json.loads(run.metrics_file.read_text())
    chosen = metrics["thresholds"]
    assert (chosen["chosen"], chosen["split"]) == ("validation", "val")
    for file in run.export_dir.glob("*.tflite"):
        decoder = load_contract(file).decoder
        assert (decoder.score_threshold, decoder.class_thresholds) == (
            chosen["score"],
            chosen["per_class"],
        )
        # Inside the file, too.
        contract_path(file).rename(contract_path(file).with_suffix(".away"))
        assert load_contract(file).decoder == decoder
        contract_path(file).with_suffix(".away").rename(contract_path(file))
    assert Detector(run.root).threshold == chosen["score"]
    details = json.loads(run.details_file.read_text())
    assert set(details["thresholds"].values()) == {chosen["score"], *chosen["per_class"].values()}
    row = metrics["variants"][-1]
    assert details["variants"]["uint8_tflite"]["errors"]["right"] == row["right"]
    page = run.report_file.read_text("utf-8")
    assert f"the {chosen['objects']} objects of split “val”" in page


def test_what_is_not_measured_is_not_shipped(run):
    metrics = json.loads(run.metrics_file.read_text())
    assert metrics["version"] == 2
    assert metrics["data"]["unchanged"] is True
    assert metrics["data"]["in_training"] == 0
    assert "✓ Ship" not in run.report_file.read_text("utf-8")


def test_where_only_the_test_pictures_are(run, monkeypatch):
    judge = stage_data.judge_configured

    def only_test(data, labels=None, splits=None):
        if splits is None:
            raise DataError("no such picture")
        return judge(data, labels, splits)

    monkeypatch.setattr(stage_data, "judge_configured", only_test)
    metrics = run_evaluate(run, parity_pictures=0)
    assert metrics.data.unchanged is None
    assert "not here" in metrics.data.reason
