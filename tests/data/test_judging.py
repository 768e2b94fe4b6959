"""What is said about a data set, and what becomes of it: one kind of finding after the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantdet.config import Config, DataConfig, ModelConfig
from quantdet.data.check import check_configured, check_dataset
from quantdet.data.configured import judge_configured, load_configured
from quantdet.data.convert import convert_dataset
from quantdet.data.dataset import load_dataset
from quantdet.data.findings import Finding, by_kind
from quantdet.data.objects import merge_repeats, odd_boxes, similar_names
from quantdet.data.pictures import look
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample
from quantdet.data.sizes import SMALLEST_ANCHORS
from quantdet.errors import DataError, DataWarning
from quantdet.models.ssd_layout import LAYOUTS
from quantdet.runtime.preprocess import read_image


def kinds(result):
    return {(k.severity, k.code): k.count for k in by_kind(result.findings)}


def coco(voc, edit, split="train"):
    """Return the VOC folder as COCO, one of its files edited."""
    root = voc.root.parent / "coco"
    convert_dataset(load_dataset(voc.root), root, "coco")
    file = root / "annotations" / f"instances_{split}.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return root


def sample(name, *objects):
    return Sample(name, Path(f"{name}.jpg"), (60, 80), objects)


CAT = ObjectAnnotation("cat", (1, 2, 30, 40))


def test_rows_that_repeat_an_object_are_taken_once_and_counted(voc, make_object):
    voc.add("a", make_object("cat") * 3 + make_object("dog")).add("b", make_object("cat") * 2)
    with pytest.warns(DataWarning, match=r"3 x duplicate_object, first: .*a\.jpg: has 2 rows"):
        dataset = load_dataset(voc.root)
    assert [len(s.objects) for s in dataset.splits["train"]] == [2, 1]
    result = check_dataset(voc.root)
    assert kinds(result) == {("warning", "duplicate_object"): 3}
    assert result.splits["train"].objects == 3


def test_one_box_of_two_classes_is_two_objects():
    both = (CAT, ObjectAnnotation("dog", CAT.box_xyxy), ObjectAnnotation("cat", (1, 2, 30, 41)))
    (merged,), findings = merge_repeats([sample("a", *both)], "train")
    assert merged.objects == both
    assert findings == []


def test_a_picture_that_is_listed_twice_has_the_objects_of_both():
    dog = ObjectAnnotation("dog", (5, 5, 9, 9))
    first = sample("a", CAT)
    merged, (finding,) = merge_repeats([first, sample("a", CAT, dog), first], "train")
    assert [item.objects for item in merged] == [(CAT, dog)]
    assert (finding.code, finding.count) == ("duplicate_entry", 2)
    assert "3 times in split 'train'" in finding.message


@pytest.mark.parametrize(("shares", "severity"), [(1, "warning"), (2, "error")])
def test_boxes_in_shares(tmp_path, shares, severity):
    tiny = ObjectAnnotation("cat", (0.1, 0.2, 0.6, 1.0))
    samples = [sample("a", tiny), sample("b", tiny if shares == 2 else CAT)]
    (finding,) = odd_boxes(tmp_path, samples)
    assert (finding.severity, finding.code, finding.count) == (severity, "normalized_boxes", shares)
    assert not list(odd_boxes(tmp_path, [sample("a", CAT)]))


def test_coco_boxes_in_shares_stop_training(voc):
    voc.add("a").add("b")

    def edit(content):
        for item in content["annotations"]:
            item["bbox"] = [0.2, 0.2, 0.5, 0.5]

    config = DataConfig(root=coco(voc, edit))
    with pytest.raises(DataError, match=r"2 of 2 boxes lie within the first pixel.*multiply"):
        load_configured(config)


def test_names_that_look_alike(tmp_path):
    names = ("Dog", "cat", "dog", "traffic light", "traffic_light", "DOG")
    dogs = [ObjectAnnotation(name, (0, 0, 5, 5)) for name in ("dog", "dog", "Dog")]
    dataset = Dataset(tmp_path, names, {"train": (sample("a", *dogs),)})
    first, second = similar_names(tmp_path, dataset)
    assert "'Dog' (1 objects), 'dog' (2 objects), 'DOG' (0 objects)" in first.message
    assert """--set 'data.class_map={"Dog" = "dog", "DOG" = "dog"}'""" in first.remedy
    assert "'traffic light'" in second.message


def test_the_remedy_for_names_that_look_alike_is_one(voc, make_object):
    voc.add("a", make_object("Dog") + make_object("dog") * 2)
    (kind,) = by_kind(check_dataset(voc.root).findings[1:])
    assert kind.code == "similar_classes"
    config = DataConfig(root=voc.root, class_map={"Dog": "dog"})
    assert "similar_classes" not in {f.code for f in check_configured(Config(data=config)).findings}


@pytest.mark.parametrize("kind", ["voc", "coco", "yolo"])
def test_no_object_in_the_training_split_is_an_error_in_every_format(voc, kind):
    voc.add("a").add("b", splits=("val",))
    root = voc.root.parent / "set"
    convert_dataset(load_dataset(voc.root), root, kind)
    assert check_dataset(root).ok
    if kind == "coco":
        file = root / "annotations" / "instances_train.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    elif kind == "yolo":
        (root / "labels" / "a.txt").write_text("")
    else:
        file = root / "Annotations" / "a.xml"
        file.write_text(file.read_text().replace("<object>", "<!--").replace("</object>", "-->"))
    result = check_dataset(root)
    assert [f.code for f in result.errors] == ["no_objects"]
    assert result.splits["train"].background == 1
    with pytest.raises(DataError, match="'train' has no object to learn in any of 1 pictures"):
        load_configured(DataConfig(root=root))


def test_the_label_file_looked_for_is_named(voc):
    root = voc.add("a").root.parent / "yolo"
    convert_dataset(load_dataset(voc.root), root, "yolo")
    shutil.rmtree(root / "labels")
    first, *_ = check_dataset(root).errors
    assert str(root / "labels" / "a.txt") in str(first)


def test_only_difficult_objects_are_nothing_to_learn(voc, make_object):
    voc.add("a", make_object("cat", extra="<difficult>1</difficult>"))
    assert [f.code for f in check_dataset(voc.root).errors] == ["no_objects"]


def test_skip_bad_makes_no_background_of_pictures_that_may_have_lost_their_objects(voc):
    voc.add("a").add("b").add("c")

    def edit(content):
        content["annotations"][0]["image_id"] = "nobody's"

    root = coco(voc, edit)
    dataset = load_dataset(root, skip_bad=True)
    assert [s.image_id for s in dataset.splits["train"]] == ["b", "c"]
    found = kinds(check_configured(Config(data=DataConfig(root=root, skip_bad=True))))
    assert found == {("warning", "unknown_picture"): 1, ("warning", "lost_annotations"): 1}


def test_what_is_left_out_is_said_with_a_count(voc):
    for name in "abcd":
        voc.add(name)
    for name in "bc":
        voc.add_xml(name, b"<annotation>")
    with pytest.warns(DataWarning, match=r"2 x broken_xml, first: .*b\.xml.*it is left out"):
        load_configured(DataConfig(root=voc.root, skip_bad=True))


def test_faults_in_a_split_that_nobody_uses_do_not_stop(voc):
    voc.add("a").add("b", splits=("tiny",)).add_xml("b", b"<annotation>")
    assert kinds(check_dataset(voc.root)) == {("warning", "broken_xml"): 1}
    other = check_configured(Config(data=DataConfig(root=voc.root, train_split="tiny")))
    assert [f.code for f in other.errors] == ["broken_xml"]


def test_copies_are_found_within_a_split_and_between_splits(voc):
    voc.add("a").add("b").add("c", splits=("test",)).add("d", splits=("val", "test"))
    pictures = voc.root / "JPEGImages"
    for name in "bc":
        (pictures / f"{name}.jpg").write_bytes((pictures / "a.jpg").read_bytes())
    found = kinds(check_dataset(voc.root))
    assert found == {
        ("warning", "copy_in_split"): 1,
        ("warning", "duplicate_picture"): 1,
        ("warning", "duplicate_id"): 1,
    }


def test_the_training_split_as_test_is_said(voc):
    voc.add("a")
    config = DataConfig(root=voc.root, test_split="train")
    (finding,) = judge_configured(config).findings
    assert (finding.code, finding.severity) == ("same_split", "warning")


def test_small_objects_are_told_for_the_model_at_hand(voc, make_object):
    voc.add("a", make_object("cat", (1, 1, 3, 3)) + make_object("cat", (1, 1, 60, 50)))
    ssd = ModelConfig(name="ssd", input_size=300)
    (small,) = check_configured(Config(data=DataConfig(root=voc.root), model=ssd)).findings
    assert (small.code, small.count) == ("small_objects", 1)
    assert "1 of 2 objects have sides under 15 pixels" in small.message
    assert "model.anchors=small_objects" in small.remedy
    assert check_dataset(voc.root).findings == ()


def test_the_smallest_anchors_are_those_of_the_layouts():
    sides = {
        name: min(float(np.sqrt(h * w)) for shapes in layout.shapes_hw for h, w in shapes)
        for name, layout in LAYOUTS.items()
    }
    assert pytest.approx(sides) == SMALLEST_ANCHORS


def test_kinds_are_counted_errors_first():
    many = [Finding("warning", "w", str(n), "odd", "look", 2) for n in range(3)]
    failed, warned = by_kind([*many, Finding("error", "e", "x", "broken", "mend")])
    assert (failed.code, failed.count, len(failed.findings)) == ("e", 1, 1)
    assert (warned.code, warned.count) == ("w", 6)
    assert str(warned) == "6 x w, first: 0: odd; look"
    assert str(failed) == "x: broken; mend [e]"


@pytest.fixture
def pictures(tmp_path):
    """Pictures of every kind, whole, cut and damaged."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 255, (12, 16, 3)), np.ones((9, 9, 1))).astype(np.uint8)
    rgb = Image.fromarray(pixels)
    made = {
        "plain.jpg": (rgb, {}),
        "progressive.jpg": (rgb, {"progressive": True}),
        "grey.jpg": (rgb.convert("L"), {}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "a.png": (rgb, {}),
        "a.bmp": (rgb, {}),
        "a.webp": (rgb, {}),
    }
    for name, (picture, options) in made.items():
        picture.save(tmp_path / name, **options)
        content = (tmp_path / name).read_bytes()
        for share in (0.02, 0.3, 0.6, 0.9, 0.995):
            (tmp_path / f"{share}-{name}").write_bytes(content[: int(share * len(content))])
        for number in range(12):
            spoilt = bytearray(content)
            for place in rng.integers(0, len(content), 6):
                spoilt[place] = rng.integers(256)
            (tmp_path / f"spoilt{number}-{name}").write_bytes(spoilt)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    return sorted(tmp_path.iterdir())


def test_looking_finds_what_decoding_finds(pictures):
    faulty = 0
    for path in pictures:
        try:
            expected = read_image(path).shape[:2]
        except DataError:
            expected = None
        seen = look(path)
        assert seen.size_hw == expected, path.name
        assert bool(seen.fault) == (expected is None)
        faulty += expected is None
    assert 20 < faulty < len(pictures) - 20


def test_check_of_a_moved_copy_says_the_same(voc, tmp_path):
    voc.add("a").add("b", splits=("val",)).add_xml("b", b"<annotation>")
    copy = tmp_path / "elsewhere"
    shutil.copytree(voc.root, copy)
    assert kinds(check_dataset(copy)) == kinds(check_dataset(voc.root))


def test_lines_that_are_listed_twice_are_said_in_voc_and_yolo(voc):
    voc.add("a").add("b").add_to_list("train", "a")
    result = check_dataset(voc.root)
    assert [f.code for f in result.findings] == ["duplicate_entry"]
    assert "1 lines that repeat" in result.findings[0].message
    assert result.splits["train"].usable == 2
    root = voc.root.parent / "yolo"
    convert_dataset(load_dataset(voc.root), root, "yolo")
    with (root / "train.txt").open("a") as stream:
        stream.write("images/b.jpg\nimages/b.jpg\n")
    (finding,) = check_dataset(root).findings
    assert (finding.code, finding.count) == ("duplicate_entry", 2)
    assert len(load_dataset(root).splits["train"]) == 2


def test_two_categories_of_one_name_are_said(voc, make_object):
    voc.add("a", make_object("cat") + make_object("dog", (2, 2, 50, 50)))
    root = coco(voc, lambda content: content["categories"][1].update(name="cat "))
    (finding,) = check_dataset(root).findings
    assert (finding.severity, finding.code) == ("warning", "duplicate_category")
    assert "categories 1, 2 are all called 'cat'" in finding.message
    assert load_dataset(root).labels == ("cat",)


def test_annotations_of_nobody_are_counted(voc, make_object):
    voc.add("a", make_object("cat") + make_object("cat", (2, 2, 50, 50))).add("b")

    def edit(content):
        for item in content["annotations"][:2]:
            item["image_id"] = 99

    first = check_dataset(coco(voc, edit)).errors[0]
    assert "image_id 99 is not in" in first.message
    assert "(2 annotations)" in first.message


def test_objects_that_a_choice_of_classes_leaves_out_are_counted(voc, make_object):
    voc.add("a", make_object("cat") + make_object("dog", (2, 2, 50, 50)))
    voc.add("b", make_object("dog")).add("c", make_object("cat"))
    config = DataConfig(root=voc.root, classes=["cat"])
    (finding,) = judge_configured(config).findings
    assert (finding.code, finding.count) == ("class_left_out", 2)
    assert "1 pictures become background" in finding.message
    renamed = DataConfig(root=voc.root, class_map={"dog": "cat"})
    assert judge_configured(renamed).findings == ()
