"""What was read wrongly without a word: each is right now, refused, or noted."""

import json

import pytest
from layouts import CLASSES, LAYOUTS, SCENES, SIZE_HW, coco_json, picture, put, voc_xml, yolo_txt

from quantdet.config import load_config
from quantdet.data.configured import load_configured
from quantdet.data.dataset import load_dataset, read_listing
from quantdet.data.formats.seen import describe_folder
from quantdet.data.records import SEARCHED, UNSPLIT, FaultError, Reading, fit_box
from quantdet.errors import DataError


def read(root, reading=SEARCHED):
    return read_listing(root, "auto", reading=reading)


def codes(listing):
    """Return the codes of errors and of notes."""
    records = {id(r): r for members in listing.splits.values() for r in members}.values()
    problems = [*listing.problems, *(p for record in records for p in record.problems)]
    return sorted({p.code for p in problems}), sorted({p.code for p in listing.notes})


def objects(listing, split="train"):
    return sum(len(r.sample.objects) for r in listing.splits[split] if r.sample is not None)


def boxes_of(record):
    return [item.box_xyxy for item in record.sample.objects]


def write(name, root):
    LAYOUTS[name].write(root)
    return root


# Boxes


def test_boxes_are_cut_within_a_slack_of_the_picture():
    box, remark = fit_box((10, 20, 1001, 400), (500, 1000))
    assert (box, remark) == ((10, 20, 1000, 400), "")
    box, remark = fit_box((10, 20, 1020, 400), (500, 1000))
    assert box == (10, 20, 1000, 400)
    assert "20 px outside" in remark
    # 2.5 % of each side; a slack of the width is none of the height.
    for outside in ((10, 20, 1030, 400), (10, 20, 400, 520)):
        with pytest.raises(FaultError, match=r"data\.clip"):
            fit_box(outside, (500, 1000))
        assert fit_box(outside, (500, 1000), clip=True)[0][2:] == (
            min(outside[2], 1000),
            min(outside[3], 500),
        )
    with pytest.raises(FaultError, match="no area in the picture"):
        fit_box((1100, 20, 1200, 400), (500, 1000), clip=True)


@pytest.mark.parametrize(
    ("name", "file", "old", "new"),
    [
        ("voc side by side", "p1.xml", "<xmax>60<", "<xmax>90<"),
        ("yolo of Label Studio", "labels/p1.txt", "0.703125", "0.9"),
        ("coco of FiftyOne", "labels.json", "[30.0, 11.0, 30.0,", "[30.0, 11.0, 60.0,"),
        ("tool CVAT for images", "annotations.xml", 'xbr="60.0"', 'xbr="90.0"'),
    ],
)
def test_clip_is_a_setting_for_every_format(tmp_path, name, file, old, new):
    write(name, tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    put(tmp_path / file, text.replace(old, new))
    assert codes(read(tmp_path))[0] == ["box_outside"]
    clipped = read(tmp_path, Reading(clip=True))
    assert codes(clipped) == ([], ["box_cut"])
    assert max(o.box_xyxy[2] for r in clipped.splits[UNSPLIT] for o in r.sample.objects) == 64


# VOC


@pytest.mark.parametrize(
    ("text", "difficult"), [("Unspecified", False), ("true", True), ("0.0597", True), ("", False)]
)
def test_marks_that_are_no_numbers(tmp_path, text, difficult):
    write("voc side by side", tmp_path)
    xml = voc_xml(SCENES[1]).replace("Unspecified", text)
    put(tmp_path / "p1.xml", xml)
    listing = read(tmp_path)
    (record,) = [r for r in listing.splits[UNSPLIT] if r.image_id == "p1"]
    assert record.problems == ()
    assert {item.difficult for item in record.sample.objects} == {difficult}
    put(tmp_path / "p1.xml", xml.replace(f"<difficult>{text}<", "<difficult>perhaps<"))
    assert codes(read(tmp_path))[0] == ["broken_annotation"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("voc lists of a task", "list_renamed"),
        ("voc of VoTT", "lists_united"),
        ("voc of CVAT", "no_splits"),
        ("yolo of CVAT (one split)", "no_splits"),
        ("yolo side by side without names", "class_names_guessed"),
        ("coco one picture in several entries", "duplicate_image"),
        ("tool VoTT table", "picture_not_annotated"),
    ],
)
def test_what_is_guessed_is_noted(tmp_path, name, code):
    assert codes(read(write(name, tmp_path)))[1] == [code]


@pytest.mark.parametrize(
    "name", ["voc of the challenge", "yolo of Ultralytics", "coco official", "tool CVAT for images"]
)
def test_lists_that_do_not_count_are_noted(tmp_path, name):
    write(name, tmp_path)
    root = next(iter(tmp_path.rglob("ImageSets")), tmp_path / "ImageSets").parent
    put(root / "val.txt", "p0.jpg\np1.jpg\n")
    put(root / "how_to_train.txt", "first read this\n")
    (note,) = read(tmp_path).notes
    assert (note.code, note.file.name) == ("list_not_used", "val.txt")


def test_pictures_in_no_list_are_noted(tmp_path):
    root = write("voc of the challenge", tmp_path) / "VOCdevkit" / "VOC2012"
    put(root / "ImageSets" / "Main" / "train.txt", "p0\n")
    listing = read(tmp_path)
    assert codes(listing) == ([], ["picture_in_no_list"])
    assert "4 annotated pictures" in listing.notes[0].reason


def test_list_is_one_of_a_class_only_if_there_is_such_a_class(tmp_path):
    write("voc JPEGImages + Annotations", tmp_path)
    for name in ("cat_train", "t1_train", "all"):
        put(tmp_path / "ImageSets" / "Main" / f"{name}.txt", "p0\np1\n")
    assert list(read(tmp_path).splits) == ["all", "t1_train"]


def test_annotation_of_another_split_is_not_taken(tmp_path):
    write("voc of Roboflow", tmp_path)
    (tmp_path / "train" / "p1.jpg").unlink()
    (tmp_path / "test" / "p9.xml").unlink()
    (tmp_path / "test" / "p9.jpg").rename(tmp_path / "test" / "p1.jpg")
    listing = read(tmp_path)
    assert [r.image_id for r in listing.splits["test"]] == ["p1", "p8"]
    assert codes(listing)[0] == ["missing_annotation", "missing_picture"]


@pytest.mark.parametrize(
    "name", ["coco of Roboflow", "coco of MediaPipe", "tool VIA by split", "tool Roboflow table"]
)
def test_picture_of_another_split_is_not_taken(tmp_path, name):
    write(name, tmp_path)
    (gone,) = tmp_path.rglob("p1.jpg")
    (other,) = tmp_path.rglob("p8.jpg")
    gone.unlink()
    for file in (f for f in other.parents[0].parent.rglob("*") if f.is_file()):
        if "test" in str(file.relative_to(tmp_path)) and file.suffix in (".json", ".csv"):
            put(file, file.read_text().replace("p8", "p1"))
    other.rename(other.with_stem("p1"))
    listing = read(tmp_path)
    assert codes(listing)[0] == ["missing_picture"]
    assert [r.image_id for r in listing.splits["train"] if r.problems] == ["p1"]
    (taken,) = [r for r in listing.splits["test"] if r.image_id == "p1"]
    assert boxes_of(taken) == [box for _, box in SCENES[8].objects]


def test_two_files_may_share_the_pictures_of_one_folder(tmp_path):
    for scene in SCENES:
        picture(tmp_path / "train" / f"{scene.name}.jpg", scene)
    put(tmp_path / "annotations" / "train.json", coco_json(SCENES[:6]))
    put(tmp_path / "annotations" / "val.json", coco_json(SCENES[6:]))
    listing = read(tmp_path)
    assert codes(listing) == ([], [])
    assert [len(records) for records in listing.splits.values()] == [6, 4]


def test_picture_of_another_folder_is_not_taken(tmp_path):
    for folder in ("cam1", "cam2"):
        picture(tmp_path / folder / "p1.jpg", SCENES[1])
    put(tmp_path / "coco.json", coco_json(SCENES[1:2], "cam1/"))
    assert codes(read(tmp_path)) == ([], [])
    (tmp_path / "cam1" / "p1.jpg").unlink()
    assert codes(read(tmp_path))[0] == ["missing_picture"]


def test_file_name_in_the_annotation_says_otherwise(tmp_path):
    write("voc side by side", tmp_path)
    put(tmp_path / "p1.xml", voc_xml(SCENES[2]))
    (note,) = read(tmp_path).notes
    assert note.code == "other_filename"
    assert "says 'p2.jpg', but it is read with p1.jpg" in note.reason


def test_files_of_one_name_are_noted(tmp_path):
    write("voc images + annotations", tmp_path)
    picture(tmp_path / "images" / "p1.png", SCENES[2])
    put(tmp_path / "xmls" / "p1.xml", voc_xml(SCENES[2]))
    listing = read(tmp_path)
    assert codes(listing) == ([], ["annotation_not_used", "picture_not_used"])
    assert objects(listing, UNSPLIT) == 11
    # A link that gives a folder another name holds no other files.
    (tmp_path / "images" / "p1.png").unlink()
    (tmp_path / "xmls" / "p1.xml").unlink()
    (tmp_path / "xmls").rmdir()
    (tmp_path / "xmls").symlink_to("annotations")
    (tmp_path / "JPEGImages").symlink_to("images")
    assert codes(read(tmp_path)) == ([], [])


def test_id_that_fits_two_pictures_is_an_error(tmp_path):
    write("voc images + annotations", tmp_path)
    for farm in ("north", "south"):
        picture(tmp_path / "images" / farm / "cow.jpg", SCENES[1])
        put(tmp_path / "annotations" / farm / "cow.xml", voc_xml(SCENES[1]))
    put(tmp_path / "ImageSets" / "Main" / "train.txt", "p1\nnorth/cow\ncow\n")
    found = read(tmp_path).splits["train"]
    assert [r.image_id for r in found if not r.problems] == ["p1", "north/cow"]
    assert "several folders" in str(found[2].problems[0])


def test_pictures_without_annotation_are_an_error_or_background(tmp_path):
    write("voc of Roboflow", tmp_path)
    (tmp_path / "train" / "p1.xml").unlink()
    with pytest.raises(DataError, match=r'p1\.xml: annotation not found; .*"background"'):
        load_dataset(tmp_path)
    skipped = load_dataset(tmp_path, skip_bad=True)
    assert sum(map(len, skipped.splits.values())) == len(SCENES) - 1
    listing = read(tmp_path, Reading(unlabelled="background"))
    assert codes(listing) == ([], [])
    assert [r.sample.objects for r in listing.splits["train"] if r.image_id == "p1"] == [()]


def test_val_of_which_annotations_are_lost_is_no_split_without_annotations(tmp_path):
    write("voc of Roboflow", tmp_path)
    for name in ("p5", "p6"):
        (tmp_path / "valid" / f"{name}.xml").unlink()
    assert codes(read(tmp_path))[0] == ["missing_annotation"]


# YOLO


@pytest.mark.parametrize("split", ["train", "val"])
def test_split_without_any_label_is_refused(tmp_path, split):
    write("yolo of Ultralytics", tmp_path)
    (tmp_path / "labels" / split).rename(tmp_path / "lost")
    for file in (tmp_path / "lost").iterdir():
        file.rename(file.with_suffix(".bak"))
    with pytest.raises(DataError, match=rf"no label file.*looked for .*labels/{split}/p\d\.txt"):
        load_dataset(tmp_path, splits=(split,))
    with pytest.raises(DataError, match="no usable sample"):
        load_dataset(tmp_path, splits=(split,), skip_bad=True)


def test_test_split_without_labels_is_one_to_predict_on(tmp_path):
    write("yolo of Ultralytics", tmp_path)
    for file in (tmp_path / "labels" / "test").iterdir():
        file.unlink()
    listing = read(tmp_path)
    assert codes(listing) == ([], ["unlabelled_split"])
    assert not any(record.sample.annotated for record in listing.splits["test"])


def test_folder_without_labels_is_noted(tmp_path):
    write("yolo of Ultralytics", tmp_path)
    picture(tmp_path / "images" / "train" / "street" / "p0.jpg", SCENES[0])
    listing = read(tmp_path)
    assert codes(listing) == ([], ["folder_without_labels"])
    # The labels of p0 in another folder are not those of this picture.
    put(tmp_path / "labels" / "val" / "p0.txt", yolo_txt(SCENES[1]))
    records = {r.image_id: r.sample.objects for r in read(tmp_path).splits["train"]}
    assert records["street/p0"] == ()


def test_poses_with_other_numbers_of_points_are_refused(tmp_path):
    write("yolo poses", tmp_path)
    yaml = tmp_path / "data.yaml"
    put(yaml, yaml.read_text().replace("[12, 2]", "[17, 3]"))
    with pytest.raises(DataError, match=r"has 28 numbers.*and 51 for its key points"):
        load_dataset(tmp_path)
    put(yaml, yaml.read_text().replace("[17, 3]", "12"))
    with pytest.raises(DataError, match=r"data\.yaml: kpt_shape is not \[points"):
        load_dataset(tmp_path)


def test_oriented_boxes_are_refused_by_name(tmp_path):
    write("yolo of Ultralytics", tmp_path)
    upright, turned = "0 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6\n", "1 0.3 0.1 0.6 0.3 0.4 0.6 0.1 0.4\n"
    for file in tmp_path.glob("labels/*/*.txt"):
        put(file, upright)
    assert codes(read(tmp_path)) == ([], [])
    put(file, upright + turned)
    with pytest.raises(DataError, match=r"oriented boxes \(YOLO OBB"):
        load_dataset(tmp_path)
    put(file, turned + "1 0.3 0.1 0.6 0.3 0.4 0.6\n")  # a polygon beside: segments
    assert codes(read(tmp_path)) == ([], [])
    put(tmp_path / "coco8.yaml", (tmp_path / "coco8.yaml").read_text() + "task: obb\n")
    with pytest.raises(DataError, match=r"coco8\.yaml: task is obb"):
        load_dataset(tmp_path)


def test_missing_test_and_unknown_keys_are_noted(tmp_path):
    write("yolo of Ultralytics", tmp_path)
    yaml = tmp_path / "coco8.yaml"
    more = "owner: me\nminival: images/val\nvalid: images/train\n"
    put(yaml, yaml.read_text().replace("images/test", "images/nowhere") + more)
    listing = read(tmp_path)
    assert list(listing.splits) == ["train", "val", "minival", "valid"]
    assert [note.reason.partition(":")[0] for note in listing.notes] == ["test", "owner"]
    put(yaml, yaml.read_text().replace("val: images/val", "val: images/gone"))
    with pytest.raises(DataError, match="val: images/gone is neither a folder"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("names", "labels"),
    [("{0: cat, '1': dog}", None), ("{'1': dog, '0': cat}", CLASSES), ("{0: cat, x: a}", None)],
)
def test_names_by_number(tmp_path, names, labels):
    write("yolo of Ultralytics", tmp_path)
    yaml = tmp_path / "coco8.yaml"
    put(yaml, yaml.read_text().replace("['cat', 'dog']", names))
    if labels is None:
        with pytest.raises(DataError, match="names must be numbered"):
            load_dataset(tmp_path)
    else:
        assert load_dataset(tmp_path).labels == labels


@pytest.mark.parametrize(("word", "label"), [("1.000e+00", "dog"), ("0.0", "cat"), ("0.5", None)])
def test_class_in_any_notation(tmp_path, word, label):
    write("yolo of Label Studio", tmp_path)
    put(tmp_path / "labels" / "p1.txt", f"{word} 0.5 0.5 0.25 0.5\n")
    (record,) = [r for r in read(tmp_path).splits[UNSPLIT] if r.image_id == "p1"]
    assert [item.label for item in record.sample.objects] == ([label] if label else [])
    assert [p.code for p in record.problems] == ([] if label else ["broken_annotation"])


def test_names_come_from_a_label_file(tmp_path):
    write("yolo side by side without names", tmp_path)
    put(tmp_path / "names.txt", "kitten\npuppy\n")
    values = {"data": {"root": str(tmp_path), "labels": str(tmp_path / "names.txt")}}
    dataset = load_configured(load_config(values=values).data)
    assert dataset.labels == ("kitten", "puppy")
    assert {o.label for s in dataset.splits["train"] for o in s.objects} == {"kitten", "puppy"}
    put(tmp_path / "names.txt", "kitten\n")
    with pytest.raises(DataError, match="class 1 is out of range; names has 1 classes"):
        load_configured(load_config(values=values).data)


def test_lists_of_names_that_differ(tmp_path):
    write("yolo of Roboflow (darknet)", tmp_path)
    put(tmp_path / "test" / "_darknet.labels", "dog\ncat\n")
    with pytest.raises(DataError, match="name different classes"):
        load_dataset(tmp_path)


def test_two_lists_of_one_split_and_a_list_of_training_only(tmp_path):
    write("yolo of Label Studio", tmp_path)
    put(tmp_path / "train.txt", "images/p1.jpg\n")
    listing = read(tmp_path)
    assert {split: len(r) for split, r in listing.splits.items()} == {"train": 1}
    assert codes(listing) == ([], ["picture_in_no_list"])
    put(tmp_path / "my_train.txt", "images/p2.jpg\n")
    assert codes(read(tmp_path))[1] == ["list_not_used", "picture_in_no_list"]


def test_list_with_relative_and_absolute_paths(tmp_path, monkeypatch):
    write("yolo lists", tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "set" / "autosplit_train.txt"
    lines = ("./images/p1.jpg", f"{tmp_path}/set/images/p2.jpg", f"{tmp_path}/set/images/p1.jpg")
    put(file, "\n".join(lines))
    listing = read(tmp_path.joinpath("set").relative_to(tmp_path))
    assert [r.image_id for r in listing.splits["train"]] == ["p1", "p2", "p1"]
    assert len({r.image_path for r in listing.splits["train"]}) == 2


def test_yaml_decides_over_voc_folders_and_several_are_refused(tmp_path):
    write("yolo with another .yaml", tmp_path)
    put(tmp_path / "JPEGImages" / "a.xml", voc_xml(SCENES[1]))
    assert read(tmp_path).labels == CLASSES
    put(tmp_path / "other.yaml", (tmp_path / "config.yaml").read_text())
    with pytest.raises(DataError, match=r"config\.yaml, other\.yaml each describe a data set"):
        read(tmp_path)


# COCO


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    put(path, json.dumps(content))


def test_image_id_of_two_pictures_is_an_error(tmp_path):
    file = write("coco of FiftyOne", tmp_path) / "labels.json"
    edit(file, lambda c: c["images"][2].update(id=c["images"][1]["id"]))
    edit(file, lambda c: [a.update(image_id=11) for a in c["annotations"] if a["image_id"] == 12])
    with pytest.raises(DataError, match=r"\.jpg: image id '11' belongs to several pictures"):
        load_dataset(tmp_path)
    bad = {r.image_id for r in read(tmp_path).splits[UNSPLIT] if r.problems and not r.sample}
    assert bad == {"p1", "p2"}


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("category_id", [1], "unknown_class"),
        ("category_id", {"id": 1}, "unknown_class"),
        ("bbox", None, "broken_annotation"),
        ("bbox", [10**400, 1, 2, 3], "broken_annotation"),
        ("iscrowd", "perhaps", "broken_annotation"),
        ("segmentation", [], ""),
        ("category_id", "1", ""),
        ("category_id", 1.0, ""),
    ],
)
def test_odd_annotations(tmp_path, key, value, code):
    file = write("coco of FiftyOne", tmp_path) / "labels.json"
    edit(file, lambda c: c["annotations"][0].update({key: value}))
    assert codes(read(tmp_path)) == ([code] if code else [], [])


def test_pieces_that_are_missing(tmp_path):
    file = write("coco of FiftyOne", tmp_path) / "labels.json"
    edit(file, lambda c: c.pop("categories"))
    assert read(tmp_path).labels == ("class_1", "class_2")
    assert codes(read(tmp_path))[1] == ["class_names_guessed"]
    assert read(tmp_path, Reading(names=("cat", "dog"))).labels == CLASSES
    edit(file, lambda c: c.update(annotations=None))
    assert not any(r.sample.annotated for r in read(tmp_path).splits[UNSPLIT])


def test_category_id_of_two_classes_is_refused(tmp_path):
    file = write("coco of FiftyOne", tmp_path) / "labels.json"
    edit(file, lambda c: c["categories"][1].update(id=1))
    with pytest.raises(DataError, match="category id 1 is both 'cat' and 'dog'"):
        load_dataset(tmp_path)


def test_two_files_of_one_split(tmp_path):
    write("coco official", tmp_path)
    put(tmp_path / "annotations" / "my_train.json", coco_json(SCENES[:1]))
    listing = read(tmp_path)
    assert codes(listing) == ([], ["annotation_not_used"])
    assert len(listing.splits["train"]) == 5


def test_one_broken_file_of_several_is_an_error(tmp_path):
    write("tool Edge Impulse", tmp_path)
    put(tmp_path / "testing" / "bounding_boxes.labels", '{"boundingBoxes": {')
    assert codes(read(tmp_path)) == (["broken_annotation"], ["picture_not_annotated"])
    with pytest.raises(DataError, match=r"bounding_boxes\.labels: not valid JSON"):
        load_dataset(tmp_path)


# Explicit folders, and folders that are nothing


@pytest.mark.parametrize("name", ["voc images + annotations", "yolo of Label Studio"])
def test_explicit_folders(tmp_path, name):
    write(name, tmp_path)
    (tmp_path / "images").rename(tmp_path / "frames")
    for folder in ("annotations", "labels"):
        if (tmp_path / folder).is_dir():
            (tmp_path / folder).rename(tmp_path / "marks 2026")
    reading = Reading(images=tmp_path / "frames", annotations=tmp_path / "marks 2026")
    relative = {"root": str(tmp_path), "images": "frames", "annotations": "marks 2026"}
    dataset = load_configured(load_config(values={"data": relative}).data)
    assert sum(len(s.objects) for m in dataset.splits.values() for s in m) == objects(
        read(tmp_path, reading), UNSPLIT
    )
    assert objects(read(tmp_path, reading), UNSPLIT) == 11
    with pytest.raises(DataError, match=r"nowhere: no such file or folder; correct data\.images"):
        read(tmp_path, Reading(images=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("coco of Label Studio", "result.json"),
        ("tool CVAT for images", "annotations.xml"),
        ("tool VoTT table", "vott-csv-export/balls-export.csv"),
    ],
)
def test_explicit_file(tmp_path, name, file):
    write(name, tmp_path / "set")
    (tmp_path / "set" / file).rename(tmp_path / f"exported{file[-4:].replace('j', '.j')}")
    (annotations,) = tmp_path.glob("exported*")
    listing = read(tmp_path / "set", Reading(annotations=annotations))
    assert objects(listing, UNSPLIT) == 11


def test_what_was_seen_and_what_is_nearest(tmp_path):
    with pytest.raises(DataError, match="no data set here; the folder is empty; expected VOC"):
        read(tmp_path)
    for number in range(3):
        put(tmp_path / "annots" / f"a{number}.xml", "<svg/>")
    assert "found 3 .xml in annots/; no picture" in describe_folder(tmp_path)
    for number in range(2):
        picture(tmp_path / "images" / f"b{number}.jpg", SCENES[number])
    with pytest.raises(DataError, match=r"3 \.xml in annots/, 2 \.jpg in images/; nearest is VOC"):
        read(tmp_path)
    put(tmp_path / "notes.txt", "hello")
    for file in (tmp_path / "annots").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"1 \.txt in the folder itself; nearest is YOLO"):
        read(tmp_path)
    (tmp_path / "notes.txt").unlink()
    with pytest.raises(DataError, match="there are pictures, but no annotations for them"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"the file is neither a YOLO \.yaml"):
        read(tmp_path / "images" / "b0.jpg")


@pytest.mark.parametrize(
    ("name", "file"),
    [("coco of FiftyOne", "labels.json"), ("tool CVAT for images", "annotations.xml")],
)
def test_annotations_that_are_cut_off_say_so(tmp_path, name, file):
    path = write(name, tmp_path) / file
    put(path, path.read_text()[:-200])
    with pytest.raises(DataError, match=rf"{file}( is|:) not valid (JSON|XML) \("):
        read(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=rf"{file}( is not valid XML|: annotations not readable)"):
        read(tmp_path)


def test_annotations_without_pictures_say_so(tmp_path):
    write("voc images + annotations", tmp_path)
    for file in (tmp_path / "images").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"found 10 \.xml in annotations/; no picture"):
        read(tmp_path)


def test_size_of_the_set_stays(tmp_path):
    assert SIZE_HW == (48, 64)
    assert sum(len(scene.objects) for scene in SCENES) == 11
