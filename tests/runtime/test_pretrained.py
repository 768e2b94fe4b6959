"""Models of the package; a tiny one stands in for them."""

import pytest

import quantdet
from quantdet.errors import ModelError
from quantdet.runtime.detector import Detector
from quantdet.runtime.pretrained import find_model, is_model, pretrained_names


def test_names(registry):
    assert pretrained_names(registry) == ["tiny-a", "tiny-b"]


def test_names_of_the_package_are_models_that_load():
    for name in quantdet.pretrained_names():
        assert Detector.pretrained(name).labels


def test_detector(registry, red):
    detector = Detector.pretrained("tiny-a", folder=registry, classes=["red"])
    assert detector.labels == ("red", "blue")
    found = detector.predict(red, threshold=0.5)
    assert found.names() == ["red"]
    assert found.boxes_xyxy.shape == (1, 4)


def test_unknown_name_lists_the_known_ones(registry, tmp_path):
    with pytest.raises(ModelError, match=r"'tiny-c'.*it has tiny-a, tiny-b.*\.tflite or a run"):
        Detector.pretrained("tiny-c", folder=registry)
    with pytest.raises(ModelError, match=r"'voc-ssd300'.*it has none.*quantdet run"):
        Detector.pretrained(folder=tmp_path / "nothing")


def test_user_means_a_name_a_file_or_a_folder(package, model, tmp_path, monkeypatch):
    assert find_model("tiny-a") == package / "tiny-a.tflite"
    assert find_model(str(model)) == model
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-a").mkdir()
    assert find_model("tiny-a") == package / "tiny-a.tflite"
    assert find_model("./tiny-a").is_dir()
    with pytest.raises(ModelError, match=r"'nowhere\.tflite' is neither a file.*tiny-a"):
        find_model("nowhere.tflite")


def test_model_is_told_from_pictures(model, tmp_path):
    assert is_model(str(model))
    assert is_model("missing.tflite")
    (tmp_path / "run" / "export").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    assert not is_model(str(tmp_path / "run"))
    (tmp_path / "run" / "config.toml").write_text("")
    assert is_model(str(tmp_path / "run"))
    for text in (str(tmp_path / "photos"), "street.jpg", "camera:0", "photos/*.jpg", "0"):
        assert not is_model(text)
