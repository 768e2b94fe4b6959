"""The layers that hurt, as text and as a picture."""

from __future__ import annotations

import pytest
from PIL import Image

from quantdet.cli.analysis_text import analysis_text
from quantdet.report.analysis import draw_analysis
from quantdet.report.layer_plots import MOST_LAYERS, noise_drawing, worst_layers
from quantdet.results.analysis import Analysis


def made_up(count, shares=True, findings=("layer_3",)):
    """Return an analysis of ``count`` layers; later ones are noisier."""
    layers = [
        {
            "layer": f"layer_{number}",
            "kind": "Conv2D",
            "sqnr_db": 40.0 - 20 * number / count,
            "sqnr_own_db": 200.0 if number == 0 else 50.0 - 20 * number / count,
            "cosine": 0.999,
            "clipped": 0.00012,
            "range_use": 0.5,
            "minimum": -3.0,
            "maximum": 6.0,
            "seen_minimum": -20.0,
            "seen_maximum": 5.5,
            "weights": {"spread": 323.4, "largest": 3.2, "smallest": 0.01} if number % 2 else None,
            "sensitivity": {"output_sqnr_db": 30.0, "share": 0.9 if number == 3 else 0.001}
            if shares
            else None,
        }
        for number in range(count)
    ]
    content = {
        "split": "val",
        "pictures": 8,
        "outputs": {"boxes": 21.5},
        "layers": layers,
        "findings": [
            {"layer": name, "share": 0.9, "cause": "weights", "text": "Its scale is one."}
            for name in findings
        ],
    }
    return Analysis.build(content)


def test_worst_layers_come_first_and_the_rest_is_counted():
    lines = analysis_text(made_up(40)).splitlines()
    assert lines[0] == "8 pictures of split 'val'; outputs: boxes 21.5 dB"
    assert lines[3].split() == [
        "layer_3", "Conv2D", "48.5", "38.5", "0.9990", "0.012", "50", "323", "30.0", "90.0",
    ]  # fmt: skip
    assert len([line for line in lines if line.startswith("layer_")]) == 15 + 1
    assert "25 more layers; --all shows them" in lines
    assert lines[-1] == "layer_3: 90 % of the noise at the outputs. Its scale is one."


def test_all_layers_by_their_own_noise():
    lines = analysis_text(made_up(40, shares=False, findings=()), all_layers=True).splitlines()
    names = [line.split()[0] for line in lines[3:-2]]
    assert names == [f"layer_{number}" for number in reversed(range(40))]
    assert lines[-3].split()[2] == "exact"
    assert lines[-1].startswith("no layer stands out")


@pytest.mark.parametrize(("count", "shares"), [(3, True), (90, True), (90, False), (600, True)])
def test_picture_has_room_for_the_names_whatever_the_net(tmp_path, count, shares):
    draw_analysis(made_up(count, shares), tmp_path / "a.png")
    width, height = Image.open(tmp_path / "a.png").size
    assert width == 860
    assert height == 2 * (96 + 21 * min(count, MOST_LAYERS))


def test_the_worst_layers_are_drawn_in_the_order_of_the_net():
    analysis = made_up(100)
    names = [item.layer for item in worst_layers(analysis)]
    # The one that hurts, then the noisiest: these are the last ones.
    assert names == ["layer_3", *(f"layer_{number}" for number in range(81, 100))]
    assert noise_drawing(analysis).title == "Noise, worst 20 of 100 layers"
    assert noise_drawing(made_up(20)).title == "Noise, every layer"
