"""Metadata changes no integer of a model, says what the contract says, and is enough by itself."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest

from quantdet import Detector
from quantdet.boxes import as_boxes, iou_matrix
from quantdet.data.scenes import generate_scenes
from quantdet.errors import ExportError, ModelError
from quantdet.export.metadata import embed_contract, with_metadata
from quantdet.quant.litert.flatbuffer import read_model
from quantdet.quant.litert_file import read_litert
from quantdet.runtime.contract import contract_path, file_sha256, load_contract
from quantdet.runtime.decode_ssd import contract_anchors
from quantdet.runtime.embedded import CONTRACT_NAME
from quantdet.runtime.engine import Engine
from quantdet.runtime.preprocess import read_image
from quantdet.runtime.pretrained import pretrained_file
from tests.export.conftest import KINDS
from tests.runtime.helpers import make_contract, solid


@pytest.fixture
def file(tiny):
    """The SSD with metadata, and its contract beside it."""
    return tiny["ssd"]


def spoil(file, old, new):
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_computes_changes(plain, tiny, kind):
    original, written = plain[kind], tiny[kind]
    before, after = read_litert(original), read_litert(written)
    assert (before.ops, before.inputs, before.outputs) == (after.ops, after.inputs, after.outputs)
    assert before.output_order == after.output_order
    assert len(before.tensors) == len(after.tensors)
    for a, b in zip(before.tensors, after.tensors, strict=True):
        assert (a.name, a.shape, a.dtype, a.zero_point) == (b.name, b.shape, b.dtype, b.zero_point)
        np.testing.assert_array_equal(a.scales, b.scales)
        np.testing.assert_array_equal(a.data, b.data)
    picture = np.random.default_rng(0).integers(0, 256, Engine(original).input.shape, np.uint8)
    expected = Engine(original).run(picture)
    for name, values in Engine(written).run(picture).items():
        np.testing.assert_array_equal(values, expected[name])


def test_constants_stay_aligned(file):
    content = np.frombuffer(file.read_bytes(), np.uint8)
    start = content.ctypes.data
    offsets = [
        buffer.data.ctypes.data - start
        for buffer in read_model(content).buffers
        if buffer.data is not None and not isinstance(buffer.data, int)
    ]
    assert offsets
    assert all(offset % 16 == 0 for offset in offsets)


def test_twice_is_once(file):
    once = file.read_bytes()
    embed_contract(file, load_contract(file))
    assert file.read_bytes() == once


def test_files_inside(file):
    with zipfile.ZipFile(file) as archive:
        # MediaPipe reads stored files only.
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == ["labels.txt", CONTRACT_NAME]
        assert archive.read("labels.txt") == b"red\nblue\n"


def test_labels_have_a_line_for_each_column(tiny):
    with zipfile.ZipFile(tiny["single"]) as archive:
        assert archive.read("labels.txt") == b"background\nred\nblue\n"


def test_single_file_is_enough(file, tmp_path):
    lone = tmp_path / "lone.tflite"
    shutil.copy(file, lone)
    picture = solid((255, 0, 0), (40, 80))
    found, expected = Detector(lone).predict(picture), Detector(file).predict(picture)
    assert len(found)
    np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)
    outside = load_contract(file)
    assert outside.sha256 == file_sha256(file)
    assert load_contract(lone) == outside.model_copy(update={"sha256": load_contract(lone).sha256})


def test_contract_beside_the_file_has_the_last_word(file):
    ours = load_contract(file).model_copy(update={"labels": ("apple", "pear")})
    ours.save(contract_path(file))
    assert Detector(file).labels == ("apple", "pear")


def test_damaged_single_file(file):
    contract_path(file).unlink()
    spoil(file, b"CONVERSION_METADATA", b"CONVERSION_METADATQ")
    with pytest.raises(ModelError, match=r"ssd\.tflite: is damaged.*contract inside.*copy"):
        Detector(file)


def test_broken_contract_inside(file):
    contract_path(file).unlink()
    spoil(file, b'{"version":1', b'{"version":7')
    with pytest.raises(ModelError, match=r"ssd\.contract\.json: not found.*none inside"):
        Detector(file)  # the archive's check sum notices


def test_contract_inside_of_a_later_version(file):
    later = make_contract(file, "ssd").model_copy(update={"version": 7})
    file.write_bytes(with_metadata(file.read_bytes(), later))
    contract_path(file).unlink()
    with pytest.raises(ModelError, match=r"the contract inside: not a valid contract.*version"):
        Detector(file)


def test_truncated_single_file(file):
    contract_path(file).unlink()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"not found.*only with its contract.*none inside"):
        Detector(file)


def test_output_that_the_file_lacks(file):
    contract = make_contract(file, "ssd")
    wrong = contract.model_copy(
        update={"scores": contract.scores.model_copy(update={"name": "points"})}
    )
    with pytest.raises(ExportError, match=r"'points' is not one of the file's.*fix"):
        with_metadata(file.read_bytes(), wrong)


def test_shipped_model_carries_its_contract(tmp_path):
    lone = tmp_path / "lone.tflite"
    shutil.copy(pretrained_file(), lone)
    inside, beside = load_contract(lone), load_contract(pretrained_file())
    assert inside.model_dump(exclude={"sha256"}) == beside.model_dump(exclude={"sha256"})


# What MediaPipe's own classes read.


def _read(content):
    pytest.importorskip("mediapipe", reason="reads metadata; pip install mediapipe")
    from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata

    model = read_model(content)
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    buffer = bytes(model.buffers[entry.buffer].data)
    assert buffer[4:8] == b"M001"
    return metadata.ModelMetadataT.InitFromPackedBuf(buffer, 0)


def test_fields_as_mediapipe_reads_them(file):
    found = _read(file.read_bytes())
    assert (found.name, found.minParserVersion) == (b"localizer 32x32", b"1.5.0")
    assert found.associatedFiles[0].name == CONTRACT_NAME.encode()
    (graph,) = found.subgraphMetadata
    (image,) = graph.inputTensorMetadata
    assert image.content.contentProperties.colorSpace == 1
    normalization = image.processUnits[0].options
    assert (list(normalization.mean), list(normalization.std)) == ([128.0], [127.5])
    assert (list(image.stats.min), list(image.stats.max)) == ([0.0], [255.0])
    outputs = {item.name: item for item in graph.outputTensorMetadata}
    names = {"boxes": b"location", "scores": b"score"}
    assert list(outputs) == [names[part] for part in read_litert(file).output_order]
    box = outputs[b"location"].content.contentProperties
    assert (list(box.index), box.type, box.coordinateType) == ([1, 0, 3, 2], 1, 0)
    score = outputs[b"score"]
    assert (score.associatedFiles[0].name, score.associatedFiles[0].type) == (b"labels.txt", 2)
    assert score.processUnits[0].options.globalScoreThreshold == 0.5


def test_anchors_as_mediapipe_reads_them():
    content = pretrained_file().read_bytes()
    (custom,) = _read(content).subgraphMetadata[0].customMetadata
    from mediapipe.tasks.metadata import object_detector_metadata_schema_py_generated as detector

    options = detector.ObjectDetectorOptionsT.InitFromPackedBuf(bytes(custom.data), 0)
    contract = load_contract(pretrained_file())
    anchors = options.ssdAnchorsOptions.fixedAnchorsSchema.anchors
    np.testing.assert_array_equal(
        np.float32([(a.yCenter, a.xCenter, a.height, a.width) for a in anchors]),
        contract_anchors(contract.decoder.anchors),
    )
    decoding = options.tensorsDecodingOptions
    assert (decoding.numClasses, decoding.numBoxes, decoding.numCoords) == (20, len(anchors), 4)
    assert (decoding.yScale, decoding.xScale, decoding.hScale, decoding.wScale) == (
        contract.decoder.box_coder
    )
    assert decoding.sigmoidScore and decoding.applyExponentialOnBoxSize


def test_mediapipe_finds_the_same_best_object(tmp_path):
    mediapipe = pytest.importorskip("mediapipe", reason="runs the file; pip install mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    root = generate_scenes(tmp_path, count=12, size_hw=(300, 300))
    ours = Detector.pretrained()
    options = vision.ObjectDetectorOptions(
        base_options=BaseOptions(model_asset_path=str(pretrained_file())), max_results=1
    )
    with vision.ObjectDetector.create_from_options(options) as theirs:
        for path in (root / "JPEGImages").glob("*.jpg"):
            pixels = read_image(path)
            expected = ours.predict(pixels, 0.02)
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            (found,) = theirs.detect(image).detections
            (category,) = found.categories
            assert category.category_name == expected.names()[0]
            assert category.score == pytest.approx(expected.scores[0], abs=1e-5)
            box = found.bounding_box
            corners = np.array([box.origin_x, box.origin_y, box.origin_x, box.origin_y])
            corners[2:] += box.width, box.height
            # Not the same: whole pixels, another one of equal scores, boxes that leave the picture.
            assert iou_matrix(as_boxes(corners), expected.boxes_xyxy[:1])[0, 0] > 0.8
