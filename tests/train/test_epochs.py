"""How many epochs, which one is the best, and how they are told."""

import pytest

from quantdet.config import TrainConfig
from quantdet.manifest import Identity, QatIdentity
from quantdet.train.epoch_line import epoch_line
from quantdet.train.history import MAP, History
from quantdet.train.identity import same_training
from quantdet.train.steps import Epochs, choose_epochs, warmup_epochs


def history(values, monitor=MAP, objects=100):
    rows = tuple(
        {"epoch": epoch, "seconds": 1.0, **({} if value is None else {monitor: value})}
        for epoch, value in enumerate(values, start=1)
    )
    return History(rows, monitor, objects)


@pytest.mark.parametrize(
    ("values", "objects", "best"),
    [
        ([0.5, 0.8, 0.79, 0.6], 100, 3),  # one standard error is 0.04
        ([0.5, 0.8, 0.79, 0.6], 100_000, 2),
        ([0.9, 0.8, 0.8], 9, 3),  # nine objects tell nothing
        ([0.0, 0.0, 0.0], 9, 3),
        ([None, None, 0.7, None], 100, 3),
        ([None, None], 100, 2),
        ([], 100, 0),
    ],
)
def test_best_epoch_by_mean_ap(values, objects, best):
    assert history(values, objects=objects).best_epoch == best
    # What was chosen on the way is still there at the end: its file was kept.
    chosen = [history(values[:n], objects=objects).best_epoch for n in range(len(values) + 1)]
    assert best in (0, len(values)) or best in chosen


def test_best_epoch_by_loss_is_the_first_of_the_lowest():
    assert history([0.5, 0.2, 0.2, 0.9], "val_loss").best_epoch == 2


@pytest.mark.parametrize(
    ("values", "patience", "over"),
    [
        ([0.5, 0.9, 0.8, 0.8], 2, True),
        ([0.5, 0.9, 0.8], 2, False),
        ([0.5, 0.9, 0.8, None], 2, False),  # not measured: nothing is decided
        ([0.5, 0.9, 0.8, 0.8], 0, False),
        ([0.5] * 9, 0, True),
    ],
)
def test_early_stopping(values, patience, over):
    assert history(values).is_over(epochs=9, patience=patience) is over


def test_history_survives_its_file():
    found = history([0.1, None, 0.3])
    assert History.from_dict(found.to_dict()) == found
    old = {key: value for key, value in found.to_dict().items() if key != "objects"}
    assert History.from_dict(old).objects == 0


@pytest.mark.parametrize(
    ("examples", "bounds", "epochs"),
    [
        (14, {"min_steps": 300}, Epochs(30, 10)),  # a step a pass
        (43, {"min_steps": 300}, Epochs(25, 4)),
        (5000, {"min_steps": 300}, Epochs(40)),
        (20_000, {"max_steps": 15_000}, Epochs(12)),
        (10**6, {"max_steps": 15_000}, Epochs(1)),
        (14, {}, Epochs(40)),
    ],
)
def test_epochs_follow_from_steps(examples, bounds, epochs, caplog):
    caplog.set_level("INFO", "quantdet")
    train = TrainConfig(batch_size=16, **bounds)
    assert choose_epochs(40, examples, train) == epochs
    assert bool(caplog.messages) == (epochs != Epochs(40))
    assert all(f"{epochs} instead of 40 epochs" in line for line in caplog.messages)


def test_epochs_as_people_read_them():
    assert [str(Epochs(12)), str(Epochs(30, 10))] == ["12 epochs", "30 epochs of 10 passes"]


def test_no_epoch_stays_none():
    assert choose_epochs(0, 14, TrainConfig(min_steps=300)) == Epochs(0)


@pytest.mark.parametrize(
    ("epochs", "examples", "expected"),
    [
        (Epochs(24), 816, 1.0),
        (Epochs(300), 14, 10.0),
        (Epochs(30, 10), 14, 1.0),
        (Epochs(40), 43, 10 / 3),
        (Epochs(2), 43, 0.5),
    ],
)
def test_warm_up_takes_ten_steps_at_least(epochs, examples, expected):
    assert warmup_epochs(epochs, examples, 16) == pytest.approx(expected)


def test_line_of_an_epoch():
    row = {"epoch": 12, "loss": 0.4123, "boxes_loss": 0.1, "val_loss": 0.52, "val_boxes_loss": 0.2}
    row |= {"seconds": 3.0, "learning_rate": 1e-4, MAP: 0.7134, "val_scores_accuracy": 0.9}
    assert epoch_line(row, 40, 28.96, 3725) == (
        "epoch 12/40  loss 0.4123 (boxes 0.1)  val loss 0.52 (boxes 0.2)  val mAP 71.3  "
        "val scores accuracy 0.900  29.0 images/s  1:02:05 left"
    )


def test_a_finished_stage_of_an_older_version_is_the_same_training():
    wanted = QatIdentity(train=TrainConfig().model_dump(mode="json"), data="abc")
    old = {key: value for key, value in wanted.train.items() if key != "validate_every"}
    assert same_training(QatIdentity(train=old, data="abc"), wanted)
    assert not same_training(QatIdentity(train=old, data="other"), wanted)
    assert not same_training(QatIdentity(train={**old, "epochs": 99}, data="abc"), wanted)
    with pytest.raises(ValueError, match="epochs"):
        same_training(QatIdentity(train={"epochs": "many"}), wanted)


def test_how_many_pictures_there_were_is_for_people():
    """An older version counted pictures of rare classes as often as it showed them."""
    assert same_training(
        Identity(data="abc", pictures=(806, 9)), Identity(data="abc", pictures=(765, 9))
    )
