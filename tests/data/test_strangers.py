"""What strangers' folders did: each fault's kind is read right now, refused, or noted."""

import pytest
from layouts import LAYOUTS, SCENES, coco_json, of_split, picture, put, voc_xml, yolo_txt

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
