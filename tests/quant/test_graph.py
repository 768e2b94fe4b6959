"""Reading a model as a list of calls, and running it."""

from __future__ import annotations

import keras
import numpy as np

from quantdet.quant.graph import call_layer
from quantdet.quant.reader import read_graph
from tests.quant.cases import random_input, random_model


def test_bare_operations_are_not_taken_for_each_other():
    """Each becomes a layer of its own that nothing else holds, so that ids come back."""
    keras.utils.clear_session()
    x = y = keras.Input((4,))
    for number in range(40):
        y = y * float(number + 2) + float(number)
    model = keras.Model(x, y)
    names = [operation.name for operation in model.operations[1:]]
    for _ in range(5):
        graph = read_graph(model)
        assert [node.layer.name for node in graph.nodes] == names
        assert len({id(node.layer) for node in graph.nodes}) == len(names)


def test_forgetful_run_gives_the_outputs_and_holds_no_more():
    model = random_model("two_outputs")
    graph = read_graph(model)
    known = graph.run(
        [keras.ops.convert_to_tensor(random_input(model))],
        lambda node, arguments: call_layer(node.layer, arguments),
        forget=True,
    )
    assert set(known) == set(graph.output_ids)
    for name, values in model(random_input(model)).items():
        np.testing.assert_array_equal(known[graph.outputs[name]], values)
