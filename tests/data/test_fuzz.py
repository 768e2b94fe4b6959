"""Annotation files that are spoiled at random: refused or listed by name, never a traceback."""

import json
import random
import re

import pytest
from layouts import LAYOUTS

from quantdet.data.dataset import load_dataset, read_listing
from quantdet.errors import QuantdetError

# (layout, pattern of the files that are spoiled)
FILES = {
    "voc": ("voc side by side", "*.xml"),
    "voc lists": ("voc of the challenge", "VOCdevkit/VOC2012/ImageSets/Main/*.txt"),
    "yolo": ("yolo of Ultralytics", "labels/*/*.txt"),
    "yolo yaml": ("yolo poses", "data.yaml"),
    "darknet": ("yolo of darknet", "obj.*"),
    "coco": ("coco of FiftyOne", "labels.json"),
    "coco polygons": ("coco polygons", "coco.json"),
    "edge impulse": ("tool Edge Impulse", "*/bounding_boxes.labels"),
    "via": ("tool VIA project", "project.json"),
    "via table": ("tool VIA table", "*.csv"),
    "vott": ("tool VoTT", "*/*.json"),
    "table": ("tool Roboflow table", "*/*.csv"),
    "createml": ("tool Roboflow CreateML", "*/*.json"),
    "fiftyone": ("tool FiftyOne", "labels.json"),
    "cvat": ("tool CVAT for images with subsets", "annotations.xml"),
    "label studio": ("tool Label Studio", "*.json"),
    "label studio min": ("tool Label Studio (min)", "*.json"),
    "labelme": ("tool LabelMe", "*.json"),
}
ODD = (
    *("", "nan", "-inf", "1e400", "-1", "0", "0.5", "99999", "null", "true", "[]", "{}", "[1, 2]"),
    *("🐈", "\x00", "../../x", "/dev/null", "con", "a\\b", '"', "<", "]]>", "&x;", "\ufeff", "- a"),
)
VALUES = (
    None,
    True,
    -1,
    0,
    0.5,
    10**400,
    float("nan"),
    "",
    "x",
    "1",
    "\x00",
    [],
    [1],
    {},
    {"a": 1},
)


def spoil_bytes(content, chance):
    """Cut, repeat, flip or replace some bytes."""
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((1, 3, 20, 200)))
    piece = content[start:end]
    kind = chance.randrange(5)
    if kind == 0:
        piece = b""
    elif kind == 1:
        piece = piece * chance.choice((2, 50))
    elif kind == 2:
        piece = bytes(byte ^ (1 << chance.randrange(8)) for byte in piece)
    elif kind == 3:
        piece = chance.choice(ODD).encode()
    else:
        end = len(content)
        piece = b""
    return content[:start] + piece + content[end:]


def spoil_word(content, chance):
    """Replace a number or a word."""
    words = re.split(r"(\s+)", content.decode(errors="replace"))
    words[chance.randrange(len(words))] = chance.choice(ODD)
    return "".join(words).encode()


def spoil_json(content, chance):
    """Replace, remove or repeat a node."""
    tree = json.loads(content)
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = chance.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.8:
            node = node[key]
            continue
        if chance.random() < 0.3:
            del node[key]
        else:
            node[key] = chance.choice(VALUES)
        break
    return json.dumps(tree).encode()


def spoil(path, chance):
    content = path.read_bytes()
    kinds = [spoil_bytes, spoil_word]
    if path.suffix in (".json", ".labels"):
        kinds += [spoil_json] * 3
    for _ in range(chance.choice((1, 1, 3))):
        try:
            content = chance.choice(kinds)(content, chance)
        except ValueError:  # it is no JSON by now
            content = spoil_bytes(content, chance)
    path.write_bytes(content)


def read(root):
    """Read and load; everything that is taken must be sound."""
    listing = read_listing(root, "auto")
    for record in (r for members in listing.splits.values() for r in members):
        assert record.sample is not None or record.problems
        for item in record.sample.objects if record.sample else ():
            x1, y1, x2, y2 = item.box_xyxy
            assert 0 <= x1 < x2 <= record.sample.size_hw[1]
            assert 0 <= y1 < y2 <= record.sample.size_hw[0]
            assert item.label
    load_dataset(root, skip_bad=True)


def fuzz(name, root, rounds):
    layout, pattern = LAYOUTS[FILES[name][0]], FILES[name][1]
    layout.write(root)
    originals = {path: path.read_bytes() for path in root.glob(pattern)}
    refused = 0
    for number in range(rounds):
        chance = random.Random(f"{name} {number}")
        path = chance.choice(sorted(originals))
        spoil(path, chance)
        try:
            read(root)
        except QuantdetError as error:
            assert str(error)
            refused += 1
        path.write_bytes(originals[path])
    read_listing(root, "auto")
    return refused


@pytest.mark.parametrize("name", FILES)
def test_spoiled_files(tmp_path, name):
    assert fuzz(name, tmp_path, 12) < 12  # not everything is refused as a whole


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_spoiled_files(tmp_path, name):
    assert fuzz(name, tmp_path, 2000) < 2000
