"""`quantdet data check`, and data that is not where it was, from the command line."""

from __future__ import annotations

import json
import shutil

import pytest

from quantdet.cli.data_text import check_text
from quantdet.config import load_config
from quantdet.data.check import check_dataset
from quantdet.data.contents import describe_contents
from quantdet.data.dataset import load_dataset
from quantdet.runs import Run
from tests.e2e.conftest import quantdet_here


@pytest.fixture
def data(scenes, tmp_path):
    copy = tmp_path / "VOC"
    shutil.copytree(scenes, copy)
    return copy


def _break(data, count):
    """Spoil that many annotations of the training split; return their names."""
    ids = (data / "ImageSets/Main/train.txt").read_text().split()[:count]
    for image_id in ids:
        (data / "Annotations" / f"{image_id}.xml").write_text("<annotation>")
    return ids


def test_splits_classes_and_sizes(data):
    done = quantdet_here("data", "check", data, "--preset", "ssd")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["split", "pictures", "usable", "background", "objects", "difficult"]
    assert lines[2][:3] == ["train", "21", "21"]
    assert any(
        line[:2] == ["class", "train"] and line[-4:-1] == ["at", "300", "px"] for line in lines
    )
    assert "ready for training" in done.stdout


def test_findings_are_summed_by_kind_with_three_examples(data, tmp_path):
    _break(data, 5)
    out = tmp_path / "check.json"
    done = quantdet_here("data", "check", data, "--out", out)
    assert done.returncode == 2
    assert "error: 5 x broken_xml" in done.stdout
    assert done.stdout.count("not valid XML") == 3
    assert f"and 2 more; all are in {out}" in done.stdout
    content = json.loads(out.read_text())
    assert sum(item["code"] == "broken_xml" for item in content["findings"]) == 5
    assert {"severity": "error", "code": "broken_xml", "count": 5} in content["kinds"]
    assert content["settings"]["data"]["root"] == str(data)


def test_check_takes_the_options_of_train(data, tmp_path):
    _break(data, 2)
    assert quantdet_here("data", "check", data, "--skip-bad").returncode == 0
    assert quantdet_here("data", "check", data, "--set", "data.skip_bad=true").returncode == 0
    assert quantdet_here("data", "check", data, "--set", "data.train_split=tain").returncode == 2
    file = tmp_path / "mine.toml"
    file.write_text("[data]\ntrain_split = 'val'\n")
    done = quantdet_here("data", "check", data, "--config", file, "--json")
    content = json.loads(done.stdout)
    assert done.returncode == 0
    assert not content["splits"]["train"]["used"]


def test_many_classes_are_cut_short(voc_of_many_classes):
    result = check_dataset(voc_of_many_classes)
    text = check_text(result, 300, None)
    more = len(result.labels) - 30
    assert f"and {more} more classes; --json lists all" in text


@pytest.fixture
def voc_of_many_classes(data):
    ids = (data / "ImageSets/Main/train.txt").read_text().split()
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>50</xmax><ymax>50</ymax></bndbox>"
    objects = "".join(f"<object><name>class{n}</name>{box}</object>" for n in range(40))
    (data / "Annotations" / f"{ids[0]}.xml").write_text(
        f"<annotation><size><width>120</width><height>90</height></size>{objects}</annotation>"
    )
    return data


@pytest.fixture
def trained(data, tmp_path):
    """A run that knows its pictures and has nothing else."""
    dataset = load_dataset(data, splits=("train", "val", "test"))
    run = Run.create(tmp_path / "run", load_config(values={"data": {"root": data}}))
    run.float_dir.mkdir()
    run.record("train", {"identity": {"labels": list(dataset.labels)}})
    describe_contents(dataset).save(run.pictures_file)
    return run


@pytest.mark.parametrize("command", ["qat", "evaluate", "analyse"])
def test_data_that_is_gone_is_asked_for_with_an_option_that_there_is(trained, data, command):
    assert "--data" in quantdet_here(command, "--help").stdout
    shutil.move(data, data.parent / "elsewhere")
    done = quantdet_here(command, trained.root)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{data}: no such folder; give the data set with --data" in done.stderr


@pytest.mark.parametrize("command", ["qat", "evaluate", "analyse", "export"])
def test_other_data_is_refused_by_every_command(trained, data, command):
    other = data.parent / "elsewhere"
    shutil.move(data, other)
    image_id = (other / "ImageSets/Main/test.txt").read_text().split()[0]
    (other / "JPEGImages" / f"{image_id}.jpg").write_bytes(b"other")
    done = quantdet_here(command, trained.root, "--data", other)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"1 differ, first '{image_id}': another picture" in done.stderr


def test_a_run_is_measured_on_no_other_split(trained, data):
    done = quantdet_here("evaluate", trained.root, "--data", data, "--split", "val")
    assert done.returncode == 2
    assert "leave --split and --format out" in done.stderr


def test_warnings_are_sentences(data, tmp_path):
    _break(data, 2)
    done = quantdet_here(
        "data", "convert", data, "--to", "coco", "--out", tmp_path / "c", "--skip-bad"
    )
    assert done.returncode == 0
    assert "warning: 2 x broken_xml, first: " in done.stderr
    assert ".py:" not in done.stderr


def test_a_finished_run_is_measured_with_its_data_elsewhere(finished, scenes, tmp_path):
    run, new = tmp_path / "run", tmp_path / "new"
    shutil.copytree(finished, run)
    shutil.copytree(scenes, new)
    config = run / "config.toml"
    # The run may be of another worker, which has generated its scenes elsewhere.
    root = str(Run.open(run).load_config().data.root)
    config.write_text(config.read_text().replace(root, str(tmp_path / "gone")))
    options = ("--parity-pictures", "0", "--json")
    assert quantdet_here("evaluate", run, *options).returncode == 2
    done = quantdet_here("evaluate", run, "--data", new, *options)
    assert done.returncode == 0, done.stderr
    assert Run.open(run).load_config().data.root == new
