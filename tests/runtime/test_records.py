"""Formats for other tools: what is written is what was found."""

import json
import os
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from quantdet.data import load_dataset
from quantdet.errors import ConfigError
from quantdet.runtime.detector import Detector
from quantdet.runtime.predict import predict_to_folder
from quantdet.runtime.predictions import Predictions
from quantdet.runtime.sources import BrokenOffError
from tests.runtime.helpers import mjpeg_server, solid, write_video
from tests.runtime.test_sources import broken_video


def run(model, inputs, out, *formats, **options):
    detector = Detector(model)
    options = {"save_images": False, "formats": formats, **options}
    return predict_to_folder(detector, inputs, out, **options)


def lines(file):
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_json_lines_as_they_come(model, pictures, tmp_path):
    file = tmp_path / "out" / "predictions.jsonl"
    seen = []
    results = run(
        model,
        [pictures],
        tmp_path / "out",
        "json",
        "jsonl",
        on_prediction=lambda item: seen.append((item, lines(file))),
    )
    assert [len(there) for _, there in seen] == [1, 2, 3]
    assert lines(file) == [item.to_dict() for item in results] == [i.to_dict() for i, _ in seen]
    assert Predictions.read(tmp_path / "out" / "predictions.json").record_files == (
        "predictions.jsonl",
    )


def test_without_json_nothing_is_kept(model, pictures, tmp_path):
    (pictures / "broken.png").write_text("none")
    results = run(model, [pictures], tmp_path / "out", "jsonl")
    assert [item.source for item in results] == [str(pictures / "broken.png")]
    assert len(lines(tmp_path / "out" / "predictions.jsonl")) == 4
    found = Predictions.read(tmp_path / "out" / "predictions.json")
    assert [item.source for item in found.predictions] == [str(pictures / "broken.png")]


def test_nothing_is_left_where_no_picture_can_be_read(model, tmp_path):
    (tmp_path / "broken.png").write_text("none")
    with pytest.raises(Exception, match="not a picture"):
        run(model, [tmp_path / "broken.png"], tmp_path / "out", "jsonl", "csv", "coco", "voc")
    assert not (tmp_path / "out").exists()


def test_the_same_folder_again_replaces_ours(model, pictures, tmp_path):
    every = ("json", "jsonl", "csv", "coco", "voc", "yolo")
    for _ in range(2):
        run(model, [pictures], tmp_path / "out", *every)
    files = sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert files == [
        *("blue.txt", "blue.xml", "data.yaml", "grey.txt", "grey.xml", "predictions.coco.json"),
        *("predictions.csv", "predictions.json", "predictions.jsonl", "red.txt", "red.xml"),
    ]


def test_coco(model, pictures, tmp_path):
    results = run(model, [pictures], tmp_path / "out", "json", "coco")
    content = json.loads((tmp_path / "out" / "predictions.coco.json").read_text("utf-8"))
    assert [item["file_name"] for item in content["images"]] == ["blue.png", "grey.png", "red.png"]
    assert content["categories"] == [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    first, second = content["annotations"]
    assert (first["image_id"], first["category_id"], second["image_id"]) == (1, 2, 3)
    (found,) = results[0].detections.to_list()
    x1, y1, x2, y2 = found["box_xyxy"]
    assert first["bbox"] == [x1, y1, pytest.approx(x2 - x1), pytest.approx(y2 - y1)]
    assert first["score"] == found["score"]


def truth_boxes(dataset):
    samples = {sample.image_path.name: sample for sample in dataset.splits["train"]}
    return {
        name: [(item.label, np.round(item.box_xyxy, 1).tolist()) for item in sample.objects]
        for name, sample in samples.items()
    }


def found_boxes(results):
    return {
        item.source.rsplit("/", 1)[1]: [
            (found["label"], np.round(found["box_xyxy"], 1).tolist())
            for found in item.detections.to_list()
        ]
        for item in results
    }


def test_yolo_is_read_back_with_the_same_boxes(model, pictures, tmp_path):
    out = tmp_path / "out"
    results = run(model, [pictures], out, "json", "yolo")
    (out / "yolo" / "images").mkdir()
    pictures.rename(out / "yolo" / "images" / "train")
    assert truth_boxes(load_dataset(out / "yolo")) == found_boxes(results)


def test_voc_is_read_back_with_the_same_boxes(model, pictures, tmp_path):
    out = tmp_path / "out"
    results = run(model, [pictures], out, "json", "voc")
    pictures.rename(out / "voc" / "JPEGImages")
    found = truth_boxes(load_dataset(out / "voc"))
    assert found == {k: v for k, v in found_boxes(results).items() if k in found}
    assert {"blue.png", "red.png"} <= set(found)
    root = ET.parse(out / "voc" / "Annotations" / "red.xml").getroot()
    assert float(root.findtext("object/score")) == results[2].detections.to_list()[0]["score"]


def test_frames_have_names_of_their_own(model, tmp_path):
    write_video(tmp_path / "v.mp4", [(255, 0, 0)] * 5)
    run(model, [tmp_path / "v.mp4"], tmp_path / "out", "jsonl", "voc", every=2)
    assert sorted(p.name for p in (tmp_path / "out" / "voc" / "Annotations").iterdir()) == [
        f"v_frame_00000{number}.xml" for number in (0, 2, 4)
    ]
    assert [item["frame"] for item in lines(tmp_path / "out" / "predictions.jsonl")] == [0, 2, 4]


def test_unknown_format(model, pictures, tmp_path):
    with pytest.raises(ConfigError, match="unknown; choose of json, jsonl, csv, coco, yolo, voc"):
        run(model, [pictures], tmp_path / "out", "xml")


def test_without_formats_nothing_is_written(model, pictures, tmp_path):
    assert run(model, [pictures / "red.png"], tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_video_that_breaks_off_keeps_its_frames(model, tmp_path):
    video = broken_video(tmp_path / "half.avi")
    results = run(model, [video], tmp_path / "out", "json", save_images=True)
    *good, broken = results
    assert [item.error for item in good] == [None] * len(good)
    assert (broken.frame, broken.drawn) == (len(good), None)
    assert "breaks off" in broken.error
    assert (tmp_path / "out" / "half.mp4").stat().st_size > 0
    assert issubclass(BrokenOffError, Exception)


def test_command_says_that_a_video_breaks_off(quantdet, model, tmp_path):
    video = broken_video(tmp_path / "half.avi")
    code, said, _ = quantdet("predict", model, video, "--no-draw", "--json")
    assert code == 2
    assert "breaks off after" in json.loads(said)[-1]["error"]


def test_streams_together(quantdet, model, tmp_path):
    with mjpeg_server([(255, 0, 0)] * 3) as first, mjpeg_server([(0, 0, 255)] * 3) as second:
        options = ("--newest", "--no-draw", "--format", "jsonl", "--json", "--max-frames", 1)
        code, said, _ = quantdet("predict", model, first, second, *options)
    assert code == 0
    found = {
        item["source"]: item["detections"][0]["label"]
        for item in map(json.loads, said.splitlines())
    }
    assert found == {first: "red", second: "blue"}


def test_memory_does_not_grow_with_the_frames(model, tmp_path, monkeypatch):
    """Of 400 frames no more is kept than of 200."""
    import tracemalloc

    from quantdet.runtime import live

    def endless(source, every=1):
        while True:
            yield solid((255, 0, 0), (32, 32))

    monkeypatch.setattr(live, "read_frames", endless)
    held = []

    def measure(_):
        held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        run(model, ["camera:0"], tmp_path / "out", "jsonl", on_prediction=measure, max_frames=400)
    finally:
        tracemalloc.stop()
    assert abs(held[-1] - held[200]) < 20_000
    assert len(lines(tmp_path / "out" / "predictions.jsonl")) == 400


def test_what_is_left_out_is_said(quantdet, model, pictures):
    (pictures / "notes.txt").write_text("x")
    code, _, said = quantdet("predict", model, pictures)
    assert code == 0
    assert "left out" in said
    assert "notes.txt" in said


def test_one_box_an_object_across_classes(models):
    from quantdet.runtime.contract import DecoderSpec

    plain, agnostic = (Detector(models["ssd-uint8"], agnostic_nms=on) for on in (False, True))
    assert DecoderSpec(kind="ssd").agnostic_nms is False
    assert agnostic.contract.decoder.agnostic_nms
    picture = solid((255, 0, 255), (32, 32))
    both, one = (d.predict(picture, threshold=0.01) for d in (plain, agnostic))
    assert len(both) == 2 * len(one)
    assert len(one) == 16


def test_names_that_xml_cannot_hold(model, tmp_path):
    name = os.fsdecode(b"stra\xdfe\x01.png")
    Image.fromarray(solid((255, 0, 0), (20, 30))).save(tmp_path / "red.png")
    (tmp_path / "red.png").rename(tmp_path / name)
    run(model, [tmp_path / name], tmp_path / "out", "jsonl", "csv", "coco", "yolo", "voc")
    (file,) = (tmp_path / "out" / "voc" / "Annotations").iterdir()
    assert ET.parse(file).findtext("filename") == "stra?e?.png"
