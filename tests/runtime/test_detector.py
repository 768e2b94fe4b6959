import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from quantdet.errors import ConfigError, DataError, ModelError
from quantdet.runtime.contract import contract_path
from quantdet.runtime.detector import Detector
from quantdet.runtime.draw import draw_detections
from quantdet.runtime.preprocess import resize
from tests.runtime.helpers import LABELS, NAMES, SIZE, make_contract, solid


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("color", "label"), [((255, 0, 0), "red"), ((0, 0, 255), "blue")])
def test_finds_the_colour(models, name, color, label):
    found = Detector(models[name]).predict(solid(color, (40, 80)))
    assert found.names() == [label]
    assert found.scores[0] > 0.9
    assert found.labels == LABELS


@pytest.mark.parametrize("name", ["single-uint8", "single-int8", "single-float32"])
def test_single_box_in_pixels_of_the_original(models, name, red):
    # 40 high and 80 wide: an exchange of axes would show.
    np.testing.assert_allclose(
        Detector(models[name]).predict(red).boxes_xyxy, [[20, 5, 70, 25]], atol=0.2
    )


@pytest.mark.parametrize("name", ["grid-uint8", "grid-float32"])
@pytest.mark.parametrize(
    ("corner", "box"),
    [((0, 40), [50, 0, 70, 20]), ((20, 0), [10, 20, 30, 40])],
)
def test_grid_answers_with_the_coloured_quarter(models, name, corner, box):
    picture = solid((128, 128, 128), (40, 80))
    y, x = corner
    picture[y : y + 20, x : x + 40] = (0, 0, 255)
    found = Detector(models[name]).predict(picture)
    assert found.names() == ["blue"]
    # Resizing mixes a few pixels at the border of the quarter, not the box.
    np.testing.assert_allclose(found.boxes_xyxy, [box], atol=0.2)


def squares():
    """A grey picture, 40 high and 80 wide, with a red and two blue squares of 10 x 20."""
    picture = solid((128, 128, 128), (40, 80))
    picture[0:10, 20:40] = (255, 0, 0)
    picture[20:30, 60:80] = picture[30:40, 0:20] = (0, 0, 255)
    return picture


@pytest.mark.parametrize("name", ["ssd-uint8", "ssd-float32"])
def test_ssd_finds_every_object(models, name):
    found = Detector(models[name]).predict(squares())
    assert sorted(found.names()) == ["blue", "blue", "red"]
    pairs = (found.boxes_xyxy.tolist(), found.names())
    boxes = {tuple(box): label for box, label in zip(*pairs, strict=True)}
    expected = {(20, 0, 40, 10): "red", (60, 20, 80, 30): "blue", (0, 30, 20, 40): "blue"}
    for wanted, label in expected.items():
        nearest = min(boxes, key=lambda box: np.abs(np.subtract(box, wanted)).max())
        np.testing.assert_allclose(nearest, wanted, atol=0.3)
        assert boxes[nearest] == label
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_ssd_evaluation_sees_the_same_as_predict(models):
    picture = squares()
    for name in ("ssd-uint8", "ssd-float32"):
        detector = Detector(models[name], threshold=0)
        direct = detector.detect_pixels(resize(picture, (SIZE, SIZE)), (40, 80))
        assert direct.to_list() == detector.predict(picture).to_list()
        assert len(direct) > 3


def test_ssd_with_anchors_of_another_model(models, tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(models["ssd-uint8"].read_bytes())
    contract = make_contract(file, "ssd")
    anchors = {"anchors": contract.decoder.anchors * 2}
    wrong = {"decoder": contract.decoder.model_copy(update=anchors)}
    contract.model_copy(update=wrong).save(contract_path(file))
    with pytest.raises(ModelError, match=r"boxes have shape \(1, 16, 4\), but .* make 32 anchors"):
        Detector(file)


def test_file_array_and_pillow_image_give_the_same(model, red, tmp_path):
    detector = Detector(model)
    Image.fromarray(red).save(tmp_path / "red.png")
    answers = [
        detector.predict(image).to_list()
        for image in (red, tmp_path / "red.png", str(tmp_path / "red.png"), Image.fromarray(red))
    ]
    assert answers[0]
    assert all(answer == answers[0] for answer in answers)


def test_pillow_image_of_any_mode(model, red):
    detector = Detector(model)
    palette = Image.fromarray(red).convert("P")
    assert detector.predict(palette).names() == ["red"]


def test_evaluation_sees_the_same_as_predict(models):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    for name in NAMES:
        detector = Detector(models[name], threshold=0)
        direct = detector.detect_pixels(resize(picture, (SIZE, SIZE)), (50, 70))
        assert direct.to_list() == detector.predict(picture).to_list()


def test_threshold_of_contract_detector_and_call(own_model):
    grey = solid((128, 128, 128), (40, 80))
    assert Detector(own_model).threshold == 0.5
    assert len(Detector(own_model).predict(grey)) == 0  # every class has 1/3
    assert len(Detector(own_model, threshold=0.3).predict(grey)) == 1
    assert len(Detector(own_model, threshold=0.3).predict(grey, threshold=0.4)) == 0
    assert len(Detector(own_model).predict(grey, threshold=0)) == 1
    assert len(Detector(own_model).detect_pixels(solid((128,) * 3, (SIZE, SIZE)), (9, 9))) == 1


@pytest.mark.parametrize("threshold", [-0.1, 1.5, 50, "0.5", [0.5], np.array([0.2, 0.3])])
def test_threshold_out_of_range(model, red, threshold):
    with pytest.raises(ConfigError, match=r"threshold is .*from 0 to 1"):
        Detector(model, threshold=threshold)
    with pytest.raises(ConfigError, match="threshold is"):
        Detector(model).predict(red, threshold=threshold)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": "red"}, r"classes is the text 'red'; give a list"),
        ({"classes": [0]}, "class 0 is not one of the model's"),
        ({"class_thresholds": [0.1, 0.2]}, "class_thresholds is a list; give a dict"),
        ({"class_thresholds": {"red": None}}, "threshold of 'red' is None"),
    ],
)
def test_thresholds_of_another_form(model, options, words):
    with pytest.raises(ConfigError, match=words):
        Detector(model, **options)


@pytest.mark.parametrize("thing", [None, b"TFL3", 3])
def test_a_model_that_is_no_path(thing):
    with pytest.raises(ModelError, match=r"model is \w+; give the path of a \.tflite"):
        Detector(thing)


def test_the_working_directory_may_change(own_model, red, monkeypatch, tmp_path):
    monkeypatch.chdir(own_model.parent)
    detector = Detector(own_model.name)
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickle.dumps(detector)).predict(red).names() == ["red"]


class _Tensor:
    """A tensor of another library: numpy reads it, or cannot."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        if self.values is None:
            raise TypeError("it is on a GPU")
        return self.values


def test_a_picture_as_the_content_of_a_file_or_a_tensor(model, red, tmp_path):
    detector, file = Detector(model), tmp_path / "red.png"
    Image.fromarray(red).save(file)
    wanted = detector.predict(red).to_list()
    with file.open("rb") as stream:
        stream.read(9)  # as one who looked at its head
        found = detector.predict([file.read_bytes(), stream, _Tensor(red)])
        assert [item.to_list() for item in found] == [wanted] * 3
        assert found[0]._repr_png_()
    refused = {
        "its file is closed; open it again": stream,
        "the picture: not a picture that can be read": b"nothing",
        "_Tensor that numpy cannot read": _Tensor(None),
        r"picture is float32 of shape \(3, 8, 8\)": _Tensor(np.zeros((3, 8, 8), np.float32)),
    }
    for words, picture in refused.items():
        with pytest.raises(DataError, match=words):
            detector.predict(picture)


def test_inference_is_timed(model, red):
    detector = Detector(model)
    assert detector.last_inference_ms == 0
    detector.predict(red)
    assert detector.last_inference_ms > 0


def test_run_folder(model, tmp_path, red):
    export = tmp_path / "run" / "export"
    export.mkdir(parents=True)
    (export / "model.tflite").write_bytes(model.read_bytes())
    contract_path(export / "model.tflite").write_bytes(contract_path(model).read_bytes())
    assert Detector(tmp_path / "run").predict(red).names() == ["red"]
    assert Detector(str(tmp_path / "run")).labels == LABELS


def test_folder_without_model(tmp_path):
    with pytest.raises(ModelError, match=r"holds no export/model\.tflite.*quantdet export"):
        Detector(tmp_path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_array_that_is_no_picture(model, array):
    with pytest.raises(DataError, match=r"picture .*shape"):
        Detector(model).predict(array)


def test_pixels_of_another_size(model):
    with pytest.raises(ModelError, match=r"input 'image' is uint8 \(1, 32, 32, 3\), got"):
        Detector(model).detect_pixels(solid((0, 0, 0), (16, 16)), (16, 16))


def spoil(own_model, **changes):
    """Save the contract with fields changed, "input__size_hw" meaning input.size_hw."""
    contract = make_contract(own_model, "single").model_dump()
    for name, value in changes.items():
        *parents, last = name.split("__")
        part = contract
        for parent in parents:
            part = part[parent]
        part[last] = value
    contract_type = type(make_contract(own_model, "single"))
    contract_type.model_validate(contract).save(contract_path(own_model))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("red",)}, "scores have 3 classes, but the contract names 1 labels"),
        ({"background_index": None}, "scores have 3 classes, but the contract names 2 labels"),
        ({"boxes__shape": (1, 5)}, r"'boxes' has shape \(1, 4\), the contract says \(1, 5\)"),
        ({"boxes__scale": 0.01}, r"'boxes' has scale 0\.0039.*says 0\.01"),
        ({"scores__zero_point": 3}, "'scores' has zero_point 0, the contract says 3"),
        ({"scores__dtype": "int8"}, "'scores' has dtype uint8, the contract says int8"),
        ({"scores__name": "classes"}, r"has no output 'classes', only \['boxes', 'scores'\]"),
        ({"input__tensor__scale": 0.5}, "'image' has scale"),
        ({"input__tensor__zero_point": 0}, "'image' has zero_point 128, the contract says 0"),
        ({"input__size_hw": (64, 64)}, r"input shape \(1, 32, 32, 3\) is not \(1, 64, 64, 3\)"),
        ({"signature": "other"}, r"has no signature 'other', only \['serving_default'\]"),
        ({"decoder__kind": "ssd9"}, "decoder 'ssd9'.*update quantdet"),
    ],
)
def test_contract_that_does_not_fit(own_model, changes, message):
    spoil(own_model, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        Detector(own_model)
    assert str(own_model) in str(caught.value)


def test_missing_model(tmp_path):
    with pytest.raises(ModelError, match=r"none\.tflite: no such model file or run folder"):
        Detector(tmp_path / "none.tflite")


def test_damaged_model_never_reaches_litert(own_model):
    content = bytearray(own_model.read_bytes())
    content[len(content) // 2] ^= 255
    own_model.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.tflite: is damaged.*sha256 differs.*export"):
        Detector(own_model)


def test_truncated_model_whose_contract_has_no_sha256(own_model):
    spoil(own_model, sha256="")
    own_model.write_bytes(own_model.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model\.tflite: is no whole \.tflite.*copy it again"):
        Detector(own_model)


def test_a_device_needs_no_training_package(model, tmp_path, red):
    Image.fromarray(red).save(tmp_path / "red.png")
    code = (
        "import sys; from quantdet.runtime.detector import Detector\n"
        f"print(Detector({str(model)!r}).predict({str(tmp_path / 'red.png')!r}).names())\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'cv2', 'matplotlib', 'pandas'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['red']", "[]"]
    assert done.stderr == ""


def test_what_was_found_shows_itself_on_its_picture(models, tmp_path):
    detector = Detector(str(models["ssd-uint8"]))
    picture = squares()
    Image.fromarray(picture).save(tmp_path / "squares.png")
    found = detector.predict(str(tmp_path / "squares.png"))
    shown = np.asarray(Image.open(io.BytesIO(found._repr_png_())))
    np.testing.assert_array_equal(shown, draw_detections(picture, found))
    assert found[:1]._repr_png_() == detector.predict(picture)[:1]._repr_png_()


def test_a_list_is_a_batch(model, red):
    detector = Detector(model)
    blue = np.ascontiguousarray(red[..., ::-1])
    both = detector.predict([red, blue])
    assert [found.names() for found in both] == [["red"], ["blue"]]
    assert detector.predict((red,))[0].to_list() == detector.predict(red).to_list()
    assert detector.predict([]) == []


@pytest.mark.parametrize("picture", [None, 3, {"a": 1}, [None]])
def test_what_is_no_picture_is_refused(model, picture):
    with pytest.raises(DataError, match=r"picture is \w+; give a path, the bytes of a file"):
        Detector(model).predict(picture)
