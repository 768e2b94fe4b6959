"""What strangers' folders did: each fault's kind is read right now, refused, or noted."""

import json
import re

import pytest
from layouts import LAYOUTS, SCENES, SIZE_HW, coco_json, of_split, picture, put, voc_xml, yolo_txt
from typer.testing import CliRunner

from quantdet.cli import app
from quantdet.data.dataset import read_listing
from quantdet.data.formats.folders import split_name
from quantdet.data.records import UNSPLIT
from quantdet.data.splitting import divide
from quantdet.errors import DataError


def read(root):
    return read_listing(root, "auto")


def codes(listing):
    """Return the codes of errors and of notes."""
    records = {id(r): r for members in listing.splits.values() for r in members}.values()
    problems = [*listing.problems, *(p for record in records for p in record.problems)]
    return sorted({p.code for p in problems}), sorted({p.code for p in listing.notes})


def boxes(listing):
    records = [r for members in listing.splits.values() for r in members]
    return {
        r.image_id: sorted((o.label, *(round(v, 2) for v in o.box_xyxy)) for o in r.sample.objects)
        for r in records
        if r.sample is not None
    }


def write(name, root):
    LAYOUTS[name].write(root)
    return root


# Splits


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("TRAIN_IMAGES", "train"),
        ("02-validation", "val"),
        ("TestSet", "test"),
        ("obj_Train_data", "train"),
        ("val2017", "val"),
        # Two of these in one set would be one place for two pictures.
        ("train_2", None),
        ("train2", None),
        # A place and a vehicle.
        ("train_station", None),
        ("train_val", None),
        ("trainval", None),
        ("images", None),
    ],
)
def test_names_of_splits(word, split):
    assert split_name(word) == split


def test_folders_that_may_be_splits_are_noted(tmp_path):
    for split in ("train", "test"):
        for scene in of_split(split):
            picture(tmp_path / f"cats {split} v2" / f"{scene.name}.jpg", scene)
            put(tmp_path / f"cats {split} v2" / f"{scene.name}.xml", voc_xml(scene))
    (note,) = divide(read(tmp_path)).notes
    assert note.code == "folders_not_splits"
    assert "cats test v2, cats train v2" in note.reason
    # One is no division.
    for scene in of_split("test"):
        for suffix in ("jpg", "xml"):
            (tmp_path / "cats test v2" / f"{scene.name}.{suffix}").unlink()
    assert divide(read(tmp_path)).notes == ()


def test_list_in_another_encoding_is_refused(tmp_path):
    for scene in SCENES:
        picture(tmp_path / f"\xe9{scene.name}.jpg", scene)
        put(tmp_path / f"\xe9{scene.name}.xml", voc_xml(scene))
    (tmp_path / "train.txt").write_bytes("\xe9p1\n\xe9p2\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"train\.txt: .*UTF-8"):
        read(tmp_path)


def test_nearest_list_of_a_name_counts(tmp_path):
    write("voc lists in splits/", tmp_path)
    put(tmp_path / "train.txt", "p1\n")
    put(tmp_path / "test.txt", "p9\n")
    put(tmp_path / "val.txt", "p5\n")
    listing = read(tmp_path)
    assert {name: len(records) for name, records in listing.splits.items()} == dict.fromkeys(
        ("train", "val", "test"), 1
    )
    assert codes(listing) == ([], ["list_not_used", "picture_in_no_list"])


def test_label_file_of_a_picture_called_train_is_no_list(tmp_path):
    for name in ("train", "p1", "p2"):
        picture(tmp_path / "images" / f"{name}.jpg", SCENES[1])
        put(tmp_path / "labels" / f"{name}.txt", yolo_txt(SCENES[1]))
    put(tmp_path / "classes.txt", "cat\ndog\n")
    assert len(read(tmp_path).splits[UNSPLIT]) == 3


def test_tables_that_name_splits_are_noted_beside_xml(tmp_path):
    write("voc images + annotations", tmp_path)
    put(tmp_path / "data" / "train_labels.csv", "filename,class,xmin,ymin,xmax,ymax\n")
    put(tmp_path / "data" / "all_labels.csv", "filename,class,xmin,ymin,xmax,ymax\n")
    (note,) = read(tmp_path).notes
    assert (note.code, note.file.name) == ("annotation_not_used", "train_labels.csv")


@pytest.mark.parametrize("text", ["", '{"info": {', '{"images": [{"id": 1, "file_na'])
def test_json_cut_short_is_refused(tmp_path, text):
    for split in ("train", "val"):
        for scene in of_split(split):
            picture(tmp_path / split / f"{scene.name}.jpg", scene)
        put(tmp_path / "annotations" / f"{split}.json", coco_json(of_split(split)))
    put(tmp_path / "annotations" / "val.json", text)
    with pytest.raises(DataError, match=r"val\.json: not valid JSON"):
        read(tmp_path)


# Masks


def test_masks_are_noted(tmp_path):
    for name in ("voc with masks of some pictures", "yolo with masks"):
        assert codes(read(write(name, tmp_path / name))) == ([], ["masks_not_used"])


def test_unlabelled_pictures_of_another_split_are_no_masks(tmp_path):
    for split in ("train", "test"):
        picture(tmp_path / split / "p1.jpg", SCENES[1])
    put(tmp_path / "train" / "p1.txt", yolo_txt(SCENES[1]))
    put(tmp_path / "classes.txt", "cat\ndog\n")
    listing = read(tmp_path)
    assert [len(records) for records in listing.splits.values()] == [1, 1]
    assert codes(listing) == ([], ["unlabelled_split"])


def test_one_picture_of_another_name_makes_a_folder_no_masks(tmp_path):
    write("yolo with masks", tmp_path)
    picture(tmp_path / "masks" / "p99.png", SCENES[0])
    assert codes(read(tmp_path)) == ([], ["folder_without_labels"])


def test_mask_among_annotations_is_not_the_picture(tmp_path):
    for scene in SCENES[:3]:
        picture(tmp_path / "pictures" / f"{scene.name}.png", scene)
        picture(tmp_path / "labels" / f"{scene.name}.png", scene)
        put(tmp_path / "labels" / f"{scene.name}.xml", voc_xml(scene))
    listing = read(tmp_path)
    assert {r.image_path.parent.name for r in listing.splits[UNSPLIT]} == {"pictures"}
    assert codes(listing)[1] == ["picture_not_used"]


# Marks and shapes that were passed over


ONE = SCENES[2]  # one cat
CAT = [("cat", 6.0, 6.0, 26.0, 30.0)]


def one_voc(root, old, new):
    picture(root / "p2.jpg", ONE)
    text = voc_xml(ONE)
    assert old in text
    put(root / "p2.xml", text.replace(old, new))
    return root


def one_coco(root, **keys):
    picture(root / "p2.jpg", ONE)
    put(root / "a.json", coco_json([ONE], annotation=lambda item: item | keys))
    return root


def flags(listing):
    (record,) = (r for members in listing.splits.values() for r in members)
    return [item.difficult for item in record.sample.objects]


def rotation(value):
    attribute = f"<attribute><name>rotation</name><value>{value}</value></attribute>"
    return f"<attributes>{attribute}</attributes><difficult>"


def test_rotated_boxes_are_no_boxes(tmp_path):
    voc = one_voc(tmp_path / "voc", "<difficult>", rotation("12.5"))
    roboxes = one_voc(tmp_path / "robndbox", "bndbox", "robndbox")
    coco = one_coco(tmp_path / "coco", attributes={"rotation": 12.5})
    for root in (voc, roboxes, coco):
        assert codes(read(root))[0] == ["rotated_box"]


def test_rotation_of_nothing_is_none(tmp_path):
    voc = one_voc(tmp_path / "voc", "<difficult>", rotation("0.0"))
    coco = one_coco(tmp_path / "coco", attributes={"occluded": False, "rotation": 0.0})
    for root in (voc, coco):
        assert list(boxes(read(root)).values()) == [CAT]


def test_boxes_of_an_object_are_one(tmp_path):
    listing = read(one_voc(tmp_path, "</bndbox>", "</bndbox><bndbox><xmin>1</xmin></bndbox>"))
    (problem,) = listing.splits[UNSPLIT][0].problems
    assert "has 2 <bndbox> instead of one" in problem.reason


def test_objects_in_other_spellings_are_no_background(tmp_path):
    picture(tmp_path / "p2.jpg", ONE)
    text = re.sub("<object>(.*)</object>", r"<objects><Object>\1</Object></objects>", voc_xml(ONE))
    put(tmp_path / "p2.xml", text.replace("xmin", "XMin").replace("bndbox", "BndBox"))
    assert boxes(read(tmp_path)) == {"p2": CAT}


@pytest.mark.parametrize("key", ["ignore", "difficult", "iscrowd"])
def test_marks_of_coco_that_leave_objects_out(tmp_path, key):
    assert flags(read(one_coco(tmp_path, **{key: 1}))) == [True]


def test_class_called_background_is_none_if_nothing_is_of_it(tmp_path):
    one_coco(tmp_path)
    content = json.loads((tmp_path / "a.json").read_text())
    content["categories"].insert(0, {"id": 0, "name": "background"})
    put(tmp_path / "a.json", json.dumps(content))
    assert read(tmp_path).labels == ("cat", "dog")
    content["annotations"][0]["category_id"] = 0
    put(tmp_path / "a.json", json.dumps(content))
    assert read(tmp_path).labels == ("background", "cat", "dog")


# Files of tools


PERCENT = {"x": 9.375, "y": 12.5, "width": 31.25, "height": 50.0}  # CAT


def label_studio(root, *annotations, name="p2.jpg", **task):
    picture(root / "p2.jpg", ONE)
    picture(root / "p0.jpg", SCENES[0])
    empty = {"data": {"image": "p0.jpg"}, "annotations": [{"result": []}]}
    tasks = [{"data": {"photo": name}, "annotations": list(annotations)} | task, empty]
    put(root / "export.json", json.dumps(tasks))
    return read(root)


def result(values, **keys):
    return {"id": "r1", "value": values} | keys


def test_shapes_of_label_studio(tmp_path):
    cat = {"rectanglelabels": ["cat"]}
    x, y, width, height = PERCENT.values()
    corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    ellipse = {
        **{"x": x + width / 2, "y": y + height / 2},
        **{"radiusX": width / 2, "radiusY": height / 2},
    }
    results = {
        "rectangle": [result(PERCENT | cat)],
        "polygon": [result({"points": corners, "polygonlabels": ["cat"]})],
        "ellipse": [result(ellipse | {"ellipselabels": ["cat"]})],
        "labels": [result(PERCENT), result(PERCENT | {"labels": ["cat"]})],
        "choices": [result(PERCENT | cat), result({"choices": ["sharp"]}, id="r2")],
    }
    for name, found in results.items():
        assert boxes(label_studio(tmp_path / name, {"result": found})) == {"p2": CAT, "p0": []}


def test_classes_of_one_box_are_objects_each(tmp_path):
    found = [result(PERCENT | {"rectanglelabels": ["cat", "dog"]})]
    _, *corners = CAT[0]
    both = [*CAT, ("dog", *corners)]
    assert boxes(label_studio(tmp_path, {"result": found}))["p2"] == both


def test_shapes_of_label_studio_without_a_box(tmp_path):
    cat = {"rectanglelabels": ["cat"]}
    results = {
        "have no box": result({"rle": [1, 2], "brushlabels": ["cat"]}),
        "is rotated": result(PERCENT | cat | {"rotation": 3.0}),
        "has no class": result(PERCENT),
    }
    for number, (reason, found) in enumerate(results.items()):
        listing = label_studio(tmp_path / str(number), {"result": [found]})
        (problem,) = listing.splits[UNSPLIT][0].problems
        assert reason in problem.reason


def test_annotations_of_several_people_are_one(tmp_path):
    cat = {"rectanglelabels": ["cat"]}
    last = {"updated_at": "2026-02-01", "result": [result(PERCENT | cat)]}
    other = PERCENT | {"x": 20.0} | cat
    first = {"updated_at": "2026-01-01", "result": [result(other)]}
    gone = {"updated_at": "2026-03-01", "was_cancelled": True, "result": [result(other)]}
    listing = label_studio(tmp_path, last, first, gone)
    assert boxes(listing)["p2"] == CAT
    assert codes(listing) == ([], ["several_annotations"])


def test_task_that_nobody_annotated_is_no_background(tmp_path):
    for number, annotations in enumerate(([], [{"was_cancelled": True, "result": []}])):
        listing = label_studio(tmp_path / str(number), *annotations)
        assert boxes(listing) == {"p0": []}
        assert codes(listing) == ([], ["picture_not_annotated"])


def labelme(root, **shape):
    _, *corners = CAT[0]
    box = {"label": "cat", "points": [corners[:2], corners[2:]], "shape_type": "rectangle"}
    put(root / "p2.json", json.dumps({"imagePath": "p2.jpg", "shapes": [box | shape]}))


def test_marks_of_labelme(tmp_path):
    picture(tmp_path / "p2.jpg", ONE)
    labelme(tmp_path, difficult=True)
    assert flags(read(tmp_path)) == [True]
    labelme(tmp_path, shape_type="rotation")
    (record,) = read(tmp_path).splits[UNSPLIT]
    assert "is rotated" in record.problems[0].reason


def test_file_of_one_picture_is_about_no_other_of_its_name(tmp_path):
    picture(tmp_path / "cam1" / "p1.jpg", SCENES[1])
    picture(tmp_path / "cam2" / "p2.jpg", SCENES[2])
    labelme(tmp_path / "cam1")
    assert codes(read(tmp_path)) == (["missing_picture"], ["picture_not_annotated"])
    labelme(tmp_path / "cam2" / "json")
    (tmp_path / "cam1" / "p2.json").unlink()
    assert list(boxes(read(tmp_path)).values()) == [CAT]


def table(scenes, *, delimiter=",", split=""):
    """CSV; ``split`` is the name of a column that says it."""
    rows = [["filename", "class", "xmin", "ymin", "xmax", "ymax", *([split] if split else [])]]
    for scene in scenes:
        for label, box in scene.objects:
            rows.append([f"{scene.name}.jpg", label, *map(str, box)])
            rows[-1] += [scene.split.upper()] if split else []
    return "".join(f"{delimiter.join(row)}\r\n" for row in rows)


def sizes(listing):
    return {split: len(records) for split, records in listing.splits.items()}


LABELLED = {"train": 4, "val": 2, "test": 2}


@pytest.mark.parametrize("column", ["split", "Subset", "usage"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_column_of_splits(tmp_path, column, delimiter):
    for scene in SCENES:
        picture(tmp_path / "images" / f"{scene.name}.jpg", scene)
    put(tmp_path / "labels.csv", table(SCENES, delimiter=delimiter, split=column))
    assert sizes(read(tmp_path)) == LABELLED


def test_table_of_all_beside_those_of_splits(tmp_path):
    for scene in SCENES:
        picture(tmp_path / "images" / f"{scene.name}.jpg", scene)
    put(tmp_path / "data" / "all_labels.csv", table(SCENES))
    for split in ("train", "val", "test"):
        put(tmp_path / "data" / f"{split}_labels.csv", table(of_split(split)))
    listing = read(tmp_path)
    assert sizes(listing) == LABELLED
    assert codes(listing) == ([], ["picture_not_annotated"])
    put(tmp_path / "data" / "train_labels.csv", table(SCENES))
    assert "several_splits" in codes(read(tmp_path))[1]


def test_crowds_of_open_images(tmp_path):
    picture(tmp_path / "p2.jpg", ONE)
    height, width = SIZE_HW
    _, x1, y1, x2, y2 = CAT[0]
    put(
        tmp_path / "boxes.csv",
        "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
        f"p2,cat,{x1 / width},{x2 / width},{y1 / height},{y2 / height},1\n",
    )
    listing = read(tmp_path)
    assert boxes(listing) == {"p2": CAT}
    assert flags(listing) == [True]


def test_table_without_a_known_heading_says_which(tmp_path):
    picture(tmp_path / "p2.jpg", ONE)
    put(tmp_path / "annotations.csv", "p2.jpg,6,6,26,30,cat\n")
    with pytest.raises(DataError, match=r"\.csv is \"p2\.jpg,6,.*filename, class, xmin, ymin"):
        read(tmp_path)


# YOLO


def yolo(root, yaml="names: [cat, dog]\n"):
    for scene in SCENES:
        picture(root / "images" / scene.split / f"{scene.name}.jpg", scene)
        put(root / "labels" / scene.split / f"{scene.name}.txt", yolo_txt(scene))
    put(root / "data.yaml", f"train: images/train\nval: images/val\ntest: images/test\n{yaml}")
    return root


@pytest.mark.parametrize(
    ("yaml", "names"),
    [
        ("names: [yes, no]", ("yes", "no")),
        ("names: {0: null, 1: 007}", ("null", "007")),
        ("names:\n  0: 1e3\n  1: 2026-01-01", ("1e3", "2026-01-01")),
        ("names: [~, on]", ("~", "on")),
        ("nc: 2", ("class_0", "class_1")),
        ("names: obj.names", ("cat", "dog")),
    ],
)
def test_names_are_those_that_people_wrote(tmp_path, yaml, names):
    put(tmp_path / "obj.names", "cat\ndog\n")
    assert read(yolo(tmp_path, yaml)).labels == names


def test_count_of_classes_that_is_another_is_noted(tmp_path):
    (note,) = read(yolo(tmp_path, "nc: 5\nnames: [cat, dog]")).notes
    assert (note.code, note.reason) == (
        "class_count",
        "nc is 5, but names has 2 classes; names count",
    )


@pytest.mark.parametrize("twice", ["names: {0: cat, 0: dog}", "names: [a, b]\nnames: [cat, dog]"])
def test_double_keys_are_refused(tmp_path, twice):
    with pytest.raises(DataError, match="is there twice; keep one"):
        read(yolo(tmp_path, twice))


def test_labels_of_two_pictures_are_noted(tmp_path):
    picture(yolo(tmp_path) / "images" / "train" / "p1.png", SCENES[9])
    (note,) = read(tmp_path).notes
    assert note.code == "labels_shared"
    assert "p1.jpg and p1.png" in note.reason


def test_lists_of_classes_may_be_the_beginnings_of_one(tmp_path):
    yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    put(tmp_path / "labels" / "train" / "classes.txt", "cat\ndog\n")
    put(tmp_path / "labels" / "val" / "classes.txt", "cat\n")
    assert read(tmp_path).labels == ("cat", "dog")
    put(tmp_path / "labels" / "val" / "classes.txt", "dog\n")
    with pytest.raises(DataError, match="name different classes"):
        read(tmp_path)


# The command line


def command(*words):
    return CliRunner().invoke(app, ["data", *map(str, words)])


def test_conversion_refuses_pictures_of_another_size(tmp_path):
    for name in ("p1", "p2"):
        picture(tmp_path / "set" / "train" / f"{name}.jpg", SCENES[int(name[1:])])
        text = voc_xml(SCENES[int(name[1:])])
        put(tmp_path / "set" / "train" / f"{name}.xml", text)
    put(tmp_path / "set" / "train" / "p2.xml", text.replace(f">{SIZE_HW[1]}<", ">640<"))
    arguments = ("convert", tmp_path / "set", "--to", "yolo", "--out", tmp_path / "new")
    refused = command(*arguments)
    assert "640x48" in str(refused.exception)
    assert not (tmp_path / "new").exists()
    assert command(*arguments, "--skip-bad").exit_code == 0
    assert boxes(read(tmp_path / "new")).keys() == {"p1"}


def test_conversion_and_sheet_take_the_settings_of_the_check(tmp_path):
    for scene in SCENES[1:3]:
        picture(tmp_path / "set" / "frames" / f"{scene.name}.jpg", scene)
        put(tmp_path / "set" / "marks" / f"{scene.name}.txt", yolo_txt(scene))
    put(tmp_path / "names", "cat\ndog\n")
    options = ["--set", "data.images=frames", "--set", "data.annotations=marks"]
    options += ["--labels", tmp_path / "names"]
    sheet = tmp_path / "sheet.png"
    split = next(iter(divide(read_listing(tmp_path / "set", "yolo")).splits))
    shown = command("show", tmp_path / "set", *options, "--split", split, "--out", sheet)
    assert shown.exit_code == 0, shown.output
    target = tmp_path / "new"
    done = command("convert", tmp_path / "set", *options, "--to", "coco", "--out", target)
    assert done.exit_code == 0, done.output
    assert read(target).labels == ("cat", "dog")
