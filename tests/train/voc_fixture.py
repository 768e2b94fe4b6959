"""A tiny data set of coloured rectangles, made of the product's own types."""

import numpy as np
from PIL import Image

from quantdet.data.sample import Dataset, ObjectAnnotation, Sample

LABELS = ("red", "green")
COLOURS = {"red": (220, 40, 30), "green": (30, 200, 60)}


def write_dataset(folder, sizes=None, seed=0):
    """Return splits train, val (and test) of pictures with one or two rectangles."""
    rng = np.random.default_rng(seed)
    splits = {}
    for split, count in (sizes or {"train": 12, "val": 6}).items():
        splits[split] = tuple(_sample(folder, f"{split}{i}", rng) for i in range(count))
    return Dataset(folder, LABELS, splits)


def _sample(folder, name, rng):
    height, width = 60, 80
    pixels = np.full((height, width, 3), 90, np.uint8)
    objects = []
    for index in range(int(rng.integers(1, 3))):
        label = LABELS[int(rng.integers(2))]
        w, h = rng.integers(15, 35, 2)
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        pixels[y : y + h, x : x + w] = COLOURS[label]
        box = (float(x), float(y), float(x + w), float(y + h))
        objects.append(ObjectAnnotation(label, box, difficult=index == 1))
    path = folder / f"{name}.png"
    Image.fromarray(pixels).save(path)
    return Sample(name, path, (height, width), tuple(objects))
