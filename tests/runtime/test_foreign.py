"""Models made elsewhere: described by a contract, run like ours."""

import numpy as np
import pytest

from quantdet.data.labels import VOC_CLASSES
from quantdet.errors import ModelError
from quantdet.runtime.coco import coco_labels
from quantdet.runtime.contract import DecoderSpec, contract_path
from quantdet.runtime.detector import Detector
from quantdet.runtime.engine import Engine
from quantdet.runtime.foreign import describe_model
from tests.runtime.helpers import LABELS

SINGLE = DecoderSpec(kind="single_box")


def tensor_names(file):
    """Return the names by which a file without signature knows boxes and scores."""
    shapes = {spec.shape: name for name, spec in Engine(file).outputs.items()}
    return {"boxes": shapes[1, 4], "scores": shapes[1, 3]}


def describe(file, **options):
    usual = {
        "labels": LABELS,
        "decoder": SINGLE,
        "outputs": {"boxes": "boxes", "scores": "scores"},
        "background_index": 0,
    }
    return describe_model(file, **(usual | options))


def test_file_without_signature_and_contract(bare_model, model, red):
    contract = describe(bare_model, outputs=tensor_names(bare_model))
    assert contract.signature == ""
    contract.save(contract_path(bare_model))
    assert Detector(bare_model).predict(red).to_list() == Detector(model).predict(red).to_list()


@pytest.mark.parametrize("name", ["single-uint8", "single-int8"])
def test_pixels_of_an_integer_input_are_read_from_the_file(models, name):
    spec = describe(models[name]).input
    assert (spec.pixel_offset, spec.pixel_scale) == pytest.approx((128, 127.5), abs=1e-4)


def test_pixels_of_a_float_input_must_be_said(models):
    file = models["single-float32"]
    with pytest.raises(ModelError, match=r"is float32.*give pixels, e\.g\. \(127\.5, 127\.5\)"):
        describe(file)
    assert describe(file, pixels=(127.5, 127.5)).input.pixel_offset == 127.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": {"scores": "scores"}}, "give boxes and scores"),
        ({"outputs": {"boxes": "boxes"}}, "scores have 4 classes"),
        ({"outputs": {"boxes": "boxes", "scores": "scores", "x": "y"}}, r"names \['x'\]"),
        ({"outputs": {"boxes": "b", "scores": "scores"}}, r"has no output 'b', only \['boxes', "),
        ({"labels": ("red",)}, "scores have 3 classes, but the contract names 1 labels and"),
        ({"background_index": 3}, "background_index 3 is none of 3 columns"),
        ({"decoder": DecoderSpec(kind="ssd")}, "decoder.anchors make 0 anchors"),
        ({"decoder": DecoderSpec(kind="x")}, r"decoder 'x' is unknown.*'ssd'.*quantdet\.decoders"),
        ({"signature": "other"}, "has no signature 'other'"),
    ],
)
def test_what_does_not_fit_is_named(model, options, message):
    with pytest.raises(ModelError, match=message) as caught:
        describe(model, **options)
    assert str(model) in str(caught.value)


def test_coco_labels():
    labels = coco_labels()
    assert len(labels) == len(set(labels)) == 90
    # Category numbers of the COCO label map, from 1.
    known = {1: "person", 13: "stop sign", 44: "bottle", 62: "chair", 72: "tv", 90: "toothbrush"}
    assert {number: labels[number - 1] for number in known} == known
    assert sum(label.startswith("unused") for label in labels) == 10


def test_coco_labels_with_voc_names():
    labels = coco_labels(voc_names=True)
    assert set(VOC_CLASSES) <= set(labels)
    changed = [(a, b) for a, b in zip(coco_labels(), labels, strict=True) if a != b]
    assert len(changed) == 6
    assert all(b in VOC_CLASSES for _, b in changed)


def test_answers_of_a_foreign_file_are_usual_detections(bare_model, red):
    describe(bare_model, outputs=tensor_names(bare_model)).save(contract_path(bare_model))
    found = Detector(bare_model).predict(red)
    assert found.boxes_xyxy.dtype == np.float32
    assert found.labels == LABELS
