"""Kinds of model: every family is in every table, and what is missing is told before training."""

import pytest

from quantdet import kinds
from quantdet.config import load_config
from quantdet.data.sample import Dataset
from quantdet.errors import ConfigError
from quantdet.kinds import KINDS, Kind, find_kind, size_problem
from quantdet.models.detector_weights import PACKAGED
from quantdet.stages.check import FAMILY_TABLES, check_config, check_names

FAMILIES = {kind.family for kind in KINDS.values()}


@pytest.mark.parametrize("table", FAMILY_TABLES)
def test_each_table_has_each_family_and_no_other(table):
    assert set(FAMILY_TABLES[table]) == FAMILIES


def test_each_published_detector_starts_one_kind():
    starts = [name for kind in KINDS.values() for name in kind.starts]
    assert sorted(starts) == sorted(PACKAGED)


def test_a_kind_without_its_family_is_told_table_by_table(monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "made_up", Kind("outlines", range(32, 65)))
    config = load_config(values={"model": {"name": "made_up", "input_size": 64}})
    with pytest.raises(ConfigError) as caught:
        check_names(config)
    for table in FAMILY_TABLES:
        assert f"which {table} lacks" in str(caught.value)


def test_a_kind_of_a_known_family_is_complete(monkeypatch, tmp_path):
    monkeypatch.setitem(kinds.KINDS, "tiny", Kind(kinds.DETECTOR, range(160, 161), separable=True))
    config = load_config(values={"model": {"name": "tiny", "input_size": 160, "width": 0.35}})
    check_config(config, Dataset(tmp_path, ("cat",), {"train": (), "val": (), "test": ()}))


def test_unknown_kind():
    with pytest.raises(ConfigError, match="'yolo' is unknown; choose one of localizer, ssd"):
        find_kind("yolo")


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("localizer", 224, None),
        ("localizer", 230, "takes 32 to 1024 pixels in steps of 32, e.g. 224"),
        ("localizer", 16, "e.g. 32"),
        ("localizer", 2000, "e.g. 1024"),
        ("ssd", 159, "takes 160 to 512 pixels, e.g. 160"),
        ("ssdlite", 513, "e.g. 512"),
    ],
)
def test_sizes(name, size, says):
    problem = size_problem(name, size)
    assert problem is None if says is None else says in problem


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("qat.observer=mean", "qat.observer: 'mean' is unknown; choose one of entropy"),
        ("qat.rounding=up", "qat.rounding: 'up' is unknown"),
        ("qat.ranges=fixed", "qat.ranges: 'fixed' is unknown"),
        ("qat.recipe=static_wi8", "qat.recipe: 'static_wi8' is unknown; choose one of static_"),
        ("qat.recipe=[['.*', 'static_wi8']]", "qat.recipe: 'static_wi8' is unknown"),
        ("model.anchors=many", "model.anchors: 'many' is unknown; choose one of classic"),
        ("model.backbone=resnet", "model.backbone: 'resnet' is unknown"),
    ],
)
def test_wrong_names_are_told_before_data_is_read(setting, says):
    with pytest.raises(ConfigError) as caught:
        check_names(load_config(overrides=[setting]))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("qat.recipe=[['conv9.*', 'static_wi4_ai8'], ['.*', 'static_wi8_ai8']]", "matches no"),
        ("predict.class_thresholds={dog=0.5}", "'dog' is not a class; choose one of cat"),
        ("train.finetune_from=block_99", "finetune_from = 'block_99': no such layer"),
    ],
)
def test_wrong_names_are_told_before_training(tmp_path, setting, says):
    config = load_config(overrides=["model.width=0.35", "model.input_size=32", setting])
    with pytest.raises(ConfigError) as caught:
        check_config(config, Dataset(tmp_path, ("cat",), {"train": (), "val": (), "test": ()}))
    assert says in str(caught.value)


def test_features_to_distill_are_layers(tmp_path):
    qat = {"distill": 0.5, "distill_features": ["out_relu", "nothing"]}
    config = load_config(values={"qat": qat, "model": {"width": 0.35, "input_size": 32}})
    with pytest.raises(ConfigError, match=r"no layer 'nothing'; choose one of .*out_relu"):
        check_config(config, Dataset(tmp_path, ("cat",), {"train": (), "val": (), "test": ()}))
