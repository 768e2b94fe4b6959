"""Whatever a judge says of made-up answers, whole: every figure, interval and name.

`pytest --snapshot-update` writes the results anew; look at their difference before you commit it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from quantdet.config import Config
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample
from quantdet.detections import Detections
from quantdet.errors import DataError
from quantdet.evaluate import foreign
from quantdet.evaluate.agreement import disagreement
from quantdet.evaluate.coco_metrics import coco_detections, coco_truth
from quantdet.evaluate.details import describe_details
from quantdet.evaluate.examples import _drawn, write_examples
from quantdet.evaluate.latency import _result
from quantdet.evaluate.tasks import find_judge
from quantdet.evaluate.truth import truth_of
from quantdet.runtime.contract import Contract
from tests.evaluate.made_up import LABELS, found
from tests.evaluate.noisy import noisy
from tests.report.made_up_run import contract

SIZE_HW = (90, 120)
PICTURES = 12
LOWEST = np.array([0.5, 0.375, 0.625])


def _objects(rng):
    for _ in range(rng.integers(0, 4)):
        x, y = rng.integers(0, 60, 2)
        width, height = rng.integers(10, 50, 2)
        yield ObjectAnnotation(
            LABELS[rng.integers(0, len(LABELS))],
            (float(x), float(y), float(x + width), float(min(y + height, SIZE_HW[0]))),
            difficult=bool(rng.random() < 0.2),
        )


def _cache():
    rng = np.random.default_rng(5)
    samples = [
        Sample(f"{n:02}", Path(f"{n}.png"), SIZE_HW, tuple(_objects(rng))) for n in range(PICTURES)
    ]
    pixels = rng.integers(0, 256, (PICTURES, 8, 8, 3), np.uint8)
    return SimpleNamespace(samples=samples, images=pixels)


@pytest.fixture(params=["ssdlite", "localizer"])
def judged(request):
    """Return a judge, the answers of five variants, each worse than before, and what it said."""
    config = Config.model_validate({"model": {"name": request.param}})
    judge = find_judge(config, LABELS, _cache(), LOWEST)
    rng = np.random.default_rng(6)
    variants = ("float_keras", "float_tflite", "ptq_tflite", "qat_keras", "uint8_tflite")
    answers = {
        variant: [
            noisy(truth, SIZE_HW, LABELS, rng, alarms=1 + 2 * place) for truth in judge.test.truths
        ]
        for place, variant in enumerate(variants)
    }
    return judge, answers, judge.judge(answers)


def _plain(value):
    """Return anything as JSON-ready values, floats to six digits."""
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return round(value, 6) if isinstance(value, float) else value


def _text(value):
    return json.dumps(_plain(value), indent=1)


def test_figures(snapshot, judged):
    judge, _, said = judged
    assert _text({"facts": judge.facts, **said.metrics, **said.together}) == snapshot
    few = {
        variant: {name: values[:3] for name, values in draws.items()}
        for variant, draws in said.drawn.items()
    }
    assert _text(few) == snapshot(name="draws")


def test_details(snapshot, judged):
    judge, answers, said = judged
    details = describe_details(judge.test, answers, said, LOWEST).model_dump(mode="json")
    for variant in details["variants"].values():
        variant["draws"] = {name: values[:3] for name, values in variant["draws"].items()}
    assert _text(details) == snapshot


def test_agreement(snapshot, judged):
    judge, answers, _ = judged
    said = judge.agreement(answers["uint8_tflite"][:7], answers["float_keras"][:7])
    assert _text(said) == snapshot
    pairs = zip(answers["float_keras"], answers["uint8_tflite"], strict=True)
    assert _text([asdict(disagreement(*pair)) for pair in pairs]) == snapshot(name="each picture")


def test_matches(snapshot, judged):
    judge, answers, _ = judged
    matches = [vars(item) for item in judge.matches(answers["uint8_tflite"])]
    assert _text(matches) == snapshot


def test_examples(snapshot, judged, tmp_path):
    judge, answers, _ = judged
    samples = []
    for sample in judge.test.samples:
        path = tmp_path / sample.image_path
        Image.new("RGB", SIZE_HW[::-1], "white").save(path)
        samples.append(Sample(sample.image_id, path, sample.size_hw, sample.objects))
    test = type(judge.test)(LABELS, samples, judge.test.pixels, judge.test.truths)
    shown = {
        "float": [item.above(LOWEST) for item in answers["float_keras"]],
        "uint8": [item.above(LOWEST) for item in answers["uint8_tflite"]],
    }
    write_examples(tmp_path / "examples", test, shown)
    assert (tmp_path / "examples" / "examples.json").read_text("utf-8") == snapshot


def test_what_coco_is_told(snapshot):
    judge = find_judge(Config.model_validate({"model": {"name": "ssd"}}), LABELS, _cache(), LOWEST)
    rng = np.random.default_rng(7)
    answers = [noisy(truth, SIZE_HW, LABELS, rng, alarms=1) for truth in judge.test.truths]
    assert _text(coco_truth(judge.test.truths[:4], len(LABELS))) == snapshot
    assert _text(coco_detections(answers[:4])) == snapshot(name="detections")


class _Stranger:
    """A detector made elsewhere: other classes in another order, one that the data lack."""

    labels = ("kite", "cow", "ant")
    model_file = Path("stranger.tflite")

    def __init__(self, file):
        self.model_file = file
        told = {**contract(), "labels": list(self.labels)}
        told["decoder"]["score_threshold"] = 0.3
        told["decoder"]["class_thresholds"] = {"ant": 0.6}
        self.contract = Contract.model_validate(told)
        self._rng = np.random.default_rng(8)
        self._left = iter(_cache().samples)

    def predict(self, _picture, threshold):
        truth = truth_of(next(self._left), LABELS)
        answer = noisy(truth, SIZE_HW, LABELS, self._rng, alarms=3)
        # Bees are called kites.
        class_ids = np.array([2, 0, 1])[answer.class_ids]
        answer = Detections(answer.boxes_xyxy, answer.scores, class_ids, self.labels)
        return answer.above(np.full(len(self.labels), threshold))


def test_a_file_made_elsewhere(snapshot, monkeypatch, tmp_path):
    monkeypatch.setattr(foreign, "Detector", _Stranger)
    file = tmp_path / "stranger.tflite"
    file.write_bytes(bytes(1234))
    dataset = Dataset(tmp_path, LABELS, {"test": tuple(_cache().samples)})
    steps = []
    metrics = foreign.evaluate_file(file, dataset, "test", lambda *step: steps.append(step))
    assert steps == [(number, PICTURES) for number in range(1, PICTURES + 1)]
    told = metrics.model_dump(mode="json", exclude={"host"})
    assert _text(told).replace(str(tmp_path), "HERE") == snapshot


def test_a_file_of_other_classes_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(foreign, "Detector", _Stranger)
    dataset = Dataset(tmp_path, ("dog", "bee"), {"test": tuple(_cache().samples)})
    wanted = rf"finds kite, cow, ant; none of these is a class of {tmp_path} \(dog, bee\); rename"
    with pytest.raises(DataError, match=wanted):
        foreign.evaluate_file(tmp_path / "x.tflite", dataset, "test")


def test_times_of_a_setting():
    times = [float(number) / 7 for number in range(1, 101)]
    assert asdict(_result(("xnnpack", 2), times, 99)) == {
        **{"kernels": "xnnpack", "threads": 2, "runs": 100, "bytes": 99},
        **{"median_ms": 7.214, "p90_ms": 12.871, "min_ms": 0.143},
    }


def test_boxes_of_examples_are_drawn_where_they_are():
    """A picture twice as wide as is shown, with a box in its lower right quarter."""
    box = found(((480, 240, 950, 470), 0, 0.9))
    white = np.full((480, 960, 3), 255, np.uint8)
    rows, columns = np.nonzero((_drawn(white, box, scores=False) < 200).any(axis=2))
    assert (rows.max(), columns.max()) == (pytest.approx(235, abs=2), pytest.approx(475, abs=2))
    assert columns.min() == pytest.approx(240, abs=2)
    assert rows.min() == pytest.approx(120, abs=20)  # the label stands above the box
