"""`quantdet predict` and `quantdet models`, in this process."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from quantdet.runtime import pretrained


def found(answer):
    code, out, err = answer
    assert code == 0, err
    return [[item["label"] for item in picture["detections"]] for picture in json.loads(out)]


def test_picture_alone_takes_the_default_model(quantdet, package, monkeypatch):
    (package / "tiny-a.tflite").rename(package / "voc-ssd300.tflite")
    (package / "tiny-a.contract.json").rename(package / "voc-ssd300.contract.json")
    assert found(quantdet("predict", "red.png", "--json")) == [["red"]]


def test_default_model_that_is_not_there(quantdet, package):
    code, _, err = quantdet("predict", "red.png")
    assert code == 2
    assert "'voc-ssd300'" in err
    assert "tiny-a, tiny-b" in err
    assert "--model" in err


def test_model_by_name_file_or_as_the_first_argument(quantdet, package, model, tmp_path):
    run = tmp_path / "run"
    (run / "export").mkdir(parents=True)
    for file in package.glob("tiny-a*"):
        (run / "export" / file.name.replace("tiny-a", "model")).write_bytes(file.read_bytes())
    for chosen in (["--model", "tiny-b"], ["-m", model], ["-m", run]):
        assert found(quantdet("predict", "red.png", "blue.png", *chosen, "--json")) == [
            ["red"],
            ["blue"],
        ]
    for chosen in (model, run):
        assert found(quantdet("predict", chosen, "blue.png", "--json")) == [["blue"]]


def test_with_a_model_option_every_argument_is_an_input(quantdet, package, model):
    code, _, err = quantdet("predict", model, "--model", "tiny-a")
    assert code == 2
    assert f"{model}: not a picture" in err


def test_model_without_pictures(quantdet, model):
    code, _, err = quantdet("predict", model)
    assert code == 2
    assert "give pictures" in err


def test_thresholds_and_classes(quantdet, model):
    def labels(*options):
        return found(quantdet("predict", model, "red.png", "blue.png", "--json", *options))

    assert labels("--threshold", 1) == [[], []]
    assert labels("--class", "blue") == [[], ["blue"]]
    assert labels("--class-threshold", "red=1") == [[], ["blue"]]
    assert labels("--threshold", 1, "--class-threshold", "red=0.5") == [["red"], []]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--class", "rad"], "did you mean 'red'"),
        (["--class-threshold", "red"], "LABEL=SCORE"),
        (["--class-threshold", "red=2"], "threshold of 'red' is 2"),
    ],
)
def test_bad_options(quantdet, model, options, says):
    code, _, err = quantdet("predict", model, "red.png", *options)
    assert code == 2
    assert says in err


def test_csv(quantdet, model, tmp_path):
    quantdet("predict", model, "red.png", "blue.png", "--csv", "--out", tmp_path / "out")
    rows = (tmp_path / "out" / "predictions.csv").read_text("utf-8").splitlines()
    assert rows[0] == "source,frame,label,class_id,score,x1,y1,x2,y2"
    assert [row.split(",")[2] for row in rows[1:]] == ["red", "blue"]


def test_models_are_listed(quantdet, package):
    code, out, _ = quantdet("models")
    assert code == 0
    assert "tiny-a" in out
    assert "tiny-b: red, blue" in out
    assert "lonely" not in out
    _, out, _ = quantdet("models", "--json")
    (first, _) = json.loads(out)
    assert first["name"] == "tiny-a"
    assert first["size_hw"] == [32, 32]
    assert first["labels"] == ["red", "blue"]
    assert first["bytes"] == (package / "tiny-a.tflite").stat().st_size


def test_no_model_to_list(quantdet, monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "nothing")
    code, out, _ = quantdet("models")
    assert code == 0
    assert "quantdet run" in out


def test_predict_stays_light(model, tmp_path):
    """A process of its own shows what is imported."""
    import subprocess

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.jpg")
    arguments = ["quantdet", "predict", str(model), str(tmp_path / "x.jpg"), "--out"]
    code = (
        f"import sys; sys.argv = {[*arguments, str(tmp_path / 'out')]!r}\n"
        "from quantdet.cli import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "quantdet.runtime.predict" in loaded
    packages = {name.partition(".")[0] for name in loaded}
    assert not packages & {
        *("tensorflow", "keras", "jax", "torch", "cv2", "matplotlib", "faster_coco_eval"),
        *("yaml", "jinja2", "requests", "rich", "tomli_w", "google", "flatbuffers", "ml_dtypes"),
    }
    rooms = {name.split(".")[1] for name in loaded if name.startswith("quantdet.")}
    assert not rooms & {
        "data",
        "evaluate",
        "export",
        "models",
        "quant",
        "report",
        "train",
        "verify",
        "web",
    }
    # Formats that neither the input nor the output has.
    assert not loaded & {"PIL.PngImagePlugin", "PIL.GifImagePlugin", "PIL.BmpImagePlugin"}


def test_what_is_tried_as_told_shows_something(quantdet, model):
    code, out, _ = quantdet("predict", model, "red.png", "--threshold", 1)
    assert code == 0
    assert "nothing found, at best red " in out
    told = out.rsplit("--threshold ", 1)[1].split()[0]
    assert found(quantdet("predict", model, "red.png", "--threshold", told, "--json")) == [["red"]]
    # Of a class that was not asked for there is no best score.
    _, out, _ = quantdet("predict", model, "red.png", "--class", "blue")
    assert "at best red" not in out
