"""`quantdet plan`: what is looked at, what fits, what is said; real nets are slow tests."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from quantdet.cli import app
from quantdet.cli.plan_text import plan_text
from quantdet.config import load_config
from quantdet.data.scenes import generate_scenes
from quantdet.errors import ConfigError, DependencyError
from quantdet.export.micro import micro_needs
from quantdet.kinds import KINDS
from quantdet.plan import costs
from quantdet.plan.boards import Limits, board_names, find_limits
from quantdet.plan.costs import Cost, CostTable
from quantdet.plan.nets import Net, nets
from quantdet.plan.search import judge, plan
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.patches.choose import file_macs
from quantdet.runtime.contract import load_contract
from tests.e2e.conftest import quantdet

KIB = 1024
COST = Cost(
    bytes=600_000,
    arena=500 * KIB,
    patches=(3, 3),
    patched_arena=300 * KIB,
    macs=40_000_000,
    latency_ms=2.0,
    operators=("AddConv2D",),
)


def made_up(net):
    """Grows with width and size, as real costs do."""
    area, wide = net.input_size**2, 1 + (net.name == "ssd")
    return Cost(
        bytes=int(1_200_000 * net.width * wide),
        arena=int(24 * area * net.width * wide),
        patches=(2, 2),
        patched_arena=int(12 * area * net.width * wide),
        macs=int(5000 * area * net.width),
        latency_ms=area * net.width / 10_000,
        operators=("AddConv2D",),
    )


def test_nets_are_what_their_kinds_take():
    for net in (net for row in nets(KINDS) for net in row):
        config = load_config(preset=net.preset, overrides=net.overrides)
        model = config.model
        assert (model.name, model.width, model.input_size) == (net.name, net.width, net.input_size)


@pytest.mark.parametrize("ram", [100, 300, 800, 5000])
@pytest.mark.parametrize("flash", [300, 900, 9000])
@pytest.mark.parametrize("max_ms", [None, 2.0])
def test_finds_all_that_fit_and_looks_at_few_others(ram, flash, max_ms):
    limits = Limits(ram * KIB, flash * KIB, max_ms)
    looked_at = []

    def cost(net):
        looked_at.append(net)
        return made_up(net)

    ticks = []
    found = plan(limits, KINDS, cost, lambda *state: ticks.append(state))
    everything = [net for row in nets(KINDS) for net in row]
    fitting = [net for net in everything if not judge(net, made_up(net), limits).too_much]
    assert {item.net for item in found.fits} == set(fitting)
    assert [item.cost.macs for item in found.fits] == sorted(
        (made_up(net).macs for net in fitting), reverse=True
    )
    assert len(looked_at) == len(set(looked_at)) <= len(fitting) + 12  # one for each kind and width
    assert all(item.too_much for item in found.nearest)
    assert ticks[-1] == (len(everything), len(everything))
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)


@pytest.mark.parametrize(
    ("limits", "in_patches", "too_much"),
    [
        (Limits(500 * KIB, 600_000, 2.0), False, {}),
        (Limits(499 * KIB, 600_000), True, {}),
        (Limits(150 * KIB, 300_000), False, {"ram": 2.0, "flash": 2.0}),
        (Limits(500 * KIB, 600_000, 1.0), False, {"time": 2.0}),
    ],
)
def test_judgement(limits, in_patches, too_much):
    judged = judge(Net("ssdlite", 0.35, 160), COST, limits)
    assert (judged.in_patches, judged.too_much) == (in_patches, too_much)


def test_unknown_kind():
    with pytest.raises(ConfigError, match="'yolo' is unknown; choose one of localizer"):
        plan(Limits(KIB, KIB), ["yolo"], made_up)


def test_text(snapshot):
    limits = Limits(512 * KIB, 1024 * KIB)
    assert plan_text(plan(limits, ["ssdlite"], made_up)) == snapshot
    assert plan_text(plan(Limits(KIB, KIB), ["localizer"], made_up)) == snapshot


def test_text_of_a_net_without_patches():
    cost = replace(COST, patches=None, patched_arena=COST.arena)
    text = plan_text(plan(Limits(512 * KIB, 1024 * KIB), ["ssdlite"], lambda net: cost))
    assert "quantdet export runs/plan --format c-array\n" in text + "\n"
    assert "--arena" not in text


def test_figures_are_measured_once(tmp_path, monkeypatch):
    pytest.importorskip("tflite_micro")
    calls = []

    def measure(net, num_classes):
        calls.append((net, num_classes))
        return COST

    monkeypatch.setattr(costs, "measure", measure)
    net = Net("ssdlite", 0.35, 160)
    for _ in range(2):
        assert CostTable(3, tmp_path).cost(net) == COST
    assert CostTable(4, tmp_path).cost(net) == COST
    assert CostTable(3, tmp_path).cost(replace(net, width=0.5)) == COST
    assert calls == [(net, 3), (net, 4), (replace(net, width=0.5), 3)]


def test_without_tflite_micro(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro.python.tflite_micro", None)
    with pytest.raises(DependencyError, match="pip install --pre tflite-micro"):
        CostTable(3, tmp_path)


@pytest.mark.parametrize("name", board_names())
def test_boards(name):
    limits = find_limits(name, None, None)
    assert 256 * KIB <= limits.ram <= limits.flash
    assert find_limits(name, "64K", None) == replace(limits, ram=64 * KIB)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("esp32", None, None), "board 'esp32' is not known, only esp32-s3, pico-2"),
        ((None, "512K", None), "--flash is missing; give it, for instance 512K, or --board"),
        ((None, None, "1M"), "--ram is missing"),
        ((None, "lots", "1M"), "ram 'lots' is not a size"),
    ],
)
def test_limits_that_are_none(given, message):
    with pytest.raises(ConfigError, match=message):
        find_limits(*given)


def test_command(tmp_path, monkeypatch):
    pytest.importorskip("tflite_micro")
    monkeypatch.setattr(costs, "measure", lambda net, num_classes: made_up(net))
    command = ["plan", "--board", "esp32-s3", "--fps", "100", "--cache", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, "--kind", "ssdlite", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["limits"] == {"ram": 416 * KIB, "flash": 8192 * KIB, "max_ms": 10.0}
    best = found["fits"][0]
    assert best["net"]["name"] == "ssdlite"
    assert best["cost"]["macs"] == max(item["cost"]["macs"] for item in found["fits"])


@pytest.mark.slow
@pytest.mark.parametrize("net", [Net("localizer", 0.35, 96), Net("ssdlite", 0.35, 160)], ids=str)
def test_untrained_net_costs_what_the_trained_one_does(net, tmp_path):
    """Labels and thresholds are in the file: its size is that of other texts."""
    pytest.importorskip("tflite_micro")
    scenes = generate_scenes(tmp_path / "scenes", count=24, size_hw=(96, 96))
    quick = ("train.epochs=1", "train.finetune_epochs=1", "train.min_steps=1", "qat.epochs=1")
    options = [*net.overrides, "model.weights=none", *quick, f"data.cache_dir={tmp_path}"]
    sets = [word for option in options for word in ("--set", option)]
    run = tmp_path / "run"
    quantdet("train", "--data", scenes, "--out", run, "--preset", net.preset, *sets, check=0)
    for stage in ("qat", "export"):
        quantdet(stage, run, check=0)
    file = run / "export" / "model.tflite"
    planned = costs.measure(net, len(load_contract(file).labels))
    content = file.read_bytes()
    needs = micro_needs(content)
    assert (needs.arena_bytes, needs.methods) == (planned.arena, planned.operators)
    assert file_macs(EditableFile(content)) == planned.macs
    assert abs(len(content) - planned.bytes) < 1000
