"""Verdict and checks follow the figures and the bounds they print, for every family alike."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantdet.kinds import DETECTOR, LOCALIZER
from quantdet.report.html import all_checks
from quantdet.report.localizer import LocalizerView, half_interval
from quantdet.report.verdict import TONES, Check, Verdict, decide
from quantdet.report.views import VIEWS
from quantdet.results import numbers
from quantdet.results.folder import Results
from quantdet.results.history import Epochs
from quantdet.results.metrics import METRICS, LocalizerMetrics
from quantdet.results.verification import Verification
from tests.report.made_up_run import (
    detector_metrics,
    history,
    latency,
    localizer_difference,
    made_up_metrics,
    variant,
    verified,
)

FAMILIES = (DETECTOR, LOCALIZER)
# The last variant is the product, the first difference that against float.
UINT8, CHANGE = ("variants", -1), ("differences", 0)
KERNELS = ("parity", "end_to_end", "kernels", -1)
# Family → figure that quantization must keep, points that it may fall by, what kernels share.
KEPT = {DETECTOR: ("map_voc07", 0.3), LOCALIZER: ("class_accuracy", 0.5)}
SAME = {DETECTOR: "same_detections", LOCALIZER: "same_class"}


def sound(family):
    """Return all that a report judges, of a run in which every check is met."""
    if family == DETECTOR:
        metrics = detector_metrics()
        change = copy.deepcopy(metrics["differences"][0])
        gain = {"against": "ptq_tflite", "map_voc07": 0.01, "map_voc07_interval": [0.0, 0.02]}
        metrics["differences"].append(change | gain)
    else:
        metrics = made_up_metrics()
        metrics["variants"][-1]["class_accuracy"] = 0.749
        metrics["differences"] = [localizer_difference(-0.001, 0.0)]
    losses = {"float/frozen": history([1.5, 1.2]), "float/finetune": history([1.1, 1.0, 1.05])}
    found = {**metrics, "histories": losses, "verified": verified()}
    return copy.deepcopy(found)


def changed(facts, path, value):
    place = facts
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return facts


def judged(family, facts):
    """Return (verdict, checks, decision) of what :func:`sound` returns, or of a change of it."""
    facts = dict(facts)
    histories = {name: Epochs.model_validate(row) for name, row in facts.pop("histories").items()}
    targets = Verification.model_validate(facts.pop("verified"))
    metrics = METRICS[family].model_validate(facts)
    results = Results(metrics=metrics, histories=histories, verified=targets)
    checks = all_checks(VIEWS[family], results)
    verdict = VIEWS[family].verdict(metrics)
    return verdict, checks, decide(verdict, checks, [])


def failed(family, facts):
    return [check.name for check in judged(family, facts)[1] if not check.met]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sound_run_is_shipped(family):
    verdict, checks, decision = judged(family, sound(family))
    assert [check.name for check in checks if not check.met] == []
    assert verdict.tone == "good"
    assert verdict.text.startswith("uint8 keeps the accuracy of float")
    assert decision.ship
    assert len({check.name for check in checks}) == len(checks)


FAULTS = [
    ((*UINT8, "objects"), 99, "Test objects"),
    ((*UINT8, "objects"), None, "Test objects"),
    ((*UINT8, "pictures"), 29, "Test objects"),
    ((*UINT8, "recall"), 0.5, "Recall"),
    ((*UINT8, "recall"), 0.0, "Recall"),
    ((*UINT8, "recall"), None, "Recall"),
    ((*UINT8, "recall_interval"), [0.5, 0.9], "Recall"),
    ((*UINT8, "recall_interval"), None, "Recall"),
    ((*UINT8, "precision"), 0.5, "Precision"),
    ((*UINT8, "precision"), None, "Precision"),
    ((*UINT8, "precision_interval"), [0.5, 0.9], "Precision"),
    ((*UINT8, "by_class", "cat", "right"), 19, "Objects found of each class"),
    ((*UINT8, "by_class"), {}, "Objects found of each class"),
    ((*CHANGE, "VALUE"), -0.0051, "FIGURE, float → uint8"),
    ((*CHANGE, "VALUE_interval"), [-0.0201, 0.01], "FIGURE, float → uint8"),
    (("float_tensors",), 1, "Tensors of the file"),
    (("float_tensors",), None, "Tensors of the file"),
    (("parity", "layers", "identical_exact"), 0.9989, "Layer by layer: integers"),
    (("parity", "layers", "values"), 0, "Layer by layer: integers"),
    (("parity", "layers", "max_lsb"), 2, "Layer by layer: largest"),
    ((*KERNELS, "SAME"), 0.89, "End to end: same"),
    ((*KERNELS, "SAME"), None, "End to end: same"),
    (("histories", "float/finetune"), history([1.5, 1.486]), "Training learned"),
    (("histories", "float/finetune"), history([float("inf")] * 2), "Training learned"),
    (("histories",), {"float/finetune": history([0.5])}, "Training learned"),
    (("histories",), {"qat/finetune": history([2.0, 1.0, 0.5])}, "Training learned"),
    (("data", "unchanged"), False, "Data since training"),
    (("data", "unchanged"), None, "Data since training"),
    (("data", "in_training"), 1, "Test pictures that are in training"),
    (("data", "in_training"), None, "Test pictures that are in training"),
    (("verified", "targets", 0, "status"), "failed", "Targets"),
]
OWN_FAULTS = [
    (LOCALIZER, (*UINT8, "ordered_share"), 0.9999, "Boxes with left"),
    (LOCALIZER, (*UINT8, "ordered_share"), None, "Boxes with left"),
    (LOCALIZER, (*CHANGE, "mean_iou"), -0.0051, "mean IoU, float → uint8"),
    (LOCALIZER, (*KERNELS, "class_accuracy"), 0.739, "End to end: class accuracy"),
]


def own(family, path):
    names = {"VALUE": KEPT[family][0], "SAME": SAME[family]}
    names["VALUE_interval"] = f"{KEPT[family][0]}_interval"
    return tuple(names.get(key, key) for key in path)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("path", "value", "name"), FAULTS)
def test_each_check_can_fail_alone(family, path, value, name):
    facts = changed(sound(family), own(family, path), value)
    (found,) = failed(family, facts)
    title = {DETECTOR: "VOC07 mAP", LOCALIZER: "right class"}[family]
    assert found.startswith(name.replace("FIGURE", title))
    _, checks, decision = judged(family, facts)
    assert not decision.ship
    assert decision.reasons[0].startswith(found)
    assert all(check.remedy for check in checks if not check.met) or "class" in found


@pytest.mark.parametrize(("family", "path", "value", "name"), OWN_FAULTS)
def test_each_check_of_one_family_can_fail_alone(family, path, value, name):
    (found,) = failed(family, changed(sound(family), path, value))
    assert found.startswith(name)


def test_worse_than_the_converters_own_quantization():
    facts = sound(DETECTOR)
    for path, value in (("map_voc07", -0.02), ("map_voc07_interval", [-0.03, -0.001])):
        changed(facts, ("differences", 1, path), value)
    assert failed(DETECTOR, facts) == ["VOC07 mAP, converter's PTQ → uint8"]
    changed(facts, ("differences", 1, "map_voc07_interval"), [-0.03, 0.0])
    assert failed(DETECTOR, facts) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_not_measured_does_not_hold(family):
    facts = changed(sound(family), ("parity",), None)
    assert len(failed(family, facts)) >= 3
    facts = changed(sound(family), ("parity", "end_to_end", "kernels"), [])
    assert failed(family, facts)[0].startswith("End to end: same")
    facts = sound(family)
    silent = {**facts["parity"]["end_to_end"]["kernels"][0], "kernels": "x", SAME[family]: None}
    facts["parity"]["end_to_end"]["kernels"] += [silent]
    (found,) = failed(family, facts)
    assert found.startswith("End to end: same")


@pytest.mark.parametrize("family", FAMILIES)
def test_bounds_themselves_are_met(family):
    figure, keeps = KEPT[family]
    facts = sound(family)
    for path, value in (
        ((*UINT8, "objects"), 100),
        ((*UINT8, "pictures"), 30),
        ((*UINT8, "recall"), 0.501),
        ((*UINT8, "recall_interval"), [0.501, 0.6]),
        ((*UINT8, "precision_interval"), [0.501, 1.0]),
        ((*UINT8, "by_class", "cat", "right"), 20),
        ((*CHANGE, figure), -keeps / 100),
        ((*CHANGE, f"{figure}_interval"), [-0.02, -0.001]),
        ((*KERNELS, SAME[family]), {DETECTOR: 0.9, LOCALIZER: 0.98}[family]),
        (("histories", "float/finetune"), history([1.5, 1.485])),
    ):
        changed(facts, path, value)
    assert failed(family, facts) == []


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("beyond", "low", "high", "tone"),
    [
        (0.05, 0.0, 0.05, "good"),
        (0.0, -0.02, 0.0, "good"),  # exactly the bound, though not in binary fractions
        (0.0, -0.021, 0.01, "fair"),  # within it, but these pictures cannot tell
        (-0.001, -0.01, 0.0, "fair"),
        (-0.001, -0.01, -0.0001, "bad"),
        (-0.3, -0.4, -0.2, "bad"),
    ],
)
def test_tone_is_of_the_change_and_its_interval(family, beyond, low, high, tone):
    figure, keeps = KEPT[family]
    facts = changed(sound(family), (*CHANGE, figure), beyond - keeps / 100)
    changed(facts, (*CHANGE, f"{figure}_interval"), [low, high])
    verdict, _, decision = judged(family, facts)
    assert verdict.tone == tone
    assert decision.ship == (tone == "good")
    words = {"good": "keeps", "fair": "may lose", "bad": "loses"}
    assert words[tone] in verdict.text


@pytest.mark.parametrize("family", FAMILIES)
def test_a_few_objects_never_keep_anything(family):
    facts = changed(sound(family), (*UINT8, "objects"), 9)
    changed(facts, (*UINT8, "pictures"), 7)
    verdict, _, decision = judged(family, facts)
    assert verdict.text.startswith("Too few to tell: 9 objects in 7 pictures; at least 100 objects")
    assert (verdict.tone, decision.ship) == ("fair", False)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_finds_nothing_says_so_first(family):
    nothing = {"shown": 0, "right": 0, "precision": None, "precision_interval": None}
    nothing |= {"recall": 0.0, "recall_interval": [0.0, 0.0], "f1": 0.0, "f1_interval": [0.0, 0.0]}
    facts = sound(family)
    facts["variants"][-1] |= nothing
    facts["variants"][-1]["by_class"]["cat"] |= {"shown": 0, "right": 0}
    verdict, checks, decision = judged(family, facts)
    assert verdict.text == "uint8 finds 0 of 200 objects at the score that people see"
    assert (verdict.tone, decision.ship) == ("bad", False)
    names = [check.name for check in checks if not check.met]
    assert [name.split()[0] for name in names] == ["Recall:", "Precision:", "Objects"]
    assert "nothing is shown" in " ".join(check.measured for check in checks)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_of_before_the_thresholds_is_not_shipped(family):
    facts = sound(family)
    for key in ("thresholds", "data", "version"):
        facts.pop(key, None)
    for row in facts["variants"]:
        for key in ("objects", "shown", "right", "precision", "recall", "f1", "by_class"):
            row.pop(key, None)
    verdict, _, decision = judged(family, facts)
    assert not decision.ship
    assert verdict.text == "It was not measured what people see at the threshold"


def test_test_pictures_that_chose_the_threshold_are_told():
    facts = changed(sound(DETECTOR), ("data", "in_validation"), 7)
    _, checks, decision = judged(DETECTOR, facts)
    assert decision.ship
    (check,) = [check for check in checks if check.name.startswith("Test pictures")]
    assert check.measured == "0; 7 chose the epoch and the threshold, which flatters"


def test_ship_needs_checks_that_are_met_and_accuracy_that_is_kept():
    kept, met = Verdict("good", "", "", ""), Check("a", "b", "c", met=True)
    assert decide(kept, [met], []).ship
    assert not decide(kept, [], []).ship
    assert not decide(kept, [met], ["The export ran later."]).ship
    assert not decide(replace(kept, tone="fair"), [met], []).ship


# Path → (worst, best) value around its bound; more is better.
MORE = {
    (*UINT8, "recall"): (0.3, 0.9),
    (*UINT8, "recall_interval", 0): (0.3, 0.9),
    (*UINT8, "precision"): (0.3, 0.9),
    (*UINT8, "precision_interval", 0): (0.3, 0.9),
    (*UINT8, "objects"): (0, 200),
    (*UINT8, "pictures"): (1, 60),
    (*UINT8, "by_class", "cat", "right"): (0, 100),
    (*CHANGE, "VALUE"): (-0.03, 0.03),
    (*CHANGE, "VALUE_interval", 0): (-0.05, 0.0),
    (*CHANGE, "VALUE_interval", 1): (-0.02, 0.05),
    ("float_tensors",): (3, 0),
    ("parity", "layers", "identical_exact"): (0.99, 1.0),
    ("parity", "layers", "max_lsb"): (4, 0),
    (*KERNELS, "SAME"): (0.8, 1.0),
    ("histories", "float/finetune", "rows", 1, "val_loss"): (2.0, 0.5),
    ("data", "in_training"): (3, 0),
}


def between(ends):
    numbers_of = st.integers if isinstance(ends[0], int) else st.floats
    return numbers_of(min(ends), max(ends))


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_worse_figures_never_improve_the_verdict(family, data):
    good = {path: ends[1] for path, ends in MORE.items()}
    facts = sound(family)
    # Few at once: with all at random nothing would ever be shipped.
    for path in data.draw(st.sets(st.sampled_from(sorted(MORE, key=str)), max_size=3)):
        good[path] = data.draw(between(MORE[path]))
    for path, value in good.items():
        changed(facts, own(family, path), value)
    path = data.draw(st.sampled_from(sorted(MORE, key=str)))
    worst, _ = MORE[path]
    worse = changed(
        copy.deepcopy(facts), own(family, path), data.draw(between((good[path], worst)))
    )
    before, after = (rank(family, item) for item in (facts, worse))
    assert after <= before


def rank(family, facts):
    verdict, checks, decision = judged(family, facts)
    return (decision.ship, TONES.index(verdict.tone), sum(check.met for check in checks))


def _metrics(*variants, **parts):
    return LocalizerMetrics.model_validate({"split": "test", "variants": variants, **parts})


def test_float_file_stands_in_for_float_keras():
    verdict = LocalizerView().verdict(
        _metrics(
            variant("float_tflite", 0.75),
            variant("uint8_tflite", 0.76),
            differences=[{**localizer_difference(0.01, 0.0), "against": "float_tflite"}],
        )
    )
    assert verdict.text == (
        "uint8 keeps the accuracy of float: right class +1.00 points (95 % interval −1.50 … +1.50),"
        " mean IoU ±0 (95 % interval −0.015 … +0.015)"
    )


@pytest.mark.parametrize("only", ["float_keras", "uint8_tflite"])
def test_no_verdict_on_one_model(only):
    assert LocalizerView().verdict(_metrics(variant(only))) is None


def test_interval_agrees_with_wilsons_worked_value():
    # 8 of 10: Wilson interval 0.4902 to 0.9433 (Newcombe 1998 gives the formula).
    assert half_interval(0.8, 10) == pytest.approx((0.9433 - 0.4902) / 2, abs=2e-4)
    assert half_interval(1.0, 10) > 0


def test_slower_is_said():
    metrics = _metrics(
        variant("float_tflite"),
        variant("uint8_tflite"),
        latency=[
            latency("float_tflite", "xnnpack", 1, 2.0),
            latency("uint8_tflite", "xnnpack", 1, 5.0),
        ],
    )
    assert LocalizerView().tiles(metrics)[-1].change == "2.5× slower"


def test_latency_without_float_in_the_same_setting():
    metrics = _metrics(
        variant("uint8_tflite"),
        latency=[
            latency("float_tflite", "xnnpack", 2, 2.0),
            latency("uint8_tflite", "optimized", 1, 5.0),
        ],
    )
    tile = LocalizerView().tiles(metrics)[-1]
    assert (tile.title, tile.before, tile.after) == ("latency, optimized, 1 thread", "", "5.00 ms")


def test_figures_as_text():
    assert numbers.plain(1234.5, 2) == "1,234.50"
    assert numbers.plain(None, 2) == "–"
    assert numbers.percent(0.9999999, 3) == "99.999"
    assert numbers.percent(1.0, 3) == "100.000"
    assert numbers.difference(-0.004) == "±0"
    assert numbers.difference(-1234.5) == "−1,234.50"
