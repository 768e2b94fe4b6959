"""Every layout gives back the pictures, boxes, classes and splits that were written."""

import re

import pytest
from layouts import LAYOUTS, SCENES, SIZE_HW

from quantdet.data.dataset import read_listing
from quantdet.data.records import UNSPLIT


def boxes(sample):
    return sorted((item.label, *(round(v, 2) for v in item.box_xyxy)) for item in sample.objects)


def expected(layout):
    """Return split → picture → (label, box) of what the layout keeps."""
    renamed = dict(zip(("cat", "dog"), layout.labels or ("cat", "dog"), strict=True))
    found = {}
    for scene in SCENES:
        split = scene.split if layout.splits else UNSPLIT
        if split not in layout.splits and layout.splits:  # written to another split then
            split = "train"
        if scene.objects or layout.background:
            objects = sorted((renamed[label], *box) for label, box in scene.objects)
            found.setdefault(split, {})[scene.name] = objects
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_round_trip(tmp_path, name):
    layout = LAYOUTS[name]
    # What the folders above a data set are called says nothing.
    root = tmp_path / "train" / "images"
    layout.write(root)
    listing = read_listing(root / layout.read, "auto")
    records = [record for members in listing.splits.values() for record in members]
    assert [p for record in records for p in record.problems] + list(listing.problems) == []
    found = {
        split: {re.split("[ /]", r.image_id)[-1]: boxes(r.sample) for r in members}
        for split, members in listing.splits.items()
    }
    assert found == expected(layout)
    assert listing.labels == layout.labels
    assert all(r.sample.size_hw == SIZE_HW and r.sample.annotated for r in records)
    assert all(r.image_path.is_file() for r in records)
