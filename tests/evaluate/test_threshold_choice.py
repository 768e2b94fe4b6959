"""Thresholds of a file: chosen on validation, kept in its contract, not chosen where given."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from quantdet.config import load_config
from quantdet.data.dataset import load_dataset
from quantdet.data.sample import Dataset
from quantdet.data.scenes import generate_scenes
from quantdet.evaluate import threshold_choice
from quantdet.evaluate.threshold_choice import choose_thresholds, contract_thresholds
from quantdet.export.contract import configured
from quantdet.progress import silent
from quantdet.results.thresholds import DEFAULT_SCORE, Thresholds
from quantdet.runs import Run
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.detector import Detector
from quantdet.runtime.pretrained import pretrained_file
from quantdet.stages import export


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """The shipped detector, a configuration, and scenes with objects that it knows."""
    root = tmp_path_factory.mktemp("voc")
    file = root / "model.tflite"
    for path in (pretrained_file(), contract_path(pretrained_file())):
        shutil.copy(path, root / path.name.replace("voc-ssd300", "model"))
    contract = load_contract(file)
    scenes = load_dataset(generate_scenes(root / "scenes", count=40, size_hw=(200, 260)))
    known = [
        replace(sample, objects=kept)
        for members in scenes.splits.values()
        for sample in members
        if (kept := tuple(item for item in sample.objects if item.label in contract.labels))
    ][:12]
    config = load_config(
        preset="ssd", values={"data": {"cache_dir": root / "cache"}, "model": {"input_size": 300}}
    )
    return file, contract, config, Dataset(root, contract.labels, {"train": (), "val": (*known,)})


def choose(voc, progress=silent, **splits):
    file, contract, config, dataset = voc
    return choose_thresholds(
        file, contract, config, replace(dataset, splits={**dataset.splits, **splits}), progress
    )


def test_chosen_on_validation_with_progress(voc):
    seen = []
    chosen = choose(voc, lambda *step: seen.append(step))
    objects = sum(len(sample.objects) for sample in voc[3].splits["val"])
    assert (chosen.chosen, chosen.split, chosen.objects) == ("validation", "val", objects)
    assert ("choose thresholds", 12, 12) in seen
    assert 0 < chosen.score < 1
    assert chosen.f1 == pytest.approx(
        2 * chosen.precision * chosen.recall / (chosen.precision + chosen.recall), abs=1e-5
    )
    assert "best F1" in chosen.describe()


def test_what_the_same_file_chose_on_the_same_pictures_is_read(voc, monkeypatch):
    file, contract, config, _ = voc
    chosen = choose(voc)
    told = contract.model_copy(
        update={
            "decoder": contract.decoder.model_copy(
                update={"score_threshold": chosen.score, "class_thresholds": dict(chosen.per_class)}
            ),
            "metrics": {"thresholds": chosen.model_dump(mode="json")},
        }
    )
    told.save(contract_path(file))
    assert contract_thresholds(load_contract(file)) == chosen
    assert Detector(file).threshold == chosen.score

    def engine(*_args, **_options):
        raise AssertionError("the file was run again")

    monkeypatch.setattr(threshold_choice, "Engine", engine)
    assert choose(voc) == chosen
    with pytest.raises(AssertionError, match="run again"):
        choose(voc, val=voc[3].splits["val"][1:])
    own = config.predict.model_copy(update={"class_thresholds": {"car": 0.5}})
    with pytest.raises(AssertionError, match="run again"):
        choose((*voc[:2], config.model_copy(update={"predict": own}), voc[3]))
    # A score that was changed by hand is nobody's choice.
    edited = told.decoder.model_copy(update={"score_threshold": 0.9})
    by_hand = contract_thresholds(told.model_copy(update={"decoder": edited}))
    assert (by_hand.score, by_hand.chosen) == (0.9, "contract")
    contract.save(contract_path(file))


def test_without_validation_it_says_so(voc):
    chosen = choose(voc, val=())
    assert (chosen.score, chosen.chosen) == (DEFAULT_SCORE, "default")
    assert "there is no annotated split “val”" in chosen.describe()
    empty = tuple(replace(sample, objects=()) for sample in voc[3].splits["val"])
    assert "no object that counts" in choose(voc, val=empty).describe()


def test_what_the_user_sets_wins():
    config = load_config(overrides=["predict.score_threshold=0.3"])
    assert configured(config.predict) == Thresholds(score=0.3, chosen="settings")
    assert load_config(preset="ssd").predict.score_threshold is None
    # No validation split: the preset says which.
    shipped = load_config(preset="voc_ssd300")
    assert (shipped.data.val_split, configured(shipped.predict).chosen) == ("none", "settings")


def test_the_packaged_contract_has_its_threshold():
    contract = load_contract(pretrained_file())
    assert contract_thresholds(contract) == Thresholds(score=0.4, chosen="contract")


def test_files_that_are_exported_later_take_those_of_the_product(voc, tmp_path):
    run = Run.create(tmp_path / "run", voc[2])
    later = [run.export_dir / "model-float16.tflite"]
    run.export_dir.mkdir()
    for path in (pretrained_file(), contract_path(pretrained_file())):
        shutil.copy(path, run.export_dir / path.name.replace("voc-ssd300", "model"))
    taken = export._thresholds(run, voc[2], later, silent)
    assert taken == Thresholds(score=0.4, chosen="contract")
    own = load_config(overrides=["predict.score_threshold=0.3"])
    assert export._thresholds(run, own, later, silent).chosen == "settings"
