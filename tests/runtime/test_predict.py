import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from quantdet.errors import ConfigError, DataError, DependencyError, QuantdetError
from quantdet.runtime.contract import contract_path
from quantdet.runtime.detector import Detector
from quantdet.runtime.predict import predict_to_folder
from quantdet.runtime.predictions import Predictions
from quantdet.runtime.preprocess import read_image
from quantdet.runtime.sources import find_sources, read_frames
from tests.runtime.helpers import make_contract, solid, write_video


@pytest.fixture
def detector(model):
    return Detector(model)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folder_of_pictures(detector, pictures, tmp_path):
    out = tmp_path / "out"
    seen = []
    before = contents(pictures)
    results = predict_to_folder(detector, [pictures], out, progress=lambda *step: seen.append(step))
    assert [result.detections.names() for result in results] == [["blue"], [], ["red"]]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {path.name for path in out.iterdir()} == {
        "blue.jpg",
        "grey.jpg",
        "red.jpg",
        "predictions.json",
    }
    assert contents(pictures) == before
    drawn = read_image(out / "red.jpg").astype(int)
    assert drawn.shape == (200, 300, 3)
    # The box from x 75 to 262, y 25 to 125 is there, what is outside stays red.
    assert np.abs(drawn[180, 150] - [255, 0, 0]).max() < 30
    assert np.abs(drawn[75, 75] - [255, 0, 0]).max() > 60


def test_predictions_json(detector, pictures, tmp_path):
    results = predict_to_folder(detector, [pictures / "red.png"], tmp_path / "out", threshold=0.25)
    content = json.loads((tmp_path / "out" / "predictions.json").read_text("utf-8"))
    assert content["format"] == "quantdet-predictions-1"
    assert content["threshold"] == 0.25
    assert content["labels"] == ["red", "blue"]
    assert content["model_sha256"] == detector.contract.sha256
    assert content["predictions"] == [results[0].to_dict()]
    (record,) = content["predictions"]
    assert record["source"] == str(pictures / "red.png")
    assert (record["frame"], record["drawn"], record["error"]) == (None, "red.jpg", None)
    assert record["size_hw"] == [200, 300]
    assert record["inference_ms"] > 0
    assert record["detections"][0]["label"] == "red"


def test_csv_has_a_row_for_each_detection(detector, pictures, tmp_path):
    out = tmp_path / "out"
    results = predict_to_folder(detector, [pictures], out, save_csv=True, threshold=0)
    rows = list(csv.DictReader((out / "predictions.csv").open(encoding="utf-8")))
    assert len(rows) == sum(len(result.detections) for result in results) == 3
    (found,) = results[2].detections.to_list()
    assert rows[2]["source"] == str(pictures / "red.png")
    assert rows[2]["frame"] == ""
    assert rows[2]["label"] == found["label"]
    assert float(rows[2]["score"]) == found["score"]
    assert [float(rows[2][side]) for side in ("x1", "y1", "x2", "y2")] == found["box_xyxy"]
    content = json.loads((out / "predictions.json").read_text("utf-8"))
    assert content["csv_files"] == ["predictions.csv"]
    assert len(content["drawn_files"]) == 3


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@x", "a,b", 'a"b'])
def test_no_spreadsheet_takes_a_label_for_a_formula(own_model, pictures, tmp_path, label):
    contract = make_contract(own_model, "single")
    contract.model_copy(update={"labels": (label, "blue")}).save(contract_path(own_model))
    predict_to_folder(Detector(own_model), [pictures / "red.png"], tmp_path / "out", save_csv=True)
    text = (tmp_path / "out" / "predictions.csv").read_text("utf-8")
    (row,) = csv.DictReader(text.splitlines())
    assert row["label"] == (f"'{label}" if label[0] in "=+-@" else label)


def test_csv_of_the_user_is_kept_and_ours_is_replaced(detector, pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "predictions.csv").write_text("mine")
    red = [pictures / "red.png"]
    predict_to_folder(detector, red, out, save_csv=True)
    predict_to_folder(detector, red, out)
    predict_to_folder(detector, red, out, save_csv=True)
    assert (out / "predictions.csv").read_text() == "mine"
    assert sorted(path.name for path in out.glob("*.csv")) == [
        "predictions-2.csv",
        "predictions.csv",
    ]


def test_folder_written_before_there_were_tables(detector, pictures, tmp_path):
    out = tmp_path / "out"
    predict_to_folder(detector, [pictures / "red.png"], out)
    content = json.loads((out / "predictions.json").read_text("utf-8"))
    del content["csv_files"]
    (out / "predictions.json").write_text(json.dumps(content))
    (result,) = predict_to_folder(detector, [pictures / "red.png"], out)
    assert result.drawn == "red.jpg"


def test_class_thresholds_are_told(model, pictures, tmp_path):
    def told(threshold=None, **options):
        detector = Detector(model, **options)
        predict_to_folder(detector, [pictures], tmp_path / "out", threshold=threshold)
        content = json.loads((tmp_path / "out" / "predictions.json").read_text("utf-8"))
        return content["threshold"], content["class_thresholds"]

    assert told() == (0.5, {})
    assert told(class_thresholds={"red": 0.7}) == (0.5, {"red": 0.7})
    assert told(threshold=0.2, class_thresholds={"red": 0.7}) == (0.2, {})
    assert told(classes=["red"]) == (0.5, {"blue": None})


def test_without_pictures(detector, pictures, tmp_path):
    results = predict_to_folder(detector, [pictures], tmp_path / "out", save_images=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]
    assert {result.drawn for result in results} == {None}


def test_same_stem_gets_a_number(detector, pictures, tmp_path):
    for other in ("deeper", "other"):
        (pictures / other).mkdir()
        Image.fromarray(solid((0, 0, 255), (50, 50))).save(pictures / other / "red.jpg")
    inputs = [pictures / "red.png", pictures / "deeper" / "red.jpg", pictures / "other" / "red.jpg"]
    results = predict_to_folder(detector, inputs, tmp_path / "out")
    assert [result.drawn for result in results] == ["red.jpg", "red-2.jpg", "red-3.jpg"]
    assert read_image(tmp_path / "out" / "red-3.jpg").shape == (50, 50, 3)


def test_source_pictures_are_never_written_over(detector, tmp_path):
    Image.fromarray(solid((255, 0, 0), (50, 60))).save(tmp_path / "red.jpg")
    before = (tmp_path / "red.jpg").read_bytes()
    for _ in range(2):
        (result,) = predict_to_folder(detector, [tmp_path / "red.jpg"], tmp_path)
        assert result.drawn == "red-2.jpg"
        assert (tmp_path / "red.jpg").read_bytes() == before


def test_own_output_as_input_is_kept(detector, pictures, tmp_path):
    out = tmp_path / "out"
    predict_to_folder(detector, [pictures / "red.png"], out)
    before = (out / "red.jpg").read_bytes()
    (result,) = predict_to_folder(detector, [out / "red.jpg"], out)
    assert result.drawn == "red-2.jpg"
    assert (out / "red.jpg").read_bytes() == before


def test_earlier_output_is_replaced_foreign_files_are_not(detector, pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "blue.jpg").write_text("mine")
    first = predict_to_folder(detector, [pictures], out)
    predict_to_folder(detector, [pictures / "grey.png"], out)
    again = predict_to_folder(detector, [pictures], out)
    assert (
        [r.drawn for r in first]
        == [r.drawn for r in again]
        == [
            "blue-2.jpg",
            "grey.jpg",
            "red.jpg",
        ]
    )
    assert (out / "blue.jpg").read_text() == "mine"


@pytest.mark.parametrize("content", ["{}", "[1]", "not json", '{"format": "coco"}'])
def test_foreign_predictions_json_is_not_replaced(detector, pictures, tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    (out / "predictions.json").write_text(content)
    with pytest.raises(QuantdetError, match=r"predictions\.json: was not written by.*--out"):
        predict_to_folder(detector, [pictures], out)
    assert contents(out) == {"predictions.json": content.encode()}


def test_predictions_json_of_a_later_layout_is_not_replaced(detector, pictures, tmp_path):
    out = tmp_path / "out"
    predict_to_folder(detector, [pictures], out, save_images=False)
    file = out / "predictions.json"
    file.write_text(file.read_text("utf-8").replace("predictions-1", "predictions-7"))
    before = contents(out)
    with pytest.raises(QuantdetError, match=r"predictions-7' was written by a later .*--out"):
        predict_to_folder(detector, [pictures], out)
    assert contents(out) == before


def test_predictions_come_back_from_their_file(detector, pictures, tmp_path):
    results = predict_to_folder(detector, [pictures], tmp_path / "out")
    found = Predictions.read(tmp_path / "out" / "predictions.json")
    assert found.predictions == tuple(result.to_record() for result in results)
    assert found.drawn_files == ("blue.jpg", "grey.jpg", "red.jpg")
    assert list(found.model_dump(exclude={"predictions"})) == [
        *("format", "model", "model_sha256", "threshold", "class_thresholds", "labels"),
        *("drawn_files", "csv_files", "record_files"),
    ]


def test_bad_picture_among_good_ones(detector, pictures, tmp_path):
    (pictures / "broken.jpg").write_text("no picture")
    results = predict_to_folder(detector, [pictures], tmp_path / "out")
    errors = {result.source: result.error for result in results}
    assert "not a picture" in errors.pop(str(pictures / "broken.jpg"))
    assert set(errors.values()) == {None}
    content = json.loads((tmp_path / "out" / "predictions.json").read_text("utf-8"))
    assert "broken.jpg: not a picture" in content["predictions"][1]["error"]
    assert "broken.jpg" not in content["drawn_files"]


def test_single_bad_picture_is_an_error(detector, tmp_path):
    (tmp_path / "broken.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"broken\.jpg: not a picture"):
        predict_to_folder(detector, [tmp_path / "broken.jpg"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_bad_pictures_are_an_error(detector, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no picture")
    with pytest.raises(DataError, match=r"a\.jpg: not a picture.*the other 1"):
        predict_to_folder(detector, [tmp_path], tmp_path / "out")


def test_output_folder_is_a_file(detector, pictures, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(QuantdetError, match=r"out: is a file; choose another output folder"):
        predict_to_folder(detector, [pictures], tmp_path / "out")


def test_video(detector, tmp_path):
    video = tmp_path / "v.avi.mp4"
    write_video(video, [(255, 0, 0)] * 2 + [(0, 0, 255)] * 2, fps=5)
    out = tmp_path / "out"
    seen = []
    results = predict_to_folder(detector, [video], out, progress=lambda *step: seen.append(step))
    assert [result.frame for result in results] == [0, 1, 2, 3]
    assert [result.detections.names() for result in results] == [["red"]] * 2 + [["blue"]] * 2
    assert seen[-1] == (4, 4)
    content = json.loads((out / "predictions.json").read_text("utf-8"))
    assert [record["frame"] for record in content["predictions"]] == [0, 1, 2, 3]
    # Drawn in RGB as well: the corner that no box covers is red.
    (drawn,) = find_sources([out / "v.avi.mp4"])
    assert next(read_frames(drawn))[-6:, -6:].mean((0, 1)).argmax() == 0
    import cv2

    capture = cv2.VideoCapture(str(out / "v.avi.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    assert {path.name for path in out.iterdir()} == {"v.avi.mp4", "predictions.json"}


def test_max_frames(detector, tmp_path):
    write_video(tmp_path / "v.mp4", [(255, 0, 0)] * 4)
    seen = []
    results = predict_to_folder(
        detector,
        [tmp_path / "v.mp4"],
        tmp_path / "out",
        max_frames=2,
        progress=lambda *step: seen.append(step),
    )
    assert len(results) == 2
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(ConfigError, match="max_frames is 0"):
        predict_to_folder(detector, [tmp_path / "v.mp4"], tmp_path / "out", max_frames=0)


def test_damaged_video_among_pictures(detector, pictures, tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    results = predict_to_folder(detector, [tmp_path / "v.mp4", pictures], tmp_path / "out")
    assert "v.mp4: cannot be opened" in results[0].error
    assert not (tmp_path / "out" / "v.mp4").exists()
    assert len(results) == 4


def test_video_with_many_objects(models, tmp_path):
    video = tmp_path / "v.mp4"
    write_video(video, [(128, 128, 128), (255, 0, 0), (0, 0, 255)])
    out = tmp_path / "out"
    results = predict_to_folder(Detector(models["ssd-uint8"]), [video], out, save_csv=True)
    assert [len(result.detections) for result in results] == [0, 16, 16]
    assert set(results[1].detections.names()) == {"red"}
    rows = list(csv.DictReader((out / "predictions.csv").open(encoding="utf-8")))
    assert [row["frame"] for row in rows] == ["1"] * 16 + ["2"] * 16
    assert len(list(read_frames(find_sources([out / "v.mp4"])[0]))) == 3


def test_video_without_opencv(detector, tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DependencyError, match=r"quantdet\[video\]"):
        predict_to_folder(detector, [tmp_path / "v.mp4"], tmp_path / "out")


class InterruptedCamera:
    """Gives red frames until somebody presses Ctrl-C."""

    frames = 3

    def __init__(self, index):
        self.given = 0

    def isOpened(self):
        return True

    def get(self, what):
        return 0.0

    def grab(self):
        if self.given == self.frames:
            raise KeyboardInterrupt
        self.given += 1
        return True

    def retrieve(self):
        return True, solid((0, 0, 255), (64, 96))  # BGR

    def release(self):
        pass


def test_camera_runs_until_interrupted_and_keeps_what_it_saw(detector, tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", InterruptedCamera)
    seen = []
    results = predict_to_folder(
        detector, ["camera:0"], tmp_path, progress=lambda *step: seen.append(step)
    )
    assert [result.detections.names() for result in results] == [["red"]] * 3
    assert seen == [(1, 0), (2, 0), (3, 0)]
    assert (tmp_path / "camera-0.mp4").stat().st_size > 0
    assert (tmp_path / "predictions.json").exists()


def test_interrupt_before_the_first_frame_leaves_nothing(detector, tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(InterruptedCamera, "frames", 0)
    monkeypatch.setattr(cv2, "VideoCapture", InterruptedCamera)
    with pytest.raises(KeyboardInterrupt):
        predict_to_folder(detector, ["camera:0"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
