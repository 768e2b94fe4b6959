from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantdet.data.formats.voc import read_voc
from quantdet.data.formats.voc_xml import parse_annotation, write_annotation
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.data.splitting import divide, split_of_id
from quantdet.errors import DataError


def no_picture() -> tuple[int, int]:
    raise AssertionError("the picture must not be asked")


def test_keeps_every_object_with_all_its_marks(voc, make_object):
    objects = make_object(
        "dog",
        ("11.5", 6, 40, 30),
        "<pose>Left</pose><truncated>1</truncated><occluded>1</occluded><difficult>0</difficult>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>",
    ) + make_object("cat", (1, 1, 80, 60), "<pose>Unspecified</pose><difficult>1</difficult>")
    voc.add("a", objects)
    (record,) = read_voc(voc.root).splits["train"]
    assert record.problems == ()
    assert record.sample is not None
    assert record.sample.size_hw == (60, 80)
    assert record.sample.objects == (
        ObjectAnnotation("dog", (10.5, 5, 40, 30), truncated=True, pose="Left"),
        ObjectAnnotation("cat", (0, 0, 80, 60), difficult=True),
    )


BOX = st.tuples(*[st.integers(0, 300)] * 2, *[st.integers(2, 200)] * 2).map(
    lambda v: (v[0] / 2, v[1] / 2, v[0] / 2 + v[2] / 2 + 1, v[1] / 2 + v[3] / 2 + 1)
)
OBJECT = st.builds(
    ObjectAnnotation,
    label=st.text("abcÄ&<>\"' ", min_size=1).map(str.strip).filter(bool),
    box_xyxy=BOX,
    difficult=st.booleans(),
    truncated=st.booleans(),
    pose=st.sampled_from(["", "Left", "Rear"]),
)


@settings(deadline=None)
@given(objects=st.lists(OBJECT, max_size=4).map(tuple))
def test_written_annotation_reads_back(tmp_path_factory, objects):
    path = tmp_path_factory.mktemp("xml") / "a.xml"
    write_annotation(path, Sample("a", Path("a.jpg"), (300, 301), objects))
    result = parse_annotation(path, no_picture)
    assert result.problems == []
    assert result.size_hw == (300, 301)
    assert result.objects == objects


@pytest.mark.parametrize(
    ("box", "code"),
    [
        ((20, 6, 20, 30), "empty_box"),
        ((40, 6, 20, 30), "inverted_box"),
        ((11, 6, 83, 30), "box_outside"),
        ((-2, 6, 40, 30), "box_outside"),
        (("x", 6, 40, 30), "broken_annotation"),
        (("nan", 6, 40, 30), "broken_annotation"),
        (("", 6, 40, 30), "broken_annotation"),
    ],
)
def test_faulty_box_is_a_problem_and_the_good_object_stays(voc, make_object, box, code):
    voc.add("a", make_object("cat") + make_object("dog", box))
    (record,) = read_voc(voc.root).splits["train"]
    (problem,) = record.problems
    assert problem.code == code
    assert problem.file.name == "a.xml"
    assert "object 2 (dog)" in problem.reason
    assert [item.label for item in record.sample.objects] == ["cat"]


def test_box_out_by_rounding_is_clipped(voc, make_object):
    voc.add("a", make_object("cat", (0, 0.5, 81, 60.9)))
    (record,) = read_voc(voc.root).splits["train"]
    assert record.problems == ()
    assert record.sample.objects[0].box_xyxy == (0, 0, 80, 60)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"<annotation><size>", "broken_xml", "not valid XML"),
        (b"", "broken_xml", "not valid XML"),
        (b"<html></html>", "broken_xml", "<html>"),
        (b"<annotation><object></object></annotation>", "broken_annotation", "no <name>"),
        (
            b"<annotation><object><name>a</name></object></annotation>",
            "broken_annotation",
            "bndbox",
        ),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "unsafe_xml", "entities"),
        (
            '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "c">]>'
            "<annotation/>".encode("utf-16"),
            "unsafe_xml",
            "entities",
        ),
    ],
)
def test_broken_xml_is_a_problem(voc, content, code, says):
    voc.add("a").add_xml("a", content)
    (record,) = read_voc(voc.root).splits["train"]
    assert [p.code for p in record.problems] == [code]
    assert says in record.problems[0].reason


def test_size_comes_from_the_picture_where_the_xml_has_none(voc):
    voc.add("a", size_hw=None).add("b", size_hw=(0, 0))
    for record in read_voc(voc.root).splits["train"]:
        assert record.sample.size_hw == (60, 80)
        assert not record.size_from_annotation


def test_lists_class_files_second_column_and_repetition(voc):
    voc.add("a", splits=()).add("b", splits=()).add("c", splits=("val", "tiny"))
    for line in ("a  1", "b -1", "", "a"):
        voc.add_to_list("train", line)
    voc.add_to_list("cat_train", "a 1")
    listing = read_voc(voc.root)
    assert list(listing.splits) == ["train", "val", "tiny"]
    assert [r.image_id for r in listing.splits["train"]] == ["a", "b"]


def test_missing_files_are_problems(voc):
    voc.add("a").add("b").add("c").add("d")
    (voc.root / "JPEGImages" / "a.jpg").unlink()
    (voc.root / "Annotations" / "b.xml").unlink()
    a, b, c, _ = read_voc(voc.root).splits["train"]
    assert [p.code for p in a.problems] == ["missing_picture"]
    assert [p.code for p in b.problems] == ["missing_annotation"]
    assert c.problems == ()


def test_split_without_annotations(voc):
    voc.add("a")
    for image_id in ("t1", "t2", "t3"):
        voc.add_picture(image_id)
        voc.add_to_list("test", image_id)
    # One stray annotation, as in the public VOC2012 test, does not make the split annotated.
    voc.add_xml("t1", (voc.root / "Annotations" / "a.xml").read_bytes())
    for record in read_voc(voc.root).splits["test"]:
        assert record.problems == ()
        assert not record.sample.annotated
        assert record.sample.objects == ()
        assert record.sample.size_hw == (60, 80)


def test_roots_that_lead_to_the_same_folder(voc):
    voc.add("a")
    for root in (voc.root, voc.root.parent, voc.root.parent.parent):
        assert read_voc(root).root == voc.root


def test_two_years_must_be_told_apart(voc):
    voc.add("a")
    shutil.copytree(voc.root, voc.root.parent / "VOC2007")
    with pytest.raises(DataError, match=r"several data sets.*VOC2007.*VOC2012"):
        read_voc(voc.root.parent)


def test_flat_folder_is_split_by_hash(voc, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    ids = [f"p{i}" for i in range(40)]
    for image_id in ids:
        voc.add(image_id, splits=(), suffix=".PNG" if image_id == "p0" else ".jpg")
    for path in [*voc.root.rglob("*.xml"), *voc.root.rglob("*.jpg"), *voc.root.rglob("*.PNG")]:
        path.rename(flat / path.name)
    splits = divide(read_voc(flat)).splits
    assert list(splits) == ["train", "val", "test"]
    assert sorted(r.image_id for members in splits.values() for r in members) == sorted(ids)
    assert all(r.problems == () for members in splits.values() for r in members)


def test_hash_splits_have_their_shares_and_never_move():
    ids = [str(i) for i in range(4000)]
    shares = {name: sum(split_of_id(i) == name for i in ids) / 4000 for name in ("train", "val")}
    # Binomial standard deviation is 0.007 and 0.006.
    assert shares["train"] == pytest.approx(0.70, abs=0.025)
    assert shares["val"] == pytest.approx(0.15, abs=0.025)
    assert [split_of_id(i) for i in ("000005", "000012", "cat")] == ["train", "test", "train"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_not_a_voc_folder(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"{name}: (no such folder; give|no VOC data here; exp)"):
        read_voc(tmp_path / name)
