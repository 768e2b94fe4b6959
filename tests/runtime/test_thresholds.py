import numpy as np
import pytest

from quantdet.errors import ConfigError, ModelError
from quantdet.runtime.contract import contract_path
from quantdet.runtime.detector import Detector
from quantdet.runtime.thresholds import label_thresholds, parse_class_thresholds
from tests.runtime.helpers import make_contract, plain_contract, solid


def lowest(*args, own=None, **options):
    contract = plain_contract("ssd", classes=3)
    changed = {"score_threshold": 0.4, "class_thresholds": own or {"class1": 0.7}}
    decoder = contract.decoder.model_copy(update=changed)
    contract = contract.model_copy(update={"decoder": decoder})
    return label_thresholds(contract, *args, **options).tolist()


def test_contract_speaks_where_nothing_is_asked():
    assert lowest() == [0.4, 0.7, 0.4]


def test_what_is_asked_is_stronger():
    assert lowest(0.2) == [0.2, 0.2, 0.2]
    assert lowest(class_thresholds={"class2": 0.1}) == [0.4, 0.7, 0.1]
    assert lowest(class_thresholds={"class1": 0.1}) == [0.4, 0.1, 0.4]
    assert lowest(0.2, {"class2": 0.9}) == [0.2, 0.2, 0.9]


def test_classes_that_are_not_wanted():
    assert lowest(classes=["class2", "class1"]) == [np.inf, 0.7, 0.4]
    assert lowest(classes=[]) == [0.4, 0.7, 0.4]


def test_unknown_class_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'klass1'.*mean 'class1'.*class0, class1, class2"):
        lowest(classes=["klass1"])
    with pytest.raises(ConfigError, match=r"'unicorn' is not.*it knows class0"):
        lowest(class_thresholds={"unicorn": 0.5})


def test_value_out_of_range():
    with pytest.raises(ConfigError, match=r"threshold of 'class1' is 60; give a score from 0 to 1"):
        lowest(class_thresholds={"class1": 60})


def test_texts_of_the_command_line():
    assert parse_class_thresholds(["car=0.6", "a=b = 1"]) == {"car": 0.6, "a=b": 1.0}
    assert parse_class_thresholds([]) == {}


@pytest.mark.parametrize("text", ["car", "car=", "=0.5", "0.5", "car=high", ""])
def test_text_of_another_form(text):
    with pytest.raises(ConfigError, match=r"--class-threshold .*LABEL=SCORE, e\.g\. car=0\.6"):
        parse_class_thresholds([text])


@pytest.fixture
def picky_model(own_model):
    """Its contract asks for 0.999999 before it says "red"."""
    contract = make_contract(own_model, "single")
    changed = contract.decoder.model_copy(update={"class_thresholds": {"red": 0.999999}})
    contract.model_copy(update={"decoder": changed}).save(contract_path(own_model))
    return own_model


def names(detector, color, threshold=None):
    return detector.predict(solid(color, (40, 80)), threshold).names()


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_detector_honours_class_thresholds_unless_told_otherwise(picky_model):
    detector = Detector(picky_model)
    assert names(detector, RED) == []
    assert names(detector, BLUE) == ["blue"]
    assert names(detector, RED, threshold=0.5) == ["red"]
    assert names(Detector(picky_model, threshold=0.5), RED) == ["red"]
    assert names(Detector(picky_model, class_thresholds={"red": 0.5}), RED) == ["red"]
    strict = Detector(picky_model, threshold=0.5, class_thresholds={"blue": 1.0})
    assert (names(strict, RED), names(strict, BLUE)) == (["red"], [])


def test_unwanted_classes_stay_away_at_any_threshold(model):
    detector = Detector(model, classes=["blue"])
    assert names(detector, RED) == names(detector, RED, threshold=0) == []
    assert names(detector, BLUE) == names(detector, BLUE, threshold=0.5) == ["blue"]


def test_contract_with_a_threshold_for_no_label(own_model):
    contract = make_contract(own_model, "single")
    changed = contract.decoder.model_copy(update={"class_thresholds": {"green": 0.5}})
    contract.model_copy(update={"decoder": changed}).save(contract_path(own_model))
    with pytest.raises(ModelError, match=r"class_thresholds names 'green'.*fix the contract"):
        Detector(own_model)
