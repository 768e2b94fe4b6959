"""All objects: a YOLO folder → float → QAT → uint8 → mAP of the .tflite → boxes, by the CLI."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quantdet.quant.litert_file import read_litert
from quantdet.runtime.contract import load_contract
from quantdet.runtime.detector import Detector
from tests import tiny_backbone
from tests.e2e.conftest import quantdet, quantdet_here
from tests.eager import eager_steps

TINY = (
    "model.input_size=160",
    "model.width=0.35",
    "model.weights=none",
    "train.finetune_epochs=1",
    "qat.train_backbone=false",
    "qat.epochs=1",
    "qat.calibration_images=8",
)


def options(cache, *more):
    settings = (*TINY, f"data.cache_dir={cache}", *more)
    return [part for item in settings for part in ("--set", item)]


# With the real one every net is traced for a minute; test_road.py has it.
@pytest.fixture(
    scope="module", params=["tiny", pytest.param("mobilenet_v2", marks=pytest.mark.slow)]
)
def backbone(request):
    with tiny_backbone.registered(), eager_steps():
        yield request.param


@pytest.fixture(scope="module")
def yolo(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("yolo") / "data"
    quantdet("data", "convert", scenes, "--to", "yolo", "--out", out, check=0)
    return out


@pytest.fixture(scope="module")
def run(backbone, yolo, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    more = options(out.parent / "cache", f"model.backbone={backbone}")
    quantdet_here("run", "--preset", "ssd", "--data", yolo, "--out", out, *more, check=0)
    return out


def test_every_variant_is_measured_and_the_file_is_the_simulation(run):
    metrics = json.loads((run / "metrics.json").read_text())
    variants = {row["variant"]: row for row in metrics["variants"]}
    assert list(variants) == [
        "float_keras", "float_tflite", "ptq_tflite", "qat_keras", "uint8_tflite",
    ]  # fmt: skip
    for row in variants.values():
        assert 0 <= row["map_voc07"] <= 1
        assert row["map_voc07_interval"][0] <= row["map_voc07"] <= row["map_voc07_interval"][1]
        assert 0 <= row["coco"]["ap"] <= 1
    layers = metrics["parity"]["layers"]
    assert layers["identical_exact"] == 1.0
    assert layers["max_lsb"] <= 1
    kernels = {row["kernels"]: row for row in metrics["parity"]["end_to_end"]["kernels"]}
    assert kernels.keys() >= {"reference", "xnnpack", "tflite-micro"}
    for row in kernels.values():
        assert row["exact"]["identical"] == 1.0, row


def test_details_belong_to_the_figures(run):
    details = json.loads((run / "details.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(details["variants"]) == [row["variant"] for row in metrics["variants"]]
    for row in metrics["variants"]:
        found = details["variants"][row["variant"]]
        objects = sum(map(sum, found["confusion"][:-1]))
        assert objects == metrics["objects"]
        assert len(found["draws"]["map_voc07"]) == details["bootstrap"]["resamples"]
        assert set(row["error_costs"]) == set(found["errors"]) - {"right"}
    counted = json.loads((run / "data.json").read_text())["splits"]
    assert counted["test"]["pictures"] == metrics["pictures"]
    assert counted["test"]["objects"] == metrics["objects"] + metrics["difficult"]
    assert "train" in counted


def test_report_has_every_section(run):
    page = (run / "report.html").read_text("utf-8")
    for section in ("accuracy", "classes", "errors", "pictures", "layers", "training", "data"):
        assert f'<div class="body" id="{section}">' in page
    # Only what `quantdet verify` makes is not there yet.
    assert page.count('class="todo"') - page.count("the machine was busy") == 1


def test_threshold_is_chosen_on_validation_and_shared_by_all_files(run):
    metrics = json.loads((run / "metrics.json").read_text())
    chosen = metrics["thresholds"]
    # One epoch from nothing may find nothing right to choose by, and says so.
    assert chosen["chosen"] == "validation" or "no right detection" in chosen["reason"]
    for file in sorted((run / "export").glob("*.tflite")):
        decoder = load_contract(file).decoder
        assert decoder.score_threshold == chosen["score"]
        assert decoder.class_thresholds == chosen["per_class"]
    for row in metrics["variants"]:
        assert 0 <= row["right"] <= min(row["shown"], row["objects"])
    quantdet_here("export", run, "--format", "float16")
    assert load_contract(run / "export" / "model-float16.tflite").decoder == decoder


def test_data_are_the_same_and_a_model_that_learned_nothing_is_not_shipped(run):
    data = json.loads((run / "metrics.json").read_text())["data"]
    assert (data["unchanged"], data["in_training"]) == (True, 0)
    page = (run / "report.html").read_text("utf-8")
    assert "⚠ Look closer" in page
    assert "✓ Ship" not in page


def test_file_is_integer_from_end_to_end(run):
    file = read_litert(run / "export" / "model.tflite")
    assert not [t.name for t in file.tensors if "float" in t.dtype]


def test_predict_and_evaluate_take_the_run_and_the_file(run, yolo, tmp_path):
    picture = sorted((yolo / "images").glob("*"))[0]
    done = quantdet(
        "predict", picture, "--model", run, "--threshold", 0.001, "--json",
        "--out", tmp_path / "p", check=0,
    )  # fmt: skip
    expected = Detector(run).predict(picture, threshold=0.001).to_list()
    assert expected
    assert json.loads(done.stdout)[0]["detections"] == json.loads(json.dumps(expected))
    file = run / "export" / "model.tflite"
    done = quantdet_here("evaluate", file, "--data", yolo, "--json", check=0)
    own = json.loads((run / "metrics.json").read_text())["variants"][-1]
    (again,) = json.loads(done.stdout)["variants"]
    for key in ("map_voc07", "map_voc10", "coco"):
        assert again[key] == own[key]


def test_another_run_starts_from_this_one(run, backbone, yolo, tmp_path):
    more = (
        f"model.backbone={backbone}",
        "data.classes=['car', 'boat']",
        f"model.weights='{run}'",
    )
    out = tmp_path / "next"
    command = ("train", "--preset", "ssd", "--data", yolo, "--out", out)
    quantdet_here(*command, *options(run.parent / "cache", *more), check=0)
    identity = json.loads((out / "manifest.json").read_text())["train"]["identity"]
    assert identity["labels"] == ["car", "boat"]
    assert identity["weights"]["source"] == f"run {run.name}"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("class", r"labels.*\.txt: line 2: class 99 is out of range; names has 6 classes"),
        ("coordinates", r"labels.*\.txt: line 2: 250 is not a fraction of the picture"),
        ("picture", r"picture not found, but listed"),
        ("yaml", r"data\.yaml.*not valid YAML"),
    ],
)
def test_faulty_yolo_folder(yolo, tmp_path, fault, message):
    data = tmp_path / "data"
    shutil.copytree(yolo, data)
    first = (data / "train.txt").read_text().split()[0]
    label = data / "labels" / f"{Path(first).stem}.txt"
    text = label.read_text().splitlines()[:1] or ["0 0.5 0.5 0.1 0.1"]
    if fault == "class":
        label.write_text(f"{text[0]}\n99 0.5 0.5 0.1 0.1\n")
    elif fault == "coordinates":
        label.write_text(f"{text[0]}\n0 250 100 50 50\n")
    elif fault == "picture":
        (data / first).unlink()
    else:
        (data / "data.yaml").write_text("names: [a\n")
    out = tmp_path / "run"
    done = quantdet_here(
        "train", "--preset", "ssd", "--data", data, "--out", out, *options(tmp_path)
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(message, done.stderr), done.stderr


def test_faulty_coco_file(scenes, tmp_path):
    data = tmp_path / "coco"
    quantdet("data", "convert", scenes, "--to", "coco", "--out", data, check=0)
    file = data / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["category_id"] = 77
    (data / "images" / content["images"][1]["file_name"]).unlink()
    file.write_text(json.dumps(content))
    arguments = ("--preset", "ssd", "--data", data, "--out", tmp_path / "run")
    done = quantdet_here("train", *arguments, *options(tmp_path))
    assert done.returncode == 2
    assert "category_id 77 is not in" in done.stderr
    check = quantdet("data", "check", data, "--json")
    assert check.returncode == 2
    codes = {finding["code"] for finding in json.loads(check.stdout)["findings"]}
    assert codes >= {"unknown_class", "missing_picture"}


@pytest.mark.slow
def test_every_operator_runs_on_the_ethos_u55(run, tmp_path):
    vela = shutil.which("vela", path=str(Path(sys.executable).parent)) or shutil.which("vela")
    if vela is None:
        pytest.skip("vela is not installed: pip install ethos-u-vela")
    for file in (run / "export/model.tflite", Detector.pretrained().model_file):
        done = subprocess.run(
            [vela, "--accelerator-config", "ethos-u55-128", "--output-dir", tmp_path, file],
            capture_output=True,
            text=True,
            check=True,
        )
        assert re.search(r"CPU operators = 0 \(0\.0%\)", done.stdout)
