"""Two and more runs in one report."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from quantdet.cli import app
from quantdet.config import Config
from quantdet.errors import ConfigError
from quantdet.report.compare import write_comparison
from quantdet.runs import Run
from quantdet.system.atomic import write_json
from tests.report.made_up_run import Page, complete_detector, complete_run, details


@pytest.fixture
def runs(tmp_path):
    first = complete_detector(tmp_path / "one", draws=(0.70, 0.80, 0.90))
    second = complete_detector(tmp_path / "two", after=0.839, draws=(0.74, 0.84, 0.95))
    return [first, second]


def _page(runs, out):
    return Page(write_comparison(runs, out).read_text("utf-8"))


def test_side_by_side(runs, tmp_path):
    page = _page(runs, tmp_path / "c.html")
    assert page.all_closed
    assert page.headings == [
        *("summary", "differences", "classes", "errors", "latency", "training", "settings")
    ]
    assert page.row("VOC07 mAP of uint8, %") == ["79.9", "83.9 ◂ best"]
    assert page.row("VOC10 mAP of uint8, %") == ["81.0", "81.0"]
    assert page.row("XNNPACK, 1 thread") == ["3.00", "3.00"]
    assert page.row("localisation") == ["1", "1"]
    assert page.row("cat")[:4] == ["9", "90.0", "90.0", "±0"]
    assert "All settings are the same." in page.words
    assert "This report is not complete" not in page.words
    drawn = [values["aria-label"] for values in page.drawings]
    assert "mean of all classes: one 79.9 %, two 83.9 %" in drawn


def test_paired_interval_by_hand(runs, tmp_path):
    """Differences of the draws are .04, .04, .05; basic bootstrap: 2 · 0.04 − percentile."""
    page = _page(runs, tmp_path / "c.html")
    (row,) = [row for row in page.rows if row[:2] == ["two", "VOC07 mAP, points"]]
    # Percentiles 2.5 and 97.5 of three values: 0.04 and 0.0495.
    assert row[2:] == ["+4.00", "+3.05 … +4.00"]


def test_other_test_pictures_are_not_paired(runs, tmp_path):
    write_json(runs[1].details_file, details(fingerprint="other"))
    page = _page(runs, tmp_path / "c.html")
    (row,) = [row for row in page.rows if row[:2] == ["two", "VOC07 mAP, points"]]
    assert row[2:] == ["+4.00", "other test pictures"]
    assert page.row("VOC07 mAP of uint8, %") == ["79.9", "83.9"]
    runs[1].details_file.unlink()
    page = _page(runs, tmp_path / "c.html")
    assert "not known: evaluate again" in page.words
    assert f"quantdet evaluate {runs[1].root}" in page.words


def test_settings_that_differ(runs, tmp_path):
    config = runs[1].load_config()
    changed = config.qat.model_copy(update={"epochs": 7})
    config.model_copy(update={"qat": changed}).save(runs[1].config_file)
    page = _page(runs, tmp_path / "c.html")
    assert page.row("qat.epochs")[1] == "7"
    assert "All settings are the same." not in page.words


def test_unfinished_run_beside_a_finished_one(runs, tmp_path):
    third = Run.create(tmp_path / "three", runs[0].load_config())
    page = _page([*runs, third], tmp_path / "c.html")
    assert page.row("VOC07 mAP of uint8, %") == ["79.9", "83.9 ◂ best", "–"]
    assert "three: Stage “qat” is not finished" in page.words


def test_localizers(tmp_path):
    runs = [complete_run(tmp_path / name / "run") for name in ("a", "b")]
    page = _page(runs, tmp_path / "c.html")
    assert page.row("right class of uint8, %") == ["74.2", "74.2"]
    # Both folders are called "run".
    assert "a/run · b/run" in page.words


def test_runs_of_two_kinds_have_no_common_measure(runs, tmp_path):
    with pytest.raises(ConfigError, match=r"no common measure"):
        write_comparison([runs[0], Run.create(tmp_path / "l", Config())], tmp_path / "c.html")


def test_the_same_run_twice(runs, tmp_path):
    with pytest.raises(ConfigError, match=r"one: name two or more different runs"):
        write_comparison([runs[0], runs[0]], tmp_path / "c.html")


def test_command_line(runs, tmp_path):
    folders = [str(run.root) for run in runs]
    out = tmp_path / "new" / "c.html"
    done = CliRunner().invoke(app, ["report", *folders, "--out", str(out)])
    assert (done.exit_code, done.stdout.strip()) == (0, str(out))
    assert out.is_file()
    done = CliRunner().invoke(app, ["report", *folders])
    assert done.stdout.strip() == str(runs[0].root / "comparison.html")
    done = CliRunner().invoke(app, ["report", folders[0], "--out", str(tmp_path / "r.html")])
    assert "quantdet report" in (tmp_path / "r.html").read_text("utf-8")
    assert not runs[0].report_file.exists()
