"""Wrong input: exit code 2, a message that names the fault and the remedy, no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from quantdet.cli import app
from tests.e2e.conftest import quantdet, quantdet_here, settings


def _fails(*arguments, says):
    done = quantdet_here(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for words in says:
        assert words in done.stderr, done.stderr
    return done


@pytest.fixture
def data(scenes, tmp_path):
    copy = tmp_path / "VOC"
    shutil.copytree(scenes, copy)
    return copy


def _first(data):
    return (data / "ImageSets/Main/train.txt").read_text().split()[0]


def _edit(data, old, new):
    xml = data / "Annotations" / f"{_first(data)}.xml"
    text = xml.read_text()
    assert old in text
    xml.write_text(text.replace(old, new, 1))
    return xml.name


def test_missing_folder(tmp_path):
    _fails("train", "--data", tmp_path / "none", "--out", tmp_path / "r", says=["none"])


def test_empty_split(data, tmp_path):
    (data / "ImageSets/Main/train.txt").write_text("")
    _fails("train", "--data", data, "--out", tmp_path / "r", *settings(), says=["train"])


def test_broken_xml(data, tmp_path):
    name = _edit(data, "</annotation>", "")
    _fails("train", "--data", data, "--out", tmp_path / "r", *settings(), says=[name, "skip"])


def test_truncated_jpeg(data, tmp_path):
    picture = data / "JPEGImages" / f"{_first(data)}.jpg"
    picture.write_bytes(picture.read_bytes()[:700])
    cache = f"data.cache_dir={tmp_path / 'c'}"
    says = [picture.name]
    _fails("train", "--data", data, "--out", tmp_path / "r", *settings(cache), says=says)


def test_unknown_class(data, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("zebra\n")
    option = settings(f"data.labels={labels}")
    _fails("train", "--data", data, "--out", tmp_path / "r", *option, says=["zebra", ".xml"])


def test_zero_area_box(data, tmp_path):
    xml = data / "Annotations" / f"{_first(data)}.xml"
    text = xml.read_text()
    low = re.search(r"<xmin>([\d.]+)</xmin>", text).group(1)
    xml.write_text(re.sub(r"<xmax>[\d.]+</xmax>", f"<xmax>{float(low) - 1}</xmax>", text, count=1))
    _fails("train", "--data", data, "--out", tmp_path / "r", *settings(), says=[xml.name])


def test_bad_samples_can_be_skipped(data):
    _edit(data, "</annotation>", "")
    done = quantdet("data", "check", data, "--json", check=2)
    assert json.loads(done.stdout)["ok"] is False


def test_unknown_config_key(data, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("[train]\nepoch = 3\n")
    out = tmp_path / "r"
    _fails(
        "train", "--data", data, "--out", out, "--config", config,
        says=["c.toml", "train.epoch", "epochs"],
    )  # fmt: skip
    assert not out.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_run_folder(data, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    _fails("train", "--data", data, "--out", locked / "r", *settings(), says=["locked", "--out"])


def test_run_folder_that_is_a_file(data, tmp_path):
    (tmp_path / "r").write_text("mine")
    _fails("train", "--data", data, "--out", tmp_path / "r", *settings(), says=["r", "folder"])
    assert (tmp_path / "r").read_text() == "mine"


def test_not_a_run_folder(tmp_path):
    _fails("qat", tmp_path, says=["quantdet train"])


def test_unknown_backbone_weights(data, tmp_path):
    option = settings("model.weights=nowhere.pth")
    _fails("train", "--data", data, "--out", tmp_path / "r", *option, says=["nowhere.pth"])


def test_corrupt_model(finished, tmp_path, scenes):
    picture = next((scenes / "JPEGImages").glob("*.jpg"))
    model = tmp_path / "model.tflite"
    model.write_bytes((finished / "export/model.tflite").read_bytes()[:5000])
    shutil.copy(finished / "export/model.contract.json", tmp_path)
    _fails("predict", model, picture, "--out", tmp_path / "p", says=["model.tflite"])


def test_model_without_contract(finished, tmp_path, scenes):
    picture = next((scenes / "JPEGImages").glob("*.jpg"))
    model = tmp_path / "model.tflite"
    shutil.copy(finished / "export/model.tflite", model)
    with zipfile.ZipFile(model) as archive:
        end = min(info.header_offset for info in archive.infolist())
    model.write_bytes(model.read_bytes()[:end])
    _fails("predict", model, picture, "--out", tmp_path / "p", says=["model.contract.json"])


def test_formats_that_a_model_does_not_have(finished, tmp_path):
    model = tmp_path / "model.tflite"
    shutil.copy(finished / "export/model.tflite", model)
    for source in (finished, model):
        _fails("export", source, "--format", "postprocess", says=["anchors", "decoder"])
        _fails("export", source, "--format", "onnx", says=["'onnx'", "c-array"])
    _fails("export", finished, "--format", "labels", "--out", tmp_path, says=["--out"])
    (tmp_path / "model.labels.txt").write_text("mine")
    _fails("export", model, "--format", "labels", says=["model.labels.txt", "--out"])


def test_label_count_mismatch(finished, tmp_path, scenes):
    picture = next((scenes / "JPEGImages").glob("*.jpg"))
    shutil.copy(finished / "export/model.tflite", tmp_path)
    contract = json.loads((finished / "export/model.contract.json").read_text())
    contract["labels"].append("unicorn")
    (tmp_path / "model.contract.json").write_text(json.dumps(contract))
    _fails("predict", tmp_path / "model.tflite", picture, "--out", tmp_path / "p", says=["labels"])


def test_picture_that_is_none(finished, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("<svg/>")
    _fails("predict", finished, text, "--out", tmp_path / "p", says=["notes.jpg"])


def test_weights_that_do_not_fit(finished, data, tmp_path):
    option = settings(f"model.weights={finished / 'float/model.keras'}")
    _fails("train", "--data", data, "--out", tmp_path / "r", *option, says=["model.keras"])


def test_checkpoint_of_another_class_count(data, tiny_backbone, tmp_path):
    out = tmp_path / "r"
    net = f"model.backbone={tiny_backbone}"
    options = settings(net, f"data.cache_dir={tmp_path / 'c'}", "train.finetune_epochs=0")
    quantdet_here("train", "--data", data, "--out", out, *options, check=0)
    xml = data / "Annotations" / f"{_first(data)}.xml"
    text = xml.read_text()
    label = re.search(r"<object>\s*<name>(\w+)</name>", text).group(1)
    xml.write_text(text.replace(f"<name>{label}</name>", "<name>unicorn</name>", 1))
    # The trained model knows nothing of the seventh class: neither stage may go on with it.
    _fails("qat", out, says=["unicorn", xml.name])
    _fails("train", "--data", data, "--out", out, *options, says=[str(out), "another"])
    assert (out / "float/model.keras").is_file()


def test_help_is_fast_code_without_tensorflow():
    code = (
        "import sys; sys.argv = ['quantdet', '--help']\n"
        "from quantdet.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


def _commands(group, prefix=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*prefix, name))
        else:
            yield (*prefix, name)


@pytest.mark.parametrize("command", _commands(get_command(app)), ids=" ".join)
def test_every_command_has_help_with_an_example(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert f"\n  Example: quantdet {' '.join(command)}" in result.output
