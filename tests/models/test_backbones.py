"""Every entry of the registry keeps its promises; a new backbone is tested by being listed."""

import numpy as np
import pytest

from quantdet.models.backbones import BACKBONES
from quantdet.models.style import KERAS_STYLE, TORCHVISION_STYLE, BackboneStyle
from quantdet.models.weight_files import layer_arrays

STYLES = (KERAS_STYLE, TORCHVISION_STYLE)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.padding)
def test_feature_maps_have_their_stride(name, style):
    backbone = BACKBONES[name]
    model = backbone.build(96, 0.35, style)
    for stride, layer in backbone.features.items():
        assert model.get_layer(layer).output.shape[1:3] == (96 // stride, 96 // stride)
    assert model.output is model.get_layer(backbone.features[32]).output


@pytest.mark.parametrize("name", BACKBONES)
def test_torch_names_cover_every_variable(name):
    backbone = BACKBONES[name]
    keys = list(layer_arrays(backbone.build(32, 0.35, TORCHVISION_STYLE).layers))
    assert sorted(backbone.torch_names().values()) == sorted(keys)


@pytest.mark.parametrize("name", BACKBONES)
def test_first_layers_state_the_style(name):
    backbone = BACKBONES[name]
    for style in STYLES:
        model = backbone.build(32, 0.35, style)
        first, norm = (model.get_layer(layer) for layer in backbone.first_layers)
        assert first.padding == ("valid" if style.padding == "symmetric" else "same")
        assert norm.epsilon == style.epsilon


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.padding)
def test_style_round_trip(style):
    assert BackboneStyle.from_dict(style.to_dict()) == style


@pytest.mark.parametrize("pixel", [0, 1, 127, 128, 255])
def test_styles_translate_pixels_exactly(pixel):
    real = (pixel - 128) / 127.5

    def normalised(style):
        return (real - np.array(style.mean)) / np.sqrt(style.variance)

    np.testing.assert_allclose(normalised(KERAS_STYLE), pixel / 127.5 - 1, atol=1e-12)
    wanted = (pixel / 255 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalised(TORCHVISION_STYLE), wanted, atol=1e-12)
