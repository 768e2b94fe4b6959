"""Pictures in the report: whose they are, how many, how big."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from quantdet.report.pictures import MOST_PICTURES, embed_predictions
from quantdet.runs import Run
from tests.report.made_up_run import SHA256, complete_run, save_picture, save_predictions


def _decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_pictures_beside_the_run_are_found(tmp_path):
    save_predictions(tmp_path / "predictions", ["a.jpg"])
    gallery = embed_predictions(Run(tmp_path / "run"), SHA256)
    assert [picture.name for picture in gallery.pictures] == ["a.jpg"]


def test_pictures_of_the_run_come_first(tmp_path):
    save_predictions(tmp_path / "predictions", ["a.jpg"])
    save_predictions(tmp_path / "run" / "predictions", ["b.jpg"])
    gallery = embed_predictions(Run(tmp_path / "run"), SHA256)
    assert [picture.name for picture in gallery.pictures] == ["b.jpg"]


def test_pictures_of_another_model_are_not_shown(tmp_path):
    save_predictions(tmp_path / "predictions", ["a.jpg"], "0" * 64)
    gallery = embed_predictions(Run(tmp_path / "run"), SHA256)
    assert not gallery.pictures
    assert "made by another model" in gallery.note


def test_large_pictures_are_made_small_and_counted(tmp_path):
    folder = tmp_path / "predictions"
    for number in range(MOST_PICTURES + 2):
        save_picture(folder / f"{number:02}.JPG", (60, 40))
    save_picture(folder / "00.JPG", (600, 1200))
    (folder / "notes.txt").write_text("not a picture")
    gallery = embed_predictions(Run(tmp_path), "")
    assert len(gallery.pictures) == MOST_PICTURES
    assert (gallery.pictures[0].width, gallery.pictures[0].height) == (480, 240)
    assert _decoded(gallery.pictures[0].uri).size == (480, 240)
    assert gallery.note == "The first 12 of 14 pictures."


def test_unreadable_pictures_are_named(tmp_path):
    save_picture(tmp_path / "predictions" / "good.png")
    (tmp_path / "predictions" / "bad.jpg").write_bytes(b"\xff\xd8 cut off")
    (tmp_path / "predictions" / "predictions.json").write_text("[1]")
    gallery = embed_predictions(Run(tmp_path), SHA256)
    assert [picture.name for picture in gallery.pictures] == ["good.png"]
    damaged, pictures = gallery.note.split(". ")
    assert "predictions.json: was not written by `quantdet predict`" in damaged
    assert pictures == "Not readable: bad.jpg."


def test_predictions_of_a_later_layout_are_refused_by_name(tmp_path):
    save_predictions(tmp_path / "predictions", ["a.jpg"])
    file = tmp_path / "predictions" / "predictions.json"
    file.write_text(file.read_text().replace("predictions-1", "predictions-2"))
    gallery = embed_predictions(Run(tmp_path), SHA256)
    assert "format 'quantdet-predictions-2' was written by a later quantdet" in gallery.note
    assert [picture.text for picture in gallery.pictures] == [""]


def test_no_folder(tmp_path):
    assert embed_predictions(Run(tmp_path / "nowhere"), "").pictures == ()


def test_report_of_noisy_pictures_stays_under_three_megabytes(tmp_path):
    """Noise is the hardest content for both codecs."""
    run = complete_run(tmp_path / "run")
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), dtype=np.uint8)
    for number in range(MOST_PICTURES):
        Image.fromarray(noise).save(run.root / "predictions" / f"n{number:02}.jpg", quality=95)
    from quantdet.report.html import write_report

    assert write_report(run).stat().st_size < 3e6
