"""`quantdet describe`: files in the layouts of other tools run by commands alone."""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from quantdet.errors import DependencyError, ExportError, ModelError
from quantdet.runtime.contract import Contract, contract_path, load_contract
from quantdet.runtime.detector import Detector
from quantdet.runtime.labels_inside import labels_inside, named, read_labels
from quantdet.runtime.recognise import Choices, recognise_model
from tests.runtime.helpers import LABELS, MODELS, YOLO_NAMES, solid

# Left half red, the rest grey: each stride's cells there are red.
HALF = np.concatenate([solid((255, 0, 0), (32, 16)), solid((128, 128, 128), (32, 16))], axis=1)
ALL_RED = 0.9999
KINDS = {
    "yolov8-float32": ("yolo", "fraction", (0, 255), "RGB"),
    "yolov8-int8": ("yolo", "fraction", (1, 255), "RGB"),
    "yolov5-float32": ("yolo_objectness", "fraction", (0, 255), "RGB"),
    "yolox-float32": ("yolo_objectness", "cell", (0, 1), "BGR"),
}


@pytest.fixture(params=YOLO_NAMES)
def yolo(request, tmp_path):
    file = tmp_path / f"{request.param}.tflite"
    shutil.copy(MODELS / file.name, file)
    return file


@pytest.fixture
def yolov8(tmp_path):
    file = tmp_path / "yolov8.tflite"
    shutil.copy(MODELS / "yolov8-float32.tflite", file)
    return file


def put_inside(file, **texts):
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in texts.items():
            archive.writestr(name.replace("__", "."), text)


def test_yolo_heads_are_told_apart(yolo):
    found = recognise_model(yolo, LABELS).contract
    decoder, spec = found.decoder, found.input
    assert KINDS[yolo.stem] == (
        decoder.kind,
        decoder.box_unit,
        (round(spec.pixel_offset), round(spec.pixel_scale)),
        spec.color_order,
    )
    assert spec.letterbox == 114
    assert Contract.model_validate_json(found.model_dump_json()) == found


def test_the_cells_that_are_red_are_found(yolo):
    recognise_model(yolo, LABELS).contract.save(contract_path(yolo))
    coarse = "int8" in yolo.name  # a sigmoid of 8 bits ends at 255/256
    found = Detector(yolo, threshold=0.99 if coarse else ALL_RED).predict(HALF)
    red = "blue" if "yolox" in yolo.name else "red"  # it takes BGR
    assert set(found.names()) == {red}
    # Two columns of stride 8 and one of stride 16, of 4 and 2 rows; none of stride 32.
    expected = [[x, y, x + 8, y + 8] for x in (0, 8) for y in range(0, 32, 8)]
    expected += [[0, y, 16, y + 16] for y in (0, 16)]
    expected += [[0, 0, 32, 32]] if coarse else []
    boxes = np.round(found.boxes_xyxy).astype(int).tolist()
    assert sorted(boxes) == sorted(expected)


def test_boxes_go_back_to_a_picture_of_another_shape(yolov8):
    """64 x 32 pixels lie in rows 8 to 24 of the input, half as large as they are."""
    recognise_model(yolov8, LABELS).contract.save(contract_path(yolov8))
    wide = solid((255, 0, 0), (32, 64))
    found = Detector(yolov8, threshold=ALL_RED).predict(wide)
    # Only cells of stride 8 are all red.
    expected = [[x, y, x + 16, y + 16] for x in range(0, 64, 16) for y in (0, 16)]
    assert sorted(np.round(found.boxes_xyxy).tolist()) == expected
    stretched = recognise_model(yolov8, LABELS, Choices(letterbox=False)).contract
    stretched.save(contract_path(yolov8))
    assert len(Detector(yolov8, threshold=ALL_RED).predict(wide)) == 21


@pytest.mark.parametrize("labels", [("one",), ("a", "b", "c", "d")])
def test_a_number_of_labels_that_does_not_fit_is_refused(yolov8, labels):
    with pytest.raises(ModelError, match=r"none of the layouts.*check the labels"):
        recognise_model(yolov8, labels)


def test_three_labels_on_an_output_of_six_columns_are_no_yolo(yolov8):
    """Without objectness there is no score column that stays below 0."""
    contract = recognise_model(yolov8, LABELS).contract
    spoilt = contract.model_copy(update={"labels": ("a", "b", "c")})
    spoilt.save(contract_path(yolov8))
    with pytest.raises(ModelError, match="3 labels need 7 values a box"):
        Detector(yolov8).predict(HALF)


def test_raw_files_of_ours_have_no_layout_of_others(models):
    with pytest.raises(ModelError, match="none of the layouts"):
        recognise_model(models["grid-uint8"], LABELS)


def test_file_with_our_contract_inside_runs_as_it_is(tmp_path):
    from quantdet.runtime.pretrained import pretrained_file

    with pytest.raises(ModelError, match="has its contract inside"):
        recognise_model(pretrained_file(), LABELS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.json", json.dumps({"task": "detect", "names": {"1": "blue", "0": "red"}})),
        ("temp_meta.txt", str({"task": "detect", "names": {0: "red", 1: "blue"}})),
        ("metadata.yaml", "task: detect\nnames:\n  0: red\n  1: blue\n"),
        ("metadata.yaml", "names: [red, blue]\n"),
        ("labelmap.txt", "red\nblue\n\n"),
        ("names.txt", "red\r\nblue"),
        ("names.txt", "\ufeffred\r\nblue"),
    ],
)
def test_labels_inside(yolov8, name, text):
    pytest.importorskip("yaml")
    put_inside(yolov8, **{name.replace(".", "__"): text})
    found = labels_inside(yolov8)
    assert found.labels == LABELS
    assert found.source == f"{name} inside the file"


def test_labels_of_ultralytics_go_before_others(yolov8):
    put_inside(yolov8, labels__txt="a\nb", metadata__json=json.dumps({"names": ["red", "blue"]}))
    assert labels_inside(yolov8).labels == LABELS


def test_no_labels_inside(yolov8):
    assert labels_inside(yolov8) is None
    put_inside(yolov8, a__txt="x", b__txt="y")  # which of them?
    assert labels_inside(yolov8) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "has no names"),
        ("[1, 2]", "has no names"),
        ('{"names": 3}', "has no names"),
        ('{"names": {"x": "red"}}', "has no names"),
        ('{"names": [["red"], "blue"]}', "has no names"),
        ('{"names": []}', "has no names"),
        ('{"names": ["a"], "task": "segment"}', "task is 'segment'"),
    ],
)
def test_description_that_names_no_classes(yolov8, text, message):
    put_inside(yolov8, metadata__json=text)
    with pytest.raises(ModelError, match=message):
        labels_inside(yolov8)


def test_a_class_number_without_end_is_refused(yolov8):
    put_inside(yolov8, temp_meta__txt="{'task': 'detect', 'names': {1e999: 'red', 1: 'blue'}}")
    with pytest.raises(ModelError, match="has no names"):
        labels_inside(yolov8)


def test_a_label_of_two_lines_is_refused(yolov8):
    with pytest.raises(ModelError, match=r"label 'a\\nb' has a line break"):
        recognise_model(yolov8, ("a\nb", "c"))


def test_a_label_that_stands_twice_is_refused(yolov8):
    with pytest.raises(ModelError, match="label 'a' stands twice; give each class a name"):
        recognise_model(yolov8, ("a", "a"))


def test_a_label_file_that_an_editor_marked_as_utf8(tmp_path):
    (tmp_path / "labels.txt").write_text("red\nblue\n", "utf-8-sig")
    assert read_labels(tmp_path / "labels.txt").labels == LABELS


def test_an_empty_label_file_has_no_labels(yolov8):
    put_inside(yolov8, labelmap__txt="\n\n")
    assert labels_inside(yolov8) is None


def test_yaml_that_unfolds_without_end(tmp_path):
    pytest.importorskip("yaml")
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "metadata.yaml").write_text("\n".join([*rows, "names: *a11"]))
    with pytest.raises(ModelError, match="has no names"):
        read_labels(tmp_path / "metadata.yaml")


def test_yaml_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    (tmp_path / "metadata.yaml").write_text("names: [a]")
    with pytest.raises(DependencyError, match="pip install pyyaml"):
        read_labels(tmp_path / "metadata.yaml")


def test_background_line_and_gaps():
    lines = ("???", "person", "???", "car")
    assert named(lines, has_background_line=True) == ("person", "unused 2", "car")
    assert named(lines, has_background_line=False)[0] == "unused 1"
    assert named(("person", "car"), has_background_line=True) == ("person", "car")


def test_command_describes_and_predict_runs(quantdet, yolov8, tmp_path):
    put_inside(yolov8, metadata__json=json.dumps({"names": list(LABELS)}))
    Image.fromarray(HALF).save(tmp_path / "half.png")
    code, said, _ = quantdet("describe", yolov8)
    assert code == 0
    assert "YOLOv8" in said
    assert "metadata.json inside the file" in said
    code, said, _ = quantdet("predict", yolov8, tmp_path / "half.png", "--threshold", ALL_RED)
    assert code == 0
    assert "10 objects" in said


def test_command_never_overwrites_unasked(quantdet, yolov8, tmp_path):
    (tmp_path / "names.txt").write_text("red\nblue\n")
    contract_path(yolov8).write_text("mine")
    options = ("describe", yolov8, "--labels", tmp_path / "names.txt")
    code, _, said = quantdet(*options)
    assert (code, contract_path(yolov8).read_text()) == (2, "mine")
    assert "--overwrite" in said
    code, said, _ = quantdet(*options, "--overwrite", "--json", "--stretch", "--bgr")
    assert code == 0
    assert json.loads(said)["labels_from"] == str(tmp_path / "names.txt")
    spec = load_contract(yolov8).input
    assert (spec.letterbox, spec.color_order) == (None, "BGR")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "has no labels inside; give --labels FILE"),
        (("--labels", "coco80"), "none of the layouts"),
        (("--labels", "missing.txt"), "missing.txt: no readable label file"),
        (("--labels", "NAMES", "--pixels", "1"), "expected LOW,HIGH"),
        (("--labels", "NAMES", "--pixels", "1,1"), "expected LOW,HIGH"),
    ],
)
def test_what_the_command_lacks_is_named(quantdet, yolov8, tmp_path, options, message):
    (tmp_path / "names.txt").write_text("red\nblue\n")
    given = [tmp_path / "names.txt" if item == "NAMES" else item for item in options]
    code, _, said = quantdet("describe", yolov8, *given)
    assert code == 2
    assert message in said
    assert not contract_path(yolov8).exists()


def test_pixels_of_a_float_input(quantdet, yolov8, tmp_path):
    (tmp_path / "names.txt").write_text("red\nblue\n")
    code, _, _ = quantdet(
        "describe", yolov8, "--labels", tmp_path / "names.txt", "--pixels", "-1,1"
    )
    spec = load_contract(yolov8).input
    assert (code, spec.pixel_offset, spec.pixel_scale) == (0, 127.5, 127.5)


def test_first_word_of_a_foreign_file_names_the_way(quantdet, yolov8, tmp_path):
    Image.fromarray(HALF).save(tmp_path / "half.png")
    code, _, said = quantdet("predict", yolov8, tmp_path / "half.png")
    assert code == 2
    assert "quantdet describe yolov8.tflite" in said


def test_the_page_leaves_it_to_the_server(yolov8):
    pytest.importorskip("starlette")
    from quantdet.web.server import detect
    from quantdet.web.site import load_models

    recognise_model(yolov8, LABELS).contract.save(contract_path(yolov8))
    (shown,) = load_models([yolov8])
    assert shown.litertjs_problem() is None
    assert "no decoder 'yolo'" in shown.browser_problem()
    stream = io.BytesIO()
    Image.fromarray(HALF).save(stream, "png")
    answer = detect(shown.detector, stream.getvalue())
    every = shown.detector.predict(HALF, threshold=0.0)
    assert [item["score"] for item in answer["detections"]] == every.scores.tolist()


def test_no_c_source_decodes_it(yolov8):
    pytest.importorskip("jinja2")
    from quantdet.export.file_formats import export_file_formats

    recognise_model(yolov8, LABELS).contract.save(contract_path(yolov8))
    with pytest.raises(ExportError, match="no decoder 'yolo'"):
        export_file_formats(yolov8, ["c-array"], yolov8.parent / "c")
