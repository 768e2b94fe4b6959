"""The report: self-contained, honest about what is missing, safe with hostile names."""

from __future__ import annotations

import json

import pytest

from quantdet.config import Config, load_config
from quantdet.errors import ConfigError, QuantdetError
from quantdet.report.html import write_report
from quantdet.runs import Run
from quantdet.system.atomic import write_json
from tests.report.made_up_run import (
    HOSTILE,
    complete_run,
    made_up_metrics,
    report,
    save_predictions,
)


@pytest.fixture
def run(tmp_path):
    return complete_run(tmp_path / "runs" / "voc")


def test_one_file_without_network(run):
    page = report(run)
    assert page.all_closed
    inside = [link for link in page.links if link.startswith("#")]
    assert all(link.startswith("data:image/") for link in page.links if link not in inside)
    assert {link[1:] for link in inside} <= set(page.ids)
    assert len(page.images) == 2
    assert page.text.count("url(") == page.text.count("url(#")  # clip paths of the charts
    for outside in ("@import", "http:", "https:"):
        assert outside not in page.text
    assert "default-src 'none'" in page.text
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_headline_and_verdict(run):
    page = report(run)
    words = page.words
    assert "uint8 may lose accuracy, these pictures cannot tell: right class −0.80 points" in words
    assert "right class and mean IoU fall by at most 0.5 points" in words
    assert "excludes more than 2." in words
    assert "F1, score ≥ 0.42 87.0 % → 87.0 %" in words
    assert "precision 90.0\u00a0%, recall 85.0\u00a0%" in page.text
    assert "75.0 % → 74.2 % −0.80 points" in words
    assert "10.50 MB → 3.00 MB 3.5× smaller" in words
    # In the same setting, though uint8 has a faster one.
    assert "latency, XNNPACK, 1 thread 4.50 ms → 3.00 ms 1.5× faster" in words
    assert "Look closer" in words
    assert (
        "right class, float → uint8: −0.80 points (95 % interval −1.50 … +1.50); wanted: falls by "
        "at most 0.5 points" in words
    )


def test_tables(run):
    page = report(run)
    assert page.row("the ptq_tflite") == [
        "90.0", "85.0", "87.0", "70.0", "−5.00", "0.490", "−0.010", "40.0", "3.00"
    ]  # fmt: skip
    assert page.row("all layers") == ["7", "123,456", "99.812", "99.999", "1"]
    assert page.row("QuantConv2D")[-1] == "1"
    assert page.row("reference")[1:] == ["99.0", "74.5", "60.0", "2.25", "9", "99.998"]
    assert page.row("CONV_2D") == ["35"]
    assert page.row("all") == ["45"]
    assert page.row("Float: all layers") == ["3", "2", "0.5625", "1.1250", "3"]
    assert page.row("python") == ["3.11"]
    two_threads = [row for row in page.rows if row[0] == "XNNPACK, 2 threads"]
    assert two_threads == [["XNNPACK, 2 threads", "the uint8_tflite", "2.00", "3.00", "1.80", "–"]]
    assert "3.12 steps" in page.words
    assert "tflite-micro was left out: not installed" in page.words


def test_busy_machine_is_pointed_out(tmp_path):
    metrics = made_up_metrics()
    for row in metrics["latency"][:2]:
        row["min_ms"] = row["median_ms"] / 2
    words = report(complete_run(tmp_path / "r", metrics)).words
    assert "In 2 of these rows the median is more than 1.5 times the fastest run" in words
    assert "1.5× faster measured on a busy machine" in words


def test_facts_and_how_to_do_it_again(run):
    page = report(run)
    for part in (
        "1,100 pictures, split “train”",
        "1: 000042.jpg: truncated",
        "weights.pth",
        "f1n9e7",
        "Some CPU with 2 cores (Some OS)",
        "so the calibrated model was kept",
        "uint8 1×96×96×3, scale 0.25, zero point 7",
        'pip install "quantdet[train]==0.1.0"',
        "quantdet run --config config.toml --out runs/again",
        "quantdet train --config config.toml --out runs/again quantdet qat runs/again",
    ):
        assert part in page.words
    assert "This report is not complete" not in page.words


def test_configuration_can_be_copied_out(run, tmp_path):
    page = report(run)
    toml = next(part for part in page.parts if part.startswith("[data]"))
    copied = tmp_path / "copied.toml"
    copied.write_text(toml, "utf-8")
    assert load_config(copied) == run.load_config()


def test_every_picture_is_described(run):
    page = report(run)
    assert [image["alt"] for image in page.images] == [
        "one.jpg with boxes drawn: cat 93 %",
        "two.jpg with boxes drawn: cat 93 %",
    ]
    curve = (
        "Validation loss goes from 1.5000 to 1.2500 in 3 epochs and is lowest, 1.1250, at epoch 2"
    )
    assert curve in page.words
    drawn = [values["aria-label"] for values in page.drawings]
    assert drawn[2:] == 3 * ["loss: validation 1.5000 → 1.2500; training 0.7500 → 0.6250"]


def test_scrolling_regions_can_be_reached_by_keyboard(run):
    page = report(run)
    assert page.tags.count("h1") == 1
    assert page.tags.count("table") == page.tags.count("caption")
    assert page.regions >= page.tags.count("table") + page.tags.count("pre")
    # The other one is the skip link's aim.
    assert page.attributes.count("tabindex") == page.regions + 1


def test_contents_are_the_sections(run):
    page = report(run)
    skip, *contents, up = [link[1:] for link in page.links if link.startswith("#")]
    assert (skip, up) == ("content", "toc")
    linked = [name for name in contents if name != "checks"]
    assert linked == [name for name in page.headings if name != "checks"]
    # Once from the contents, once from the verdict.
    assert contents.count("checks") == 2
    assert len(contents) > 8


def test_hostile_names_stay_text(tmp_path):
    metrics = made_up_metrics()
    metrics["split"] = metrics["host"]["cpu"] = metrics["variants"][0]["name"] = HOSTILE
    metrics["parity"]["skipped"] = {HOSTILE: HOSTILE}
    metrics["operators"] = {'"><img src=x onerror=alert(1)>': 3}
    run = complete_run(tmp_path / "a&b <i>", metrics)
    save_predictions(run.root / "predictions", ["x' onload='alert(1).jpg", "<b>.jpg"])
    page = report(run)
    assert not {"script", "i", "b"} & set(page.tags)
    assert not {"onload", "onerror"} & set(page.attributes)
    assert page.words.count(HOSTILE) > 5
    assert "a&b <i>" in page.words


def test_unfinished_run_says_how_to_go_on(tmp_path):
    run = Run.create(tmp_path / "my run", Config())
    words = report(run).words
    # With its own configuration: another one would be refused in this folder.
    train = f"train --config '{run.config_file}' --out"
    for command in (train, "qat", "export", "evaluate", "report"):
        assert f"quantdet {command} '{run.root}'" in words
    assert "Stage “qat” is not finished" in words


def test_half_finished_run_shows_what_there_is(run):
    write_json(run.manifest_file, {"train": run.manifest().entries["train"]})
    run.metrics_file.unlink()
    page = report(run)
    assert "Stage “train” is not finished" not in page.words
    assert "Stage “evaluate” is not finished" in page.words
    assert page.row("Float: all layers")
    assert "accuracy" not in page.ids


def test_baselines_that_were_not_measured(tmp_path):
    metrics = made_up_metrics()
    metrics["variants"] = [row for row in metrics["variants"] if row["variant"] != "ptq_tflite"]
    del metrics["parity"]
    run = complete_run(tmp_path / "r", metrics)
    words = report(run).words
    assert f"quantdet export {run.root} --format int8-ptq && quantdet evaluate {run.root}" in words
    assert "Parity was not checked" in words


def test_only_uint8_was_measured(tmp_path):
    metrics = made_up_metrics()
    metrics["variants"] = metrics["variants"][-1:]
    metrics["latency"] = []
    page = report(complete_run(tmp_path / "r", metrics))
    assert "verdict" not in page.ids
    assert "74.2 % float was not measured" in page.words


def test_export_after_evaluation_is_pointed_out(run):
    manifest = dict(run.manifest().entries)
    manifest["export"]["written"] = "2999-01-01T00:00:00Z"
    write_json(run.manifest_file, manifest)
    assert "export ran after the evaluation" in report(run).words
    # What does not read the exported files is not outdated by a new export.
    assert "ran after the analysis" not in report(run).words
    manifest["analyse"] = manifest["verify"] = {"written": "2026-01-01T00:00:00Z"}
    manifest["qat"]["written"] = "2026-01-02T00:00:00Z"
    write_json(run.manifest_file, manifest)
    page = report(run)
    assert "qat ran after the analysis" in page.words
    assert "qat, export ran after the verification" in page.words


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("metrics.json", "{", "metrics.json: not readable as JSON"),
        ("metrics.json", "[]", "metrics.json: Input should be"),
        ("metrics.json", '{"split": "test", "variants": []}', "variants: Tuple should have"),
        ("float/frozen/history.json", '{"rows": 3}', "monitor: Field required"),
        ("details.json", '{"labels": ["a"], "variants": {"x": {"confusion": [[1]]}}}', "not 2 × 2"),
        ("analysis.json", '{"layers": []}', "layers: Tuple should have"),
        ("data.json", "[", "data.json: not readable as JSON"),
        ("verify.json", '{"targets": [{"target": "x", "status": "?"}]}', "targets.0.status"),
        ("examples/examples.json", "{", "examples: not readable; evaluate again"),
        ("export/model.contract.json", "{}", "task: Field required"),
    ],
)
def test_damaged_files_become_notes_with_a_remedy(run, file, content, said):
    (run.root / file).parent.mkdir(exist_ok=True)
    (run.root / file).write_text(content)
    page = report(run)
    assert said in page.words
    assert "again." in page.words
    assert page.all_closed


def test_figures_that_are_no_numbers_become_a_note(tmp_path):
    metrics = made_up_metrics()
    metrics["variants"][0]["class_accuracy"] = float("nan")
    metrics["latency"][0]["median_ms"] = 0
    page = report(complete_run(tmp_path / "r", metrics))
    assert "variants.0.class_accuracy" in page.words
    assert "latency.0.median_ms" in page.words


def test_diverged_training_is_shown(run):
    path = run.float_dir / "finetune" / "history.json"
    content = json.loads(path.read_text())
    content["rows"][1]["val_loss"] = float("nan")
    write_json(path, content)
    assert report(run).row("Float: all layers")[3] == "nan"


def test_unreadable_manifest_and_config_are_errors(run):
    run.manifest_file.write_text("{")
    with pytest.raises(QuantdetError, match=r"manifest\.json.*move it away"):
        write_report(run)
    run.config_file.write_text("[nowhere]")
    with pytest.raises(ConfigError, match=r"config\.toml.*nowhere"):
        write_report(run)
    assert not run.report_file.exists()


def test_manifest_of_a_later_layout_is_refused_by_name(run):
    write_json(run.manifest_file, {"version": 99, **run.manifest().entries})
    with pytest.raises(QuantdetError, match=r"manifest\.json: version: .*99 .*update quantdet"):
        write_report(run)


def test_manifest_of_strange_form_becomes_a_note(run):
    manifest = run.manifest().entries
    write_json(run.manifest_file, {**manifest, "qat": "done", "later-stage": {"seconds": 3}})
    page = report(run)
    assert "manifest.json, qat:" in page.words
    assert "Stage “qat” is not finished" in page.words
    assert page.row("later-stage") == ["–", "3"]
