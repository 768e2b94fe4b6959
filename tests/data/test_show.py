from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from quantdet.data.dataset import load_dataset
from quantdet.data.show import contact_sheet
from quantdet.errors import DataError


@pytest.fixture
def dataset(voc, make_object):
    for image_id in "abcde":
        voc.add(image_id, make_object("cat", (41, 31, 70, 50)))
    return load_dataset(voc.root)


def test_box_is_drawn_where_the_object_is(dataset, tmp_path):
    samples = dataset.splits["train"]
    blank = samples[:1]
    Image.new("RGB", (80, 60), (120, 120, 120)).save(samples[0].image_path, quality=100)
    path = tmp_path / "sheet.png"
    contact_sheet(blank, dataset.labels, path, tile_px=320)
    with Image.open(path) as image:
        tile = np.asarray(image.convert("RGB")).astype(int)[30 : 30 + 240, 10 : 10 + 320]
    changed = np.argwhere(np.abs(tile - 120).max(axis=2) > 40)
    # Box (40, 30, 70, 50) at scale 4; the name of a low box is above it, 17 px high.
    assert changed.min(axis=0).tolist() == pytest.approx([120, 160], abs=18)
    assert changed.max(axis=0).tolist() == pytest.approx([200, 280], abs=2)


def test_count_columns_and_choice(dataset, tmp_path):
    samples = dataset.splits["train"]
    calls = []
    shown = contact_sheet(
        samples,
        dataset.labels,
        tmp_path / "a.png",
        columns=2,
        count=3,
        progress=lambda *c: calls.append(c),
    )
    assert shown == samples[:3]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (2 * 330 + 10, 2 * (240 + 20 + 10) + 10)
    chosen = contact_sheet(samples, dataset.labels, tmp_path / "b.png", count=3, seed=1)
    again = contact_sheet(samples, dataset.labels, tmp_path / "c.png", count=3, seed=1)
    assert chosen == again != shown
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_nothing_to_show(tmp_path):
    with pytest.raises(DataError, match="no picture to show"):
        contact_sheet([], (), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
