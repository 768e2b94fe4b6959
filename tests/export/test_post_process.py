"""The variant that decodes inside the file answers as its operator should."""

from __future__ import annotations

import numpy as np
import pytest

from quantdet import Detector
from quantdet.boxes import clip, decode_boxes
from quantdet.data.scenes import generate_scenes
from quantdet.detections import Detections
from quantdet.errors import ModelError
from quantdet.export.file_formats import export_file_formats
from quantdet.export.metadata import embed_contract
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.litert_file import operator_counts, read_litert
from quantdet.runtime.contract import load_contract
from quantdet.runtime.decode_ssd import contract_anchors
from quantdet.runtime.engine import Engine
from quantdet.runtime.foreign import describe_model
from quantdet.runtime.nms import class_wise_nms
from quantdet.runtime.preprocess import read_image, resize
from quantdet.runtime.pretrained import pretrained_file
from quantdet.runtime.raw import dequantize, output_specs
from quantdet.runtime.recognise import recognise_model
from tests.runtime.helpers import make_contract, solid, tiny_model


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The shipped model with post-processing."""
    out = tmp_path_factory.mktemp("postprocess")
    return export_file_formats(pretrained_file(), ["postprocess"], out)["postprocess"][0]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = generate_scenes(tmp_path_factory.mktemp("scenes"), count=12, size_hw=(300, 400))
    return [read_image(path) for path in sorted((root / "JPEGImages").glob("*.jpg"))]


def rows(found):
    """Return score, label and box of each detection, equal scores in a fixed order."""
    return sorted(
        (-round(float(score), 5), int(label), *box.round(1).tolist())
        for score, label, box in zip(found.scores, found.class_ids, found.boxes_xyxy, strict=True)
    )


def test_what_is_before_the_operator_stays(shipped):
    before, after = read_litert(pretrained_file()), read_litert(shipped)
    assert after.ops[: len(before.ops)] == before.ops
    added = operator_counts(after).items() - operator_counts(before).items()
    assert added == {("DEQUANTIZE", 2), ("LOGISTIC", 1), ("TFLite_Detection_PostProcess", 1)}
    assert after.inputs == before.inputs
    codes = EditableFile(shipped.read_bytes()).model.operatorCodes
    assert len(codes) == len(operator_counts(after))
    assert after.output_order == ("boxes", "classes", "scores", "count")


def test_contract(shipped):
    contract, before = load_contract(shipped), load_contract(pretrained_file())
    assert (contract.decoder.kind, contract.decoder.anchors) == ("post_processed", ())
    assert contract.boxes.shape == (1, before.decoder.max_detections, 4)
    for name in ("labels", "input", "task", "signature", "data_fingerprint"):
        assert getattr(contract, name) == getattr(before, name)
    assert contract.decoder.score_threshold == before.decoder.score_threshold


def expected_rows(detector, picture, min_score):
    """Return what the operator should find: an anchor's best class, boxes not yet clipped."""
    contract = detector.contract
    engine = Engine(detector.model_file)
    raw = engine.run(resize(picture, contract.input.size_hw)[None])
    anchors = contract_anchors(contract.decoder.anchors)
    encoded = dequantize(raw["boxes"][0], contract.boxes)
    boxes = decode_boxes(encoded, anchors, contract.decoder.box_coder)
    scores = 1 / (1 + np.exp(-dequantize(raw["scores"][0], contract.scores)))
    labels, best = scores.argmax(1), scores.max(1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] >= np.float32(min_score)]
    same = np.zeros(len(order), np.int64)
    kept = order[class_wise_nms(boxes[order], same, iou=contract.decoder.nms_iou, most=len(order))]
    height, width = picture.shape[:2]
    pixels = clip(boxes[kept] * np.float32([width, height, width, height]), (height, width))
    return rows(Detections(pixels, best[kept].astype(np.float32), labels[kept], contract.labels))


@pytest.mark.parametrize("threads", [1, 2])
def test_same_detections_as_computed_here(shipped, pictures, threads):
    ours, theirs = Detector.pretrained(), Detector(shipped, num_threads=threads)
    found = [rows(theirs.predict(picture, 0.02)) for picture in pictures]
    assert found == [expected_rows(ours, picture, 0.02) for picture in pictures]
    assert sum(map(len, found)) > 50


def test_alone_standing_objects_are_found_as_without_it(shipped, pictures):
    ours, theirs = Detector.pretrained(), Detector(shipped)
    for picture in pictures:
        best = ours.predict(picture, 0.02)
        assert len(best)
        assert rows(theirs.predict(picture, 0.02))[0] == rows(best)[0]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_other_types(dtype, tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(tiny_model("ssd", dtype))
    embed_contract(file, make_contract(file, "ssd"))
    (made, _) = export_file_formats(file, ["postprocess"], tmp_path)["postprocess"]
    picture = solid((0, 0, 255), (40, 80))
    picture[:20, :40] = (255, 0, 0)
    expected, found = Detector(file).predict(picture), Detector(made).predict(picture)
    assert len(expected) == 16
    assert rows(found) == rows(expected)


def test_background_column_is_left_out(tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(tiny_model("ssd", "uint8"))
    contract = make_contract(file, "ssd").model_copy(
        update={"labels": ("blue",), "background_index": 0}
    )
    embed_contract(file, contract)
    (made, _) = export_file_formats(file, ["postprocess"], tmp_path)["postprocess"]
    for color, count in (((255, 0, 0), 0), ((0, 0, 255), 16)):
        found = Detector(made).predict(solid(color, (32, 32)), 0.5)
        assert found.names() == ["blue"] * count


def test_file_without_signature(bare, tmp_path):
    (made, _) = export_file_formats(bare, ["postprocess"], tmp_path)["postprocess"]
    assert "TFLite_Detection_PostProcess:3" in Engine(made, signature="").outputs
    picture = solid((255, 0, 0), (32, 32))
    assert rows(Detector(made).predict(picture)) == rows(Detector(bare).predict(picture))


@pytest.fixture
def bare(plain, tmp_path):
    """The tiny SSD without signature, as older converters write it."""
    from quantdet.quant.litert.flatbuffer import pack_model, read_model
    from quantdet.runtime.foreign import describe_model

    model = read_model(plain["ssd"].read_bytes())
    model.signatureDefs = []
    file = tmp_path / "bare.tflite"
    file.write_bytes(pack_model(model))
    shapes = {tuple(spec.shape): name for name, spec in Engine(file).outputs.items()}
    contract = describe_model(
        file,
        labels=("red", "blue"),
        decoder=make_contract(plain["ssd"], "ssd").decoder,
        outputs={"boxes": shapes[1, 16, 4], "scores": shapes[1, 16, 2]},
    )
    embed_contract(file, contract)
    return file


def test_other_readers_find_the_outputs(shipped):
    engine = Engine(shipped)
    picture = np.zeros(engine.input.shape, np.uint8)
    assert {name: values.dtype for name, values in engine.run(picture).items()} == dict.fromkeys(
        ("boxes", "classes", "scores", "count"), np.float32
    )


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("classes", "scores", "outputs are mixed up: its operator TFLite_Detection_PostProcess"),
        ("boxes", "classes", r"boxes have shape \(1, 100\), but each box has 4 values"),
        ("count", "boxes", r"boxes have shape \(1,\), but each box has 4 values"),
        ("count", "scores", r"scores have shape \(1,\), but 100 boxes need \(100,\)"),
    ],
)
def test_outputs_that_are_mixed_up_are_refused(shipped, a, b, message):
    names = {part: part for part in ("boxes", "classes", "scores", "count")}
    names |= {a: names[b], b: names[a]}
    decoder = load_contract(shipped).decoder
    with pytest.raises(ModelError, match=message):
        describe_model(
            shipped, labels=load_contract(shipped).labels, decoder=decoder, outputs=names
        )


def test_the_operator_says_what_its_outputs_are(shipped, tmp_path):
    """Whatever they are called; the archive with our own contract is cut off."""
    content = shipped.read_bytes()
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(content[: content.index(b"PK\3\4")])
    labels = load_contract(shipped).labels
    found = recognise_model(bare, ("???", *labels)).contract
    assert (found.labels, found.decoder.kind) == (labels, "post_processed")
    assert output_specs(found) == output_specs(load_contract(shipped))
