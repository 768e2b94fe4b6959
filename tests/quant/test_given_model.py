"""The float model as given is the judge: what is lost before folding is seen."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from quantdet.errors import QuantizationError, QuantizationWarning
from quantdet.quant import prepare
from quantdet.quant.analysis import analyse
from quantdet.quant.fold import simplify
from quantdet.quant.graph import build_model
from quantdet.quant.judge import compare_with_float
from quantdet.quant.pair import Pair
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.reader import read_graph


@pytest.fixture
def net():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3)).astype(np.float32)
    scaling = kl.Normalization(name="scaling")
    scaling.adapt(x)
    picture = keras.Input((12, 12, 3), name="image")
    y = kl.Conv2D(8, 3, padding="same", name="first")(scaling(picture))
    y = kl.ReLU(name="bend")(kl.BatchNormalization(name="norm")(y))
    return keras.Model(picture, kl.Conv2D(4, 3, name="last")(y)), x


def test_a_good_model_is_compared_layer_by_layer(net):
    model, x = net
    prepared = prepare_qat(model, x)
    compared = compare_with_float(model, prepared, x)
    assert list(compared.outputs) == ["output"]
    assert compared.worst_db > 30
    assert set(compared.layers) >= {"scaling", "bend", "last"}
    assert compared.warning() is None
    assert compared.suspect is None


def test_the_comparison_survives_saving(net, tmp_path):
    model, x = net
    prepared = prepare_qat(model, x)
    prepared.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert compare_with_float(model, loaded, x) == compare_with_float(model, prepared, x)


def test_what_reading_loses_is_seen_and_the_layer_named(net, monkeypatch):
    model, x = net

    def lossy(given):
        graph = simplify(read_graph(given))
        for node in graph.nodes:
            if node.layer.name == "scaling":
                node.layer.set_weights([w * 0.3 for w in node.layer.get_weights()])
        return graph

    monkeypatch.setattr(prepare, "simplify", lambda graph: lossy(model))
    with pytest.warns(QuantizationWarning, match=r"'output' .* dB .*look at layer 'scaling' first"):
        prepared = prepare_qat(model, x, trial_export=False)
    # Beside its own folded form it looks right: that is why the given model judges.
    folded = build_model(lossy(model), "folded")
    assert compare_with_float(folded, prepared, x).worst_db > 25


def test_analysis_is_against_the_given_model(net):
    model, x = net
    prepared = prepare_qat(model, x)
    result = analyse(Pair(prepared, model), [x[:4]])
    wanted = compare_with_float(model, prepared, x[:4]).outputs["output"]
    assert result.outputs["output"] == pytest.approx(wanted, abs=0.2)


def test_every_tensor_that_keeps_its_id_keeps_its_value(net):
    model, x = net
    graph = read_graph(model)
    functional = keras.Model(model.inputs, [layer.output for layer in model.layers])
    given = dict(zip([la.name for la in model.layers], functional(x), strict=True))
    simple = simplify(graph)
    known = simple.run([x], lambda node, arguments: node.layer(arguments[0]))
    compared = 0
    for tensor, label in simple.origins.items():
        if tensor in known:
            np.testing.assert_allclose(known[tensor], given[label], atol=2e-4)
            compared += 1
    assert compared >= 4


def test_what_cannot_be_exported_is_refused_before_training(net, monkeypatch):
    model, x = net
    real = prepare.integer_content

    def refuse(prepared):
        from quantdet.errors import ExportError

        real(prepared)
        raise ExportError("layer 'last' has no kernel")

    monkeypatch.setattr(prepare, "integer_content", refuse)
    with pytest.raises(QuantizationError, match="could be trained, but not exported: layer 'last'"):
        prepare_qat(model, x)
    prepare_qat(model, x, trial_export=False)


def test_a_file_that_computes_something_else_is_refused(net, monkeypatch):
    model, x = net
    other = prepare_qat(model, x[:, ::-1] * 0.2, trial_export=False)
    content = prepare.integer_content(other)
    monkeypatch.setattr(prepare, "integer_content", lambda prepared: content)
    with pytest.raises(QuantizationError, match="against its own simulation"):
        prepare_qat(model, x)
