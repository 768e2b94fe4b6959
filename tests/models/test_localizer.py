import keras
import numpy as np
import pytest

from quantdet.config import ModelConfig
from quantdet.errors import ModelError
from quantdet.models import WeightSet
from quantdet.models.backbones import BACKBONES
from quantdet.models.localizer import HEADS, build_localizer, head_input
from quantdet.models.losses import losses_for
from quantdet.models.style import TORCHVISION_STYLE
from quantdet.models.weight_files import layer_arrays


def config(**values):
    return ModelConfig(**{"input_size": 64, "width": 0.35, "weights": "none", **values})


@pytest.mark.parametrize("head", HEADS)
def test_outputs(head):
    model = build_localizer(config(head=head), 3)
    out = model(np.zeros((2, 64, 64, 3), np.float32))
    boxes, scores = np.asarray(out["boxes"]), np.asarray(out["scores"])
    assert set(out) == {"boxes", "scores"}
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    if head == "global":
        assert boxes.shape == (2, 4)
        assert scores.shape == (2, 4)  # background and three classes
        np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
    else:
        assert boxes.shape == (2, 4, 4)  # 64 / 32 squared cells
        assert scores.shape == (2, 4, 3)
        # the prior says "nothing here" with probability about 0.99
        np.testing.assert_allclose(1 / (1 + np.exp(-scores)), 0.01, atol=0.01)


@pytest.mark.parametrize("head", HEADS)
def test_graph_is_flat_and_named(head):
    model = build_localizer(config(head=head), 3)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    names = [layer.name for layer in model.layers]
    assert {
        "normalization",
        "Conv1",
        "bbox_head",
        "class_head",
        head_input(config(head=head)),
    } <= set(names)
    for layer in model.layers:
        if layer.name.endswith("_head"):
            assert layer.activation is keras.activations.linear


@pytest.mark.parametrize("head", HEADS)
def test_saves_and_loads(tmp_path, head):
    model = build_localizer(config(head=head), 3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("f4")
    for name, value in model(x).items():
        np.testing.assert_allclose(again(x)[name], value, atol=1e-6)


def test_weights_bring_their_style():
    backbone = BACKBONES["mobilenet_v2"].build(64, 0.35, TORCHVISION_STYLE)
    weights = WeightSet(layer_arrays(backbone.layers), TORCHVISION_STYLE, "test", "")
    model = build_localizer(config(), 3, weights)
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("f4")
    features = keras.Model(model.input, model.get_layer("out_relu").output)
    np.testing.assert_allclose(features(x), backbone(x), atol=1e-6)
    assert model.get_layer("bn_Conv1").epsilon == 1e-5
    assert model.get_layer("Conv1").padding == "valid"


@pytest.mark.parametrize("head", HEADS)
def test_keras_fit_takes_the_losses(head):
    model = build_localizer(config(head=head, input_size=32), 2)
    model.compile("sgd", loss=losses_for(head), jit_compile=False)
    x = np.zeros((2, 32, 32, 3), np.float32)
    if head == "global":
        y = {"boxes": np.full((2, 4), 0.5, np.float32), "scores": np.array([1, 2])}
    else:
        y = {"boxes": np.full((2, 1, 5), 0.5, np.float32), "scores": np.ones((2, 1, 3), np.float32)}
    result = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(result) == {"loss", "boxes_loss", "scores_loss"}
    assert result["loss"] == pytest.approx(result["boxes_loss"] + result["scores_loss"], rel=1e-5)


def test_no_class_is_an_error():
    with pytest.raises(ModelError, match=r"at least one class.*labels"):
        build_localizer(config(), 0)
