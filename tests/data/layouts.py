"""One small data set, written as people and labelling tools lay it out.

``LAYOUTS`` has every layout: a writer, and what is kept of the set in it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SIZE_HW = (48, 64)
CLASSES = ("cat", "dog")
Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Scene:
    """A picture of the set: boxes are whole pixels, 0-based, ends exclusive."""

    name: str
    split: str
    objects: tuple[tuple[str, Corners], ...]

    @property
    def shares(self) -> list[tuple[int, Corners]]:
        """(class id, (cx, cy, width, height) in shares) of each object."""
        height, width = SIZE_HW
        return [
            (
                CLASSES.index(label),
                (
                    (x1 + x2) / 2 / width,
                    (y1 + y2) / 2 / height,
                    (x2 - x1) / width,
                    (y2 - y1) / height,
                ),
            )
            for label, (x1, y1, x2, y2) in self.objects
        ]


def _scene(number: int, split: str) -> Scene:
    box = (4.0 + number, 6.0, 24.0 + number, 30.0)
    objects = [("cat", box)] if number % 3 else []
    if number % 2:
        objects.append(("dog", (30.0, 10.0 + number, 60.0, 40.0)))
    return Scene(f"p{number}", split, tuple(objects))


SCENES = tuple(
    _scene(number, split)
    for number, split in enumerate(("train",) * 5 + ("val",) * 3 + ("test",) * 2)
)
"""Ten pictures: numbers 0 and 6 show nothing, 3 and 9 a dog, the others one or two objects."""


@dataclass(frozen=True)
class Layout:
    """One way to lay the set out.

    Attributes:
        write: writes the set into a folder.
        splits: names of the splits that it keeps; empty: it knows none.
        labels: class names that it keeps in their order; empty: they come from the objects.
        background: whether pictures without objects are kept.
        read: the part of the folder that is given as the data set.
    """

    write: Callable[[Path], None]
    splits: tuple[str, ...] = ("train", "val", "test")
    labels: tuple[str, ...] = ()
    background: bool = True
    read: str = ""


LAYOUTS: dict[str, Layout] = {}


def layout(name: str, **kept: object) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def add(write: Callable[[Path], None]) -> Callable[[Path], None]:
        LAYOUTS[name] = Layout(write, **kept)
        return write

    return add


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def picture(path: Path, scene: Scene) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (20 * int(scene.name[1:]), 90, 120)
    Image.new("RGB", SIZE_HW[::-1], colour).save(path)


def voc_xml(scene: Scene) -> str:
    objects = "".join(
        f"<object><name>{label}</name><difficult>Unspecified</difficult><bndbox><xmin>{x1 + 1:g}"
        f"</xmin><ymin>{y1 + 1:g}</ymin><xmax>{x2:g}</xmax><ymax>{y2:g}</ymax></bndbox></object>"
        for label, (x1, y1, x2, y2) in scene.objects
    )
    size = f"<size><width>{SIZE_HW[1]}</width><height>{SIZE_HW[0]}</height></size>"
    return f"<annotation><filename>{scene.name}.jpg</filename>{size}{objects}</annotation>"


def yolo_txt(scene: Scene) -> str:
    return "".join(
        f"{number} {' '.join(f'{value:.6f}' for value in values)}\n"
        for number, values in scene.shares
    )


def coco_json(scenes: Iterable[Scene], prefix: str = "", **changes: Callable[[dict], dict]) -> str:
    """COCO JSON; ``changes`` of "image" or "annotation" edit each of them."""
    images, annotations = [], []
    height, width = SIZE_HW
    for number, scene in enumerate(scenes, start=10):
        name = f"{prefix}{scene.name}.jpg"
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for label, (x1, y1, x2, y2) in scene.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CLASSES.index(label) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": 0,
                }
            )
    return json.dumps(
        {
            "info": {},
            "images": [changes.get("image", dict)(item) for item in images],
            "annotations": [changes.get("annotation", dict)(item) for item in annotations],
            "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES, start=1)],
        }
    )


def of_split(split: str) -> list[Scene]:
    return [scene for scene in SCENES if scene.split == split]


def by_split(words: tuple[str, str, str]) -> Iterator[tuple[str, Scene]]:
    """Yield the word for its split, and the scene."""
    for split, word in zip(("train", "val", "test"), words, strict=True):
        yield from ((word, scene) for scene in of_split(split))


def id_lists(folder: Path, suffix: str = ".txt", line: str = "{}\n", prefix: str = "") -> None:
    for split in ("train", "val", "test"):
        text = "".join(line.format(scene.name) for scene in of_split(split))
        put(folder / f"{prefix}{split}{suffix}", text)


# VOC ------------------------------------------------------------------------------------------

WORDS = (("train", "val", "test"), ("train", "valid", "test"), ("Training", "validate", "Testing"))
PICTURES = ("images", "JPEGImages", "Images", "imgs")
ANNOTATIONS = ("annotations", "Annotations", "annots", "labels", "xmls", "annotations/xmls")


def _voc_folders(name: str, pictures: str, annotations: str, words: tuple[str, str, str]) -> None:
    @layout(f"voc {name}", splits=())
    def flat(root: Path) -> None:
        for scene in SCENES:
            picture(root / pictures / f"{scene.name}.jpg", scene)
            put(root / annotations / f"{scene.name}.xml", voc_xml(scene))

    @layout(f"voc {name} splits above")
    def above(root: Path) -> None:
        for word, scene in by_split(words):
            picture(root / word / pictures / f"{scene.name}.jpg", scene)
            put(root / word / annotations / f"{scene.name}.xml", voc_xml(scene))

    @layout(f"voc {name} splits below")
    def below(root: Path) -> None:
        for word, scene in by_split(words):
            picture(root / pictures / word / f"{scene.name}.jpg", scene)
            put(root / annotations / word / f"{scene.name}.xml", voc_xml(scene))


for number, annotations_folder in enumerate(ANNOTATIONS):
    for pictures_folder in PICTURES:
        _voc_folders(
            f"{pictures_folder} + {annotations_folder}",
            pictures_folder,
            annotations_folder,
            WORDS[number % len(WORDS)],
        )
_voc_folders("of FiftyOne", "data", "labels", WORDS[0])


@layout("voc side by side", splits=())
def _(root: Path) -> None:
    for scene in SCENES:
        picture(root / f"{scene.name}.jpg", scene)
        put(root / f"{scene.name}.xml", voc_xml(scene))


@layout("voc of Roboflow")
def _(root: Path) -> None:
    for word, scene in by_split(("train", "valid", "test")):
        picture(root / word / f"{scene.name}.jpg", scene)
        put(root / word / f"{scene.name}.xml", voc_xml(scene))


@layout("voc pictures by split, annotations in one folder")
def _(root: Path) -> None:
    for word, scene in by_split(WORDS[0]):
        picture(root / "images" / word / f"{scene.name}.jpg", scene)
        put(root / "annotations" / f"{scene.name}.xml", voc_xml(scene))


@layout("voc annotations by split, pictures in one folder")
def _(root: Path) -> None:
    for word, scene in by_split(WORDS[0]):
        picture(root / "images" / f"{scene.name}.jpg", scene)
        put(root / word / "annotations" / f"{scene.name}.xml", voc_xml(scene))


@layout("voc inside two folders", splits=())
def _(root: Path) -> None:
    LAYOUTS["voc images + annots"].write(root / "download" / "balls-main")


def _standard(root: Path) -> None:
    LAYOUTS["voc JPEGImages + Annotations"].write(root)


@layout("voc of the challenge")
def _(root: Path) -> None:
    _standard(root / "VOCdevkit" / "VOC2012")
    id_lists(root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main")


@layout("voc lists with extensions")
def _(root: Path) -> None:
    _standard(root)
    id_lists(root / "ImageSets" / "Main", line="{}.jpg\r\n")


@layout("voc lists with capitals and a second column")
def _(root: Path) -> None:
    _standard(root)
    for word, split in (("Train", "train"), ("Validation", "val"), ("Test", "test")):
        lines = "".join(f"{scene.name}  1\n" for scene in of_split(split))
        put(root / "ImageSets" / "Main" / f"{word}.txt", lines)


@layout("voc lists of ids only in ImageSets")
def _(root: Path) -> None:
    _standard(root)
    id_lists(root / "ImageSets")


@layout("voc lists of a task")
def _(root: Path) -> None:
    _standard(root)
    id_lists(root / "ImageSets" / "Main", prefix="t1_")


@layout("voc lists beside lists of classes")
def _(root: Path) -> None:
    _standard(root)
    id_lists(root / "ImageSets" / "Main")
    id_lists(root / "ImageSets" / "Main", prefix="cat_")


@layout("voc of VoTT")
def _(root: Path) -> None:
    export = root / "balls-PascalVOC-export"
    _standard(export)
    for split in ("train", "val", "test"):
        for name in CLASSES:
            flags = [
                (s, int(any(label == name for label, _ in s.objects))) for s in of_split(split)
            ]
            lines = "".join(f"{scene.name}.jpg {flag or -1}\n" for scene, flag in flags)
            put(export / "ImageSets" / "Main" / f"{name}_{split}.txt", lines)
    items = "".join(f"item {{\n id: {n}\n name: '{c}'\n}}\n" for n, c in enumerate(CLASSES, 1))
    put(export / "pascal_label_map.pbtxt", items)


@layout("voc of CVAT", splits=())
def _(root: Path) -> None:
    _standard(root)
    put(root / "ImageSets" / "Main" / "default.txt", "".join(f"{s.name}\n" for s in SCENES))
    put(root / "ImageSets" / "Main" / "cat_default.txt", "".join(f"{s.name}\n" for s in SCENES))
    put(root / "labelmap.txt", "# label:color_rgb:parts:actions\ncat:1,2,3::\ndog:4,5,6::\n")


@layout("voc of PaddleDetection")
def _(root: Path) -> None:
    LAYOUTS["voc images + annotations"].write(root)
    id_lists(root, line="./images/{0}.jpg ./annotations/{0}.xml\n")
    put(root / "label_list.txt", "dog\ncat\n")


@layout("voc names of files only in the annotations", splits=())
def _(root: Path) -> None:
    for number, scene in enumerate(SCENES):
        picture(root / "images" / f"{scene.name}.jpg", scene)
        put(root / "annotations" / f"{number + 1000}.xml", voc_xml(scene))


@layout("voc ids with spaces")
def _(root: Path) -> None:
    _standard(root)
    for path in [*root.rglob("*.jpg"), *root.rglob("*.xml")]:
        path.rename(path.with_name(f"my {path.name}"))
    id_lists(root / "ImageSets" / "Main", line="my {}\n")


# YOLO -----------------------------------------------------------------------------------------


def _yolo_folders(root: Path, images: str, labels: str) -> None:
    """``images`` and ``labels`` are folders with {} for the split."""
    for word, scene in by_split(("train", "val", "test")):
        picture(root / images.format(word) / f"{scene.name}.jpg", scene)
        if scene.objects:
            put(root / labels.format(word) / f"{scene.name}.txt", yolo_txt(scene))


def _yaml(root: Path, images: str, name: str = "data.yaml", more: str = "") -> None:
    splits = "".join(f"{split}: {images.format(split)}\n" for split in ("train", "val", "test"))
    put(root / name, f"{more}{splits}nc: 2\nnames: ['cat', 'dog']\n")


def _yolo(name: str, images: str, labels: str, *yaml: str) -> None:
    """``yaml``: as :func:`_yaml`."""

    @layout(f"yolo {name}", labels=CLASSES)
    def write(root: Path) -> None:
        _yolo_folders(root, images, labels)
        _yaml(root, *yaml)


IN_SPLITS = ("{}/images", "{}/labels")
BELOW = ("images/{}", "labels/{}")
_yolo("of Ultralytics", *BELOW, "images/{}", "coco8.yaml", "path: coco8\nchannels: 3\nauthor: me\n")
_yolo("of Roboflow", *IN_SPLITS, "../{}/images", "data.yaml", "roboflow:\n  version: 1\n")
_yolo("of FiftyOne", *BELOW, "./images/{}/", "dataset.yaml", "path: .\n")
_yolo("with another .yaml", *BELOW, "images/{}", "config.yaml")
_yolo("paths of another machine", *BELOW, "/content/drive/balls/images/{}")
_yolo("labels in label", "images/{}", "label/{}", "images/{}")
_yolo("with capitals", "Images/{}", "Labels/{}", "Images/{}")
_yolo("all labels in one folder", "images/{}", "labels", "images/{}")
_yolo("labels in annotations", "{}/images", "{}/annotations", "{}/images")
_yolo("JPEGImages", "JPEGImages/{}", "labels/{}", "JPEGImages/{}")
_yolo("side by side", "{}", "{}", "{}")


@layout("yolo its .yaml file", labels=CLASSES, read="balls.yaml")
def _(root: Path) -> None:
    _yolo_folders(root, *BELOW)
    _yaml(root, "images/{}", "balls.yaml")


@layout("yolo of supervision", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, "images", "labels")
    put(root / "data.yaml", "nc: 2\nnames:\n- cat\n- dog\n")


@layout("yolo of supervision by split", labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, *IN_SPLITS)
    put(root / "data.yaml", "nc: 2\nnames:\n- cat\n- dog\n")


@layout("yolo inside a folder", labels=CLASSES)
def _(root: Path) -> None:
    LAYOUTS["yolo of Roboflow"].write(root / "balls.v1i.yolov8")


@layout("yolo lists", labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, "images", "labels")
    id_lists(root, line="./images/{}.jpg\n", prefix="autosplit_")
    _yaml(root, "autosplit_{}.txt")


@layout("yolo of CVAT (Ultralytics)", labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, *BELOW)
    for split in ("train", "val", "test"):
        lines = "".join(f"data/images/{split}/{scene.name}.jpg\n" for scene in of_split(split))
        put(root / f"{split}.txt", lines)
    _yaml(root, "{}.txt", more="path: .\n")


def _darknet(root: Path, *, lists: bool) -> None:
    for scene in SCENES:
        picture(root / "obj_train_data" / f"{scene.name}.jpg", scene)
        put(root / "obj_train_data" / f"{scene.name}.txt", yolo_txt(scene))
    put(root / "obj.names", "cat\ndog\n")
    named = "train = data/train.txt\n" + ("valid = data/test.txt\n" if lists else "")
    put(root / "obj.data", f"classes = 2\n{named}names = data/obj.names\nbackup = backup/\n")


@layout("yolo of CVAT (one split)", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    _darknet(root, lists=False)
    lines = "".join(f"data/obj_train_data/{scene.name}.jpg\n" for scene in SCENES)
    put(root / "train.txt", lines)


@layout("yolo of CVAT (subsets)", labels=CLASSES)
def _(root: Path) -> None:
    for split, word in (("train", "train"), ("val", "Validation"), ("test", "Test")):
        for scene in of_split(split):
            picture(root / f"obj_{word}_data" / f"{scene.name}.jpg", scene)
            put(root / f"obj_{word}_data" / f"{scene.name}.txt", yolo_txt(scene))
        lines = "".join(f"data/obj_{word}_data/{scene.name}.jpg\n" for scene in of_split(split))
        put(root / f"{word}.txt", lines)
    put(root / "obj.names", "cat\ndog\n")
    put(root / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n")


@layout("yolo of darknet", splits=("train", "val"), labels=CLASSES)
def _(root: Path) -> None:
    _darknet(root, lists=True)
    for name, splits in (("train", ("train", "test")), ("test", ("val",))):
        scenes = [scene for split in splits for scene in of_split(split)]
        lines = "".join(f"data/obj_train_data/{scene.name}.jpg\n" for scene in scenes)
        put(root / f"{name}.txt", lines)


@layout("yolo of Roboflow (darknet)", labels=CLASSES)
def _(root: Path) -> None:
    for word, scene in by_split(("train", "valid", "test")):
        picture(root / word / f"{scene.name}.jpg", scene)
        put(root / word / f"{scene.name}.txt", yolo_txt(scene))
        put(root / word / "_darknet.labels", "cat\ndog\n")


@layout("yolo of Label Studio", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, "images", "labels")
    put(root / "classes.txt", "cat\ndog\n")
    put(root / "notes.json", '{"categories": [{"id": 0, "name": "cat"}], "info": {"year": 2026}}')


@layout("yolo of FiftyOne (version 4)", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, "data", "data")
    put(root / "obj.names", "cat\ndog\n")
    put(root / "images.txt", "".join(f"data/{scene.name}.jpg\n" for scene in SCENES))


@layout("yolo side by side without names", splits=(), labels=("class_0", "class_1"))
def _(root: Path) -> None:
    _yolo_folders(root, "", "")


@layout("yolo folders of splits without .yaml", labels=("class_0", "class_1"))
def _(root: Path) -> None:
    _yolo_folders(root, *IN_SPLITS)


@layout("yolo segments", labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, *BELOW)
    _yaml(root, "images/{}")
    for word, scene in by_split(WORDS[0]):
        lines = []
        for number, (cx, cy, w, h) in scene.shares:
            x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
            lines.append(f"{number} {x1} {cy} {cx} {y1} {x2} {cy} {cx} {y2} {x1} {cy}\n")
        put(root / "labels" / word / f"{scene.name}.txt", "".join(lines))


@layout("yolo poses", labels=CLASSES)
def _(root: Path) -> None:
    _yolo_folders(root, *BELOW)
    _yaml(root, "images/{}", more="kpt_shape: [12, 2]\nkpt_names:\n  0: [nose]\n")
    for word, scene in by_split(WORDS[0]):
        lines = [
            f"{float(number):.3e} {cx} {cy} {w} {h}" + " 0.01 0.99" * 12 + "\n"
            for number, (cx, cy, w, h) in scene.shares
        ]
        put(root / "labels" / word / f"{scene.name}.txt", "".join(lines))


# COCO -----------------------------------------------------------------------------------------


def _coco(name: str, pictures: str, file: str, prefix: str = "", **changes: Callable[[dict], dict]):
    """``pictures`` and ``file`` have {} for the split."""

    @layout(f"coco {name}", labels=CLASSES)
    def write(root: Path) -> None:
        for split, word in zip(("train", "val", "test"), ("train", "valid", "test"), strict=True):
            for scene in of_split(split):
                picture(root / pictures.format(word) / f"{scene.name}.jpg", scene)
            text = coco_json(of_split(split), prefix.format(word), **changes)
            put(root / file.format(word), text)


def _coco_whole(
    name: str, pictures: str, file: str, prefix: str = "", **changes: Callable[[dict], dict]
):
    @layout(f"coco {name}", labels=CLASSES, splits=())
    def write(root: Path) -> None:
        for scene in SCENES:
            picture(root / pictures / f"{scene.name}.jpg", scene)
        put(root / file, coco_json(SCENES, prefix, **changes))


def _polygon(item: dict) -> dict:
    x, y, w, h = item.pop("bbox")
    return item | {"segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}


_coco("official", "{}2017", "annotations/instances_{}2017.json")
_coco("pictures in images", "images/{}", "annotations/instances_{}.json")
_coco("of Roboflow", "{}", "{}/_annotations.coco.json")
_coco("of MediaPipe", "{}/images", "{}/labels.json")
_coco("of supervision", "{}", "annotations/{}.json")
_coco("named by split first", "images", "{}_annotations.json")
_coco_whole("of FiftyOne", "data", "labels.json")
_coco_whole("of CVAT", "images/default", "annotations/instances_default.json")
_coco_whole("of Label Studio", "images", "result.json", "images/")
_coco_whole("of Label Studio on Windows", "images", "result.json", "images\\1\\")
_coco_whole(
    "of VIA", "", "via_coco.json", annotation=lambda a: a | {"image_id": str(a["image_id"])}
)
_coco_whole("paths of another machine", "photos", "coco.json", "C:\\Users\\me\\balls\\")
_coco_whole("ids as text", "images", "coco.json", image=lambda i: i | {"id": str(i["id"])})
_coco_whole("polygons", "images", "coco.json", annotation=_polygon)
_coco_whole("marks as text", "images", "coco.json", annotation=lambda a: a | {"iscrowd": "0"})
_coco_whole("no sizes", "images", "coco.json", image=lambda i: i | {"width": None})


@layout("coco one picture in several entries", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    for scene in SCENES:
        picture(root / "images" / f"{scene.name}.jpg", scene)
    parts = [
        Scene(scene.name, scene.split, objects)
        for scene in SCENES
        for objects in (scene.objects[:1], scene.objects[1:])
    ]
    put(root / "coco.json", coco_json(parts))


# Files of a tool's own kind -------------------------------------------------------------------


def _corner(box: Corners) -> dict[str, float]:
    x1, y1, x2, y2 = box
    return {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}


def _pictures(root: Path, folder: str = "{}", words: tuple[str, str, str] = WORDS[0]) -> None:
    for word, scene in by_split(words):
        picture(root / folder.format(word) / f"{scene.name}.jpg", scene)


@layout("tool Edge Impulse", splits=("train", "test"))
def _(root: Path) -> None:
    for word, splits in (("training", ("train", "val")), ("testing", ("test",))):
        scenes = [scene for split in splits for scene in of_split(split)]
        boxes = {
            f"{s.name}.jpg": [{"label": label} | _corner(box) for label, box in s.objects]
            for s in scenes
        }
        content = {"version": 1, "type": "bounding-box-labels", "boundingBoxes": boxes}
        put(root / word / "bounding_boxes.labels", json.dumps(content))
        for scene in scenes:
            picture(root / word / f"{scene.name}.jpg", scene)


@layout("tool Edge Impulse info.labels", splits=("train", "test"))
def _(root: Path) -> None:
    files = []
    for scene in SCENES:
        category = "testing" if scene.split == "test" else "training"
        picture(root / category / f"{scene.name}.jpg", scene)
        boxes = [{"label": label} | _corner(box) for label, box in scene.objects]
        path = f"{category}/{scene.name}.jpg"
        files.append({"path": path, "category": category, "boundingBoxes": boxes})
    put(root / "info.labels", json.dumps({"version": 1, "files": files}))


def _via(scene: Scene) -> dict:
    regions = [
        {"shape_attributes": {"name": "rect"} | _corner(box), "region_attributes": {"kind": label}}
        for label, box in scene.objects
    ]
    return {
        "filename": f"{scene.name}.jpg",
        "size": 1234,
        "regions": regions,
        "file_attributes": {},
    }


@layout("tool VIA annotations", splits=())
def _(root: Path) -> None:
    _pictures(root, "")
    put(root / "via_region_data.json", json.dumps({f"{s.name}.jpg1234": _via(s) for s in SCENES}))


@layout("tool VIA project", splits=())
def _(root: Path) -> None:
    _pictures(root, "images")
    metadata = {f"{scene.name}.jpg1234": _via(scene) for scene in SCENES}
    put(root / "project.json", json.dumps({"_via_settings": {}, "_via_img_metadata": metadata}))


@layout("tool VIA by split")
def _(root: Path) -> None:
    _pictures(root)
    for split in ("train", "val", "test"):
        content = {f"{scene.name}.jpg1234": _via(scene) for scene in of_split(split)}
        put(root / split / "via_region_data.json", json.dumps(content))


def _table(header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


@layout("tool VIA table", splits=())
def _(root: Path) -> None:
    _pictures(root, "")
    header = ("filename", "file_size", "file_attributes", "region_count", "region_id")
    rows = []
    for item in map(_via, SCENES):
        for region in item["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]:
            parts = (json.dumps(part) for part in region.values())
            rows.append((item["filename"], 1234, "{}", 1, 0, *parts))
    put(
        root / "via_region_data.csv",
        _table((*header, "region_shape_attributes", "region_attributes"), rows),
    )


@layout("tool VoTT", splits=())
def _(root: Path) -> None:
    export = root / "vott-json-export"
    _pictures(export, "")
    height, width = SIZE_HW
    assets = {}
    for scene in SCENES:
        regions = [
            {
                "id": "r",
                "tags": [label],
                "boundingBox": {
                    "left": box[0],
                    "top": box[1],
                    "width": box[2] - box[0],
                    "height": box[3] - box[1],
                },
            }
            for label, box in scene.objects
        ]
        name = f"{scene.name}.jpg"
        asset = {
            "name": name,
            "path": f"file:/C:/{name}",
            "size": {"width": width, "height": height},
        }
        assets[f"id-{scene.name}"] = {"asset": asset, "regions": regions}
    put(export / "balls-export.json", json.dumps({"name": "balls", "tags": [], "assets": assets}))


def _rows(scenes: Iterable[Scene], *size: int) -> list[tuple[object, ...]]:
    return [(f"{s.name}.jpg", *size, label, *box) for s in scenes for label, box in s.objects]


@layout("tool VoTT table", splits=(), background=False)
def _(root: Path) -> None:
    _pictures(root, "vott-csv-export")
    rows = [(name, *box, label) for name, label, *box in _rows(SCENES)]
    header = ("image", "xmin", "ymin", "xmax", "ymax", "label")
    put(root / "vott-csv-export" / "balls-export.csv", _table(header, rows))


@layout("tool Roboflow table", background=False)
def _(root: Path) -> None:
    _pictures(root, "{}", WORDS[1])
    header = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
    for split, word in (("train", "train"), ("val", "valid"), ("test", "test")):
        rows = _rows(of_split(split), SIZE_HW[1], SIZE_HW[0])
        put(root / word / "_annotations.csv", _table(header, rows))


@layout("tool TensorFlow tables", background=False)
def _(root: Path) -> None:
    _pictures(root, "images")
    header = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
    for split in ("train", "val", "test"):
        rows = _rows(of_split(split), SIZE_HW[1], SIZE_HW[0])
        put(root / f"{split}_labels.csv", _table(header, rows))


@layout("tool Roboflow CreateML")
def _(root: Path) -> None:
    _pictures(root, "{}", WORDS[1])
    for split, word in (("train", "train"), ("val", "valid"), ("test", "test")):
        content = []
        for scene in of_split(split):
            boxes = [
                {
                    "label": label,
                    "coordinates": _corner(box)
                    | {"x": (box[0] + box[2]) / 2, "y": (box[1] + box[3]) / 2},
                }
                for label, box in scene.objects
            ]
            content.append({"image": f"{scene.name}.jpg", "annotations": boxes})
        put(root / word / "_annotations.createml.json", json.dumps(content))


@layout("tool FiftyOne", splits=())
def _(root: Path) -> None:
    _pictures(root, "data")
    height, width = SIZE_HW
    labels = {}
    for s in SCENES:
        labels[s.name] = [
            {
                "label": CLASSES.index(label),
                "bounding_box": [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
            }
            for label, (x1, y1, x2, y2) in s.objects
        ] or None
    put(root / "labels.json", json.dumps({"classes": CLASSES, "labels": labels}))


def _cvat(scenes: Iterable[Scene], subset: bool) -> str:
    images = []
    for number, scene in enumerate(scenes):
        boxes = "".join(
            f'<box label="{label}" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" occluded="0"/>'
            for label, (x1, y1, x2, y2) in scene.objects
        )
        split = f' subset="{scene.split.title()}"' if subset else ""
        size = f'width="{SIZE_HW[1]}" height="{SIZE_HW[0]}"'
        images.append(f'<image id="{number}" name="{scene.name}.jpg"{split} {size}>{boxes}</image>')
    return f"<annotations><version>1.1</version><meta/>{''.join(images)}</annotations>"


@layout("tool CVAT for images", splits=())
def _(root: Path) -> None:
    _pictures(root, "images")
    put(root / "annotations.xml", _cvat(SCENES, subset=False))


@layout("tool CVAT for images with subsets")
def _(root: Path) -> None:
    _pictures(root, "images")
    put(root / "annotations.xml", _cvat(SCENES, subset=True))


def _percent(label: str, box: Corners) -> dict[str, object]:
    height, width = SIZE_HW
    scales = {"x": width, "y": height, "width": width, "height": height}
    shares = {key: value / scales[key] * 100 for key, value in _corner(box).items()}
    return shares | {"rotation": 0, "rectanglelabels": [label]}


@layout("tool Label Studio", splits=())
def _(root: Path) -> None:
    _pictures(root, "upload")
    tasks = []
    for scene in SCENES:
        values = [{"type": "rectanglelabels", "value": _percent(*item)} for item in scene.objects]
        image = f"/data/local-files/?d=upload/{scene.name}%2Ejpg"
        tasks.append({"id": 1, "data": {"image": image}, "annotations": [{"result": values}]})
    put(root / "project-1-at-2026-11-26.json", json.dumps(tasks))


@layout("tool Label Studio (min)", splits=(), background=False)
def _(root: Path) -> None:
    _pictures(root, "upload")
    tasks = []
    for scene in filter(lambda s: s.objects, SCENES):
        values = [_percent(*item) for item in scene.objects]
        tasks.append({"id": 1, "image": f"/data/upload/1/{scene.name}.jpg", "label": values})
    put(root / "project-1-min.json", json.dumps(tasks))


@layout("tool LabelMe", splits=())
def _(root: Path) -> None:
    _pictures(root, "")
    for scene in SCENES:
        shapes = [
            {"label": label, "points": [box[:2], box[2:]], "shape_type": "rectangle"}
            for label, box in scene.objects
        ]
        content = {"imagePath": f"..\\pics\\{scene.name}.jpg", "shapes": shapes}
        put(root / f"{scene.name}.json", json.dumps(content))


def _split_folders(name: str, pictures: str, annotations: str) -> None:
    """Folders that say split and content in one name; {} is the split."""

    @layout(f"voc folders {name}")
    def voc(root: Path) -> None:
        for split, scene in by_split(WORDS[0]):
            picture(root / pictures.format(split) / f"{scene.name}.jpg", scene)
            put(root / annotations.format(split) / f"{scene.name}.xml", voc_xml(scene))

    @layout(f"yolo folders {name}", labels=CLASSES)
    def yolo(root: Path) -> None:
        for split, scene in by_split(WORDS[0]):
            picture(root / pictures.format(split) / f"{scene.name}.jpg", scene)
            put(root / annotations.format(split) / f"{scene.name}.txt", yolo_txt(scene))
        put(root / "classes.txt", "cat\ndog\n")


_split_folders("train_images", "{}_images", "{}_annotations")
_split_folders("images_train", "images_{}", "labels_{}")
_split_folders("trainImages", "{}Images", "{}Labels")
_split_folders("trainset", "{}set", "{}set")
_split_folders("train_data", "{}_data/images", "{}_data/labels")


def _lists_in(name: str, folder: str, suffix: str = ".txt", encoding: str = "utf-8") -> None:
    @layout(f"voc lists {name}")
    def voc(root: Path) -> None:
        _standard(root)
        _encoded_lists(root / folder, suffix, "{}\r\n", encoding)

    @layout(f"yolo lists {name}", labels=CLASSES)
    def yolo(root: Path) -> None:
        for scene in SCENES:
            picture(root / "images" / f"{scene.name}.jpg", scene)
            put(root / "labels" / f"{scene.name}.txt", yolo_txt(scene))
        put(root / "classes.txt", "cat\ndog\n")
        _encoded_lists(root / folder, suffix, "images/{}.jpg\n", encoding)


def _encoded_lists(folder: Path, suffix: str, line: str, encoding: str) -> None:
    id_lists(folder, suffix, line)
    for path in folder.glob(f"*{suffix}"):
        path.write_bytes(path.read_bytes().decode().encode(encoding))


_lists_in("in splits/", "splits")
_lists_in("in UTF-16", "", encoding="utf-16")
_lists_in("with a mark of UTF-8", "", encoding="utf-8-sig")
_lists_in("called train_list.txt", "", "_list.txt")
_lists_in("called train.csv", "lists", ".csv")
_lists_in("of segmentations only", "ImageSets/Segmentation")


@layout("voc with masks of some pictures")
def _(root: Path) -> None:
    LAYOUTS["voc of the challenge"].write(root)
    for folder in ("SegmentationClass", "SegmentationObject"):
        for scene in SCENES[2:6]:
            picture(root / "VOCdevkit" / "VOC2012" / folder / f"{scene.name}.png", scene)


@layout("yolo with masks", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    LAYOUTS["yolo of Label Studio"].write(root)
    for scene in SCENES:
        if scene.objects:
            picture(root / "masks" / f"{scene.name}.png", scene)


@layout("coco names in another case", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    for scene in SCENES:
        picture(root / "images" / f"{scene.name}.JPG", scene)
    put(root / "annotations.json", coco_json(SCENES))


@layout("coco accents as macOS writes them", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    for scene in SCENES:
        picture(root / "images" / f"e\u0301 {scene.name}.jpg", scene)
    put(root / "annotations.json", coco_json(SCENES, "\u00e9 "))


@layout("voc accents as macOS writes them", splits=())
def _(root: Path) -> None:
    for scene in SCENES:
        picture(root / "images" / f"e\u0301 {scene.name}.jpg", scene)
        put(root / "xml" / f"\u00e9 {scene.name}.xml", voc_xml(scene))


@layout("coco addresses with a signature", splits=(), labels=CLASSES)
def _(root: Path) -> None:
    for scene in SCENES:
        picture(root / "images" / f"{scene.name}.jpg", scene)
    text = coco_json(SCENES, "https://example.org/bucket/").replace(".jpg", ".jpg?key=a%2Fb.c")
    put(root / "annotations.json", text)
