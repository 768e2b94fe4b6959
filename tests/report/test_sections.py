"""The report of a detector with every result file: each section says what its file says."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from quantdet.config import Config
from quantdet.report.charts import VARIABLES, Drawing, draw_chart
from quantdet.runs import Run
from quantdet.system.atomic import write_json
from tests.report.made_up_run import (
    HOSTILE,
    complete_detector,
    complete_run,
    detector_metrics,
    history,
    report,
    verified,
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return report(complete_detector(tmp_path_factory.mktemp("runs") / "voc"))


def test_every_section_is_there(page):
    assert page.all_closed
    assert page.headings == [
        *("summary", "checks", "targets", "accuracy", "classes", "errors", "pictures", "latency"),
        *("layers", "parity", "training", "data", "files", "again"),
    ]
    assert "todo" not in page.text.replace(".todo", "")
    assert "script" not in page.tags
    assert page.words.count(HOSTILE) > 8


def test_ship(page):
    words = page.words
    assert "✓ Ship uint8 keeps the accuracy of float: VOC07 mAP −0.10 points" in words
    assert "every check is met" in words
    assert "80.0 % → 79.9 % −0.10 points 95 % interval 75.0–85.0" in words


def test_look_closer_says_why(tmp_path):
    run = complete_detector(tmp_path / "r")
    write_json(run.verify_file, verified(sha256="00" * 32, status="failed"))
    words = report(run).words
    assert "⚠ Look closer" in words
    assert "Targets: 1 failed, 1 skipped (tflite-micro); wanted: none fails." in words
    assert "The targets were given another model.tflite than the one that is here now" in words


def test_targets(page):
    assert page.row("tflite-micro 1.2") == [
        "✓\u00a0passed", "80.00", "99.999", "3", "0.50", "98.0", "4.12 (1)",
    ]  # fmt: skip
    assert "pip install something" in page.words
    assert "arena bytes: 123,456, operators: CONV_2D" in page.words
    assert page.row("u55-128") == ["yes", "12.25", "0"]


def test_errors_and_confusion(page):
    assert page.row("localisation") == ["1", "1", "±0", "2.00", "2.00"]
    # What was not counted, or costs nothing, is told apart.
    assert page.row("duplicate") == ["–", "–", "–", "–", "–"]
    assert page.row("missed")[-1] == "0.00"
    mixed_up = [row for row in page.rows if row[:2] == ["cat", HOSTILE]]
    assert mixed_up == [["cat", HOSTILE, "2", "2"]]
    assert ["cat", "5", "2", ""] in page.rows
    assert ["no such object", "1", "", ""] in page.rows
    assert "threshold of their class, 0.4 to 0.5" in page.words


def test_pictures_of_every_group(page):
    for part in ("differ most", "makes most errors", "Not chosen by result", "2 wrong, 1 missed"):
        assert part in page.words
    texts = [image["alt"] for image in page.images]
    assert "picture-differ, uint8 .tflite: cat" in texts
    assert len(texts) == 3 * 3 + 2


def test_layers_data_and_classes(page):
    layer = page.row("layer_3")
    assert layer[-2:] == ["0.01 … 3.2", "323.4"]
    assert layer[4:6] == ["−3 … 6", "−20 … 5.5"]
    assert ["train", "20", "1", "500×375", "30", "1.5", "10.0", "20.0", "40"] in page.rows
    drawn = " ".join(values["aria-label"] for values in page.drawings)
    for part in (
        "Noise, every layer: least signal to noise: layer_11",
        "weights of channels differ most in layer_1: 323 times",
        "train: median 77 pixels",  # 0.4 of 192
        f"AP of each class: best cat 90.0 %, worst {HOSTILE} 70.0 %",
        "mean of all classes: the float_keras 80.0 %, the uint8_tflite 79.9 %",
    ):
        assert part in drawn


def test_what_is_missing_names_its_command(tmp_path):
    config = Config.model_validate({"model": {"name": "ssd", "input_size": 192}})
    run = complete_run(tmp_path / "r", detector_metrics(), config)
    words = report(run).words
    for command in ("verify", "analyse", "evaluate"):
        assert f": quantdet {command} {run.root}" in words
    assert "This report is not complete" not in words


def test_a_curve_needs_three_epochs(tmp_path):
    run = complete_detector(tmp_path / "r")
    for folder in ("float/frozen", "float/finetune", "qat/finetune"):
        write_json(run.root / folder / "history.json", history([1.5, 1.2]))
    page = report(run)
    assert not [d for d in page.drawings if d["aria-label"].startswith("loss")]
    assert page.words.count("Too few epochs for a curve") == 3
    assert page.row("Float: all layers")[:4] == ["2", "2", "0.6000", "1.2000"]


def test_differences_have_a_scale_that_noise_does_not_fill(page):
    labels = [values["aria-label"] for values in page.drawings]
    assert "VOC07 mAP: dot and 95 % interval: the uint8_tflite −0.10 points" in " ".join(labels)
    # The axis of a change of 0.1 points reaches to 5, that of classes from 0 to 100.
    assert "−4" in page.words
    (cat,) = [row for row in page.rows if row[0] == "cat" and len(row) == 7]
    assert cat[-2:] == ["85.0", "100.0"]


def test_unfinished_run_has_only_what_it_can_have(tmp_path):
    page = report(Run.create(tmp_path / "r", Config()))
    assert page.headings == ["summary", "data", "again"]


def test_class_names_are_no_formulas_and_no_colours():
    """Matplotlib takes $…$ for a formula; a class may be called like a stand-in colour."""

    def paint(panel):
        panel.set_title("$x #0067a5 <b>")

    chart = draw_chart(Drawing("t", "t", (200, 100), paint))
    assert "$x #0067a5 &lt;b&gt;" in chart.svg
    assert "var(--soft)" in chart.svg
    assert "<style" not in chart.svg
    assert "xmlns" not in chart.svg


def test_inner_names_of_charts_differ():
    """Clip paths are found by name in the whole page."""

    def paint(panel):
        panel.plot([0, 1], [0, 1])

    charts = [draw_chart(Drawing("t", "t", (200, 100), paint)) for _ in range(2)]
    names = [set(re.findall('id="([^"]*)"', chart.svg)) for chart in charts]
    assert names[0]
    assert not names[0] & names[1]


def test_colours_of_charts_are_those_of_the_light_scheme():
    css = (resources.files("quantdet.report") / "templates" / "report.css").read_text("utf-8")
    light = css.partition("@media")[0]
    for color, variable in VARIABLES.items():
        assert f"--{variable}: {color};" in light
