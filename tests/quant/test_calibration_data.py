"""Calibration in every form of model.fit and TFLiteConverter; anything else is one sentence."""

from __future__ import annotations

import tempfile
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from quantdet.errors import QuantizationError
from quantdet.export.integer import export_integer
from quantdet.quant.calibrate import calibrate
from quantdet.quant.calibration_data import (
    CalibrationData,
    Reservoir,
    check_input_range,
    sliced,
)
from quantdet.quant.layers import ActivationQuantizer
from quantdet.quant.prepare import Scheme, insert_fake_quant, prepare_qat
from quantdet.runtime.engine import Engine
from tests.quant.cases import random_input, random_model

# A model that takes a dict need not name its Inputs by the keys.
pytestmark = pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
COUNT = 10


def picture_net(shape=(6, 7, 3)):
    x = keras.Input(shape, name="image")
    return keras.Model(x, kl.Conv2D(4, 3, activation="relu")(x))


def two_input_net(nest=list):
    rgb, depth = keras.Input((6, 6, 3), name="rgb"), keras.Input((6, 6, 1), name="depth")
    y = kl.Concatenate()([kl.Conv2D(4, 3)(rgb), kl.Conv2D(2, 3)(depth)])
    inputs = {"colour": rgb, "range": depth} if nest is dict else nest([rgb, depth])
    return keras.Model(inputs, y)


@pytest.fixture(scope="module")
def x():
    # Every picture is larger than the one before, so ranges tell which were seen.
    noise = np.random.default_rng(0).uniform(-1, 1, (COUNT, 6, 7, 3))
    return (noise * np.arange(1, COUNT + 1)[:, None, None, None]).astype(np.float32)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(1)
    rgb = rng.uniform(-1, 1, (COUNT, 6, 6, 3)).astype(np.float32)
    return rgb, rng.uniform(0, 3, (COUNT, 6, 6, 1)).astype(np.float32)


class Sequence(keras.utils.PyDataset):
    def __init__(self, x, make):
        super().__init__()
        self.batches = [x[:4], x[4:8], x[8:]]
        self.make = make

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, position):
        return self.make(self.batches[position])


class Loader:
    """Like a DataLoader: iterable anew, and its batches are lists [x, y]."""

    def __init__(self, x):
        self.x = x

    def __iter__(self):
        return ([self.x[i : i + 3], np.zeros(3)] for i in range(0, len(self.x), 3))


def dataset(x):
    return tf.data.Dataset.from_tensor_slices((x, np.zeros(len(x)))).batch(4)


FORMS = {
    "array": lambda x: x,
    "float64 array": lambda x: x.astype(np.float64),
    "tensor": tf.constant,
    "dict": lambda x: {"image": x},
    "list of batches": lambda x: [x[:3], x[3:]],
    "tuple of batches": lambda x: (x[:3], x[3:]),
    "list of pictures": list,
    "generator": lambda x: (x[i : i + 3] for i in range(0, len(x), 3)),
    "generator of dicts": lambda x: ({"image": x[i : i + 3]} for i in range(0, len(x), 3)),
    "generator of (x, y)": lambda x: ((x[i : i + 3], None) for i in range(0, len(x), 3)),
    "generator of (x, y, w)": lambda x: ((x[i : i + 5], 0, 1) for i in range(0, len(x), 5)),
    "generator of (x,)": lambda x: ((x[i : i + 5],) for i in range(0, len(x), 5)),
    "generator of ([x], y)": lambda x: (([x[i : i + 5]], 0) for i in range(0, len(x), 5)),
    "tf.data of x": lambda x: tf.data.Dataset.from_tensor_slices(x).batch(4),
    "tf.data of (x, y)": dataset,
    "tf.data of pictures": lambda x: dataset(x).unbatch(),
    "tf.data of dicts": lambda x: tf.data.Dataset.from_tensor_slices({"image": x}).batch(4),
    "PyDataset of x": lambda x: Sequence(x, lambda batch: batch),
    "PyDataset of (x, y)": lambda x: Sequence(x, lambda batch: (batch, batch[:, 0, 0, 0])),
    "PyDataset of (x, y, w)": lambda x: Sequence(x, lambda batch: (batch, batch, batch)),
    "loader": Loader,
    "representative_dataset": lambda x: lambda: ([picture[None]] for picture in x),
    "RepresentativeDataset": lambda x: tf.lite.RepresentativeDataset(
        lambda: ([p[None]] for p in x)
    ),
    "function that returns an array": lambda x: lambda: x,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_pictures(form, x):
    (values,) = map(
        np.concatenate, zip(*CalibrationData(picture_net(), FORMS[form](x)), strict=True)
    )
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, x)


TWO_INPUTS = {
    "list": list,
    "tuple": tuple,
    "dict": lambda p: dict(zip(("rgb", "depth"), p, strict=True)),
    "list of lists": lambda p: [[v[:5] for v in p], [v[5:] for v in p]],
    "list of tuples": lambda p: [tuple(v[:5] for v in p), tuple(v[5:] for v in p)],
    "list of dicts": lambda p: [{"depth": p[1], "rgb": p[0]}],
    "list of ([a, b], y)": lambda p: [(list(p), np.zeros(COUNT))],
    "list of ({...}, y, w)": lambda p: [({"depth": p[1], "rgb": p[0]}, 0, 0)],
    "tf.data": lambda p: tf.data.Dataset.from_tensor_slices(tuple(p)).batch(3),
    "tf.data of ((a, b), y)": lambda p: tf.data.Dataset.from_tensor_slices(
        (tuple(p), np.zeros(COUNT))
    ).batch(3),
    "tf.data of ({...}, y)": lambda p: tf.data.Dataset.from_tensor_slices(
        ({"rgb": p[0], "depth": p[1]}, np.zeros(COUNT))
    ).batch(3),
    "representative_dataset": lambda p: (
        lambda: ([a[None], b[None]] for a, b in zip(*p, strict=True))
    ),
    "pictures": lambda p: [(a, b) for a, b in zip(*p, strict=True)],
}


@pytest.mark.parametrize("form", TWO_INPUTS)
def test_several_inputs_as_model_fit_takes_them(form, pair):
    found = list(CalibrationData(two_input_net(), TWO_INPUTS[form](pair)))
    for values, wanted in zip(map(np.concatenate, zip(*found, strict=True)), pair, strict=True):
        np.testing.assert_array_equal(values, wanted)


def test_a_model_that_takes_a_dict_takes_only_dicts(pair):
    model = two_input_net(dict)
    assert [tensor.name for tensor in model.inputs] == ["rgb", "depth"]
    batch = {"range": pair[1], "colour": pair[0]}
    for form in (batch, [batch], [(batch, 0)], lambda: iter([batch])):
        (inputs,) = CalibrationData(model, form)
        np.testing.assert_array_equal(inputs[0], pair[0])
        np.testing.assert_array_equal(inputs[1], pair[1])
    # Keras would sort the keys; in which order a list is meant nobody can tell.
    with pytest.raises(QuantizationError, match=r"dicts of arrays for inputs 'colour'.*'range'"):
        list(CalibrationData(model, [list(pair)]))


def test_several_inputs_are_calibrated_each_for_itself_and_exported(pair, tmp_path):
    prepared = prepare_qat(two_input_net(), list(pair))
    ranges = {q.name: q.params() for q in prepared.layers if isinstance(q, ActivationQuantizer)}
    assert ranges["rgb_quant"].minimum == pytest.approx(-1, abs=0.02)
    assert ranges["depth_quant"].minimum == 0
    assert ranges["depth_quant"].maximum == pytest.approx(3, rel=0.02)
    export_integer(prepared, tmp_path / "m.tflite")


def test_axes_of_length_one_as_model_fit_takes_them():
    grey = np.random.default_rng(0).uniform(0, 1, (5, 8, 6)).astype(np.float32)
    (inputs,) = CalibrationData(picture_net((8, 6, 1)), grey)
    np.testing.assert_array_equal(inputs[0], grey[..., None])


def test_axes_that_the_model_leaves_open_may_be_anything():
    model = picture_net((None, None, 3))
    sizes = [(6, 7), (9, 5), (9, 5), (6, 7), (9, 5)]
    pictures = [np.full((*size, 3), k, np.float32) for k, size in enumerate(sizes)]
    shapes = [inputs[0].shape for inputs in CalibrationData(model, pictures)]
    assert shapes == [(1, 6, 7, 3), (2, 9, 5, 3), (1, 6, 7, 3), (1, 9, 5, 3)]
    prepare_qat(model, pictures)
    reservoir = Reservoir()
    assert len(list(reservoir.tee(CalibrationData(model, pictures)))) == 4
    # Steps that need pictures of one size get those of the most common one.
    np.testing.assert_array_equal(reservoir.sample()[0][:, 0, 0, 0], [1, 2, 4])


def test_pixels_may_be_integers(x):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), np.uint8)
    prepared = prepare_qat(picture_net(), pixels)
    (quantizer,) = [q for q in prepared.layers if q.name == "image_quant"]
    assert quantizer.params().maximum > 250
    half = list(CalibrationData(picture_net(), tf.cast(x, tf.bfloat16)))
    assert half[0][0].dtype == np.float32


def _endless():
    return tf.data.Dataset.from_tensors(np.zeros((1, 6, 7, 3))).repeat()


class Unsized(keras.utils.PyDataset):
    def __getitem__(self, position):
        return np.zeros((1, 6, 7, 3))


def with_nan(x):
    broken = x.copy()
    broken[3, 2, 2, 1] = np.nan
    return broken


REFUSED = {
    "None": (lambda x: None, "calibration is None"),
    "file name": (lambda x: "pictures", "calibration is a str"),
    "number": (lambda x: 3, "calibration is a int"),
    "file names": (lambda x: ["a.jpg"], "a batch is a str"),
    "array of file names": (lambda x: np.array(["a.jpg"]), "type <U5"),
    "tensor of file names": (lambda x: tf.constant(["a.jpg"]), "string"),
    "objects": (lambda x: np.array([None]), "type object"),
    "complex": (lambda x: x.astype(np.complex64), "type complex64"),
    "lists of numbers": (lambda x: [[1.0, 2.0]], "a list of 2, the first a float"),
    "nothing": (lambda x: [], "no calibration data"),
    "empty generator": (lambda x: iter(()), "no calibration data"),
    "empty dataset": (lambda x: dataset(x).take(0), "no calibration data"),
    "empty array": (lambda x: x[:0], "is empty"),
    "empty batch": (lambda x: [x, x[:0]], "is empty"),
    "other channels": (lambda x: x[..., :1], r"\(10, 6, 7, 1\)"),
    "other size": (lambda x: x[:, :5], r"\(10, 5, 7, 3\)"),
    "turned": (lambda x: x.transpose(0, 2, 1, 3), r"\(10, 7, 6, 3\)"),
    "channels first": (lambda x: x.transpose(0, 3, 1, 2), r"\(10, 3, 6, 7\)"),
    "batches of batches": (lambda x: x[None], r"\(1, 10, 6, 7, 3\)"),
    "y behind x": (lambda x: (x, np.zeros(COUNT)), r"\(10,\)"),
    "four in a tuple": (lambda x: [(x, x, x, x)], "a tuple of 4"),
    "another key": (lambda x: {"picture": x}, r"unknown key 'picture'.*\['image'\]"),
    "NaN": (with_nan, "input 'image' has values that are not finite"),
    "infinite in float32": (lambda x: x.astype(np.float64) * 1e300, "not finite"),
    "ragged": (lambda x: tf.ragged.constant([[1.0], [2.0, 3.0]]), "expected"),
    "endless dataset": (lambda x: _endless(), "without end"),
    "endless PyDataset": (lambda x: Unsized(), "without end"),
    "function with arguments": (lambda x: lambda path: x, "takes arguments"),
    "function that gives nothing": (lambda x: lambda: None, "calibration is None"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_one_sentence(what, x):
    make, message = REFUSED[what]
    with pytest.raises(QuantizationError, match=message) as caught:
        prepare_qat(picture_net(), make(x))
    assert "\n" not in str(caught.value)


REFUSED_PAIRS = {
    "one array": (lambda p: p[0], "a batch is an array"),
    "one of two": (lambda p: [[p[0]]], "a list of 1"),
    "three of two": (lambda p: [[p[0], p[1], p[1]]], "a list of 3"),
    "the other order": (
        lambda p: [p[1], p[0]],
        r"input 'rgb' got an array of shape \(10, 6, 6, 1\)",
    ),
    "a key missing": (lambda p: {"rgb": p[0]}, "no key 'depth'"),
    "a key too many": (lambda p: [{"rgb": p[0], "depth": p[1], "y": 0}], "unknown key 'y'"),
    "fewer of one": (lambda p: [p[0], p[1][:4]], "10 of 'rgb', 4 of 'depth'"),
    "batches of one input": (lambda p: [p[0], p[0], p[0]], "a list of 3, the first an array"),
}


@pytest.mark.parametrize("what", REFUSED_PAIRS)
def test_anything_else_for_two_inputs_is_one_sentence(what, pair):
    make, message = REFUSED_PAIRS[what]
    with pytest.raises(QuantizationError, match=message):
        prepare_qat(two_input_net(), make(pair))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1, -1), "smaller one first"),
        ((0, 0), "not a range"),
        ((0.5, 1.0), r"give \(0.0, 1.0\)"),
        ((-2.0, -1.0), r"give \(-2.0, 0.0\)"),
        ((float("nan"), 1), "not a range"),
        ((0, float("inf")), "not a range"),
        (1.0, "give \\(minimum, maximum\\)"),
        ((0, 1, 2), "give \\(minimum, maximum\\)"),
        ("ab", "give \\(minimum, maximum\\)"),
        ({"rgb": (1, -1)}, r"input_range\['rgb'\]"),
        ({"grey": (0, 1)}, r"unknown input 'grey'.*'rgb', 'depth'"),
    ],
)
def test_input_range_that_is_none(given, message, pair):
    with pytest.raises(QuantizationError, match=message):
        prepare_qat(two_input_net(), pair, input_range=given)


def test_input_range_of_one_of_several_inputs(pair):
    def ends(model, input_range):
        prepared = prepare_qat(model, calibration[model], input_range=input_range)
        return {
            q.name: (q.params().minimum, q.params().maximum)
            for q in prepared.layers
            if q.name in ("rgb_quant", "depth_quant")
        }

    lists, dicts = two_input_net(), two_input_net(dict)
    calibration = {lists: pair, dicts: {"colour": pair[0], "range": pair[1]}}
    calibrated = ends(lists, None)
    assert ends(lists, (0, 8))["rgb_quant"] == ends(lists, (0, 8))["depth_quant"] == (0, 8)
    assert ends(lists, {"depth": (0, 8)}) == {**calibrated, "depth_quant": (0, 8)}
    assert ends(dicts, {"range": (0, 8)}) == {**calibrated, "depth_quant": (0, 8)}
    assert check_input_range(dicts, {"range": (0, 8)}) == {"depth": (0.0, 8.0)}


def _cuts(x):
    yield [x]
    yield list(x)
    yield [x[:1], x[1:50], x[50:]]
    yield (x[i : i + 7] for i in range(0, len(x), 7))


@pytest.mark.parametrize("recipe", ["static_wi8_ai8", "static_wi8_ai8_per_tensor"])
def test_batches_may_be_cut_anyhow(recipe):
    """Not one bit of the result depends on it: neither ranges nor rounded weights nor biases."""
    model = random_model("two_outputs")
    x = random_input(model, 60)
    found = [
        prepare_qat(model, calibration, recipe=recipe, rounding="second_order").get_weights()
        for calibration in _cuts(x)
    ]
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_sample_is_even_and_the_same_each_time():
    stream = [[np.arange(start, start + 10, dtype=np.float32)] for start in range(0, 1000, 10)]

    def draw(slices):
        reservoir = Reservoir()
        list(reservoir.tee(slices))
        return reservoir.sample()[0]

    sample = draw(stream)
    assert len(set(sample)) == 32
    np.testing.assert_array_equal(sample, draw([[np.arange(1000, dtype=np.float32)]]))
    # Mean of 32 out of 0 to 999, standard deviation 51; the first 32 would have 15.5.
    assert abs(sample.mean() - 499.5) < 3 * 51


@pytest.mark.parametrize("recipe", ["static_wi8_ai8", "static_wi8_ai8_per_tensor"])
def test_a_stream_is_read_once_and_forgotten(recipe):
    made, alive = [], []

    def stream():
        for number in range(100):
            batch = np.full((64, 6, 7, 3), number / 100, np.float32)
            made.append(weakref.ref(batch))
            alive.append(sum(reference() is not None for reference in made))
            yield batch

    prepare_qat(picture_net(), stream, recipe=recipe)
    assert len(made) == 100
    # The one at hand, the one before, and those that the first unfinished slice spans.
    assert max(alive) <= 6


def test_equalizing_reads_a_generator_twice_and_leaves_no_file(x, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = CalibrationData(picture_net(), (batch for batch in [x[:4], x[4:]]))
    spool = data.replayable()
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([inputs[0] for inputs in spool]), x)
    del spool
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(QuantizationError, match="read only once"):
        list(data)
    listed = CalibrationData(picture_net(), [x])
    assert listed.replayable() is listed


def test_big_arrays_run_in_slices():
    def lengths(shape, count):
        model = keras.Model(i := keras.Input(shape), kl.Flatten()(i))
        values = np.zeros((count, *shape), np.float32)
        return [len(inputs[0]) for inputs in CalibrationData(model, values)]

    assert lengths((224, 224, 3), 20) == [8, 8, 4]
    assert lengths((1024, 1024, 3), 2) == [1, 1]
    assert lengths((5,), 600) == [256, 256, 88]


def test_stand_alone_calibration_takes_any_form_too(x):
    prepared = insert_fake_quant(picture_net(), Scheme())
    sample = calibrate(prepared, dataset(x))
    np.testing.assert_array_equal(sample[0], x)


def test_a_generator_of_the_caller_that_fails_says_so_itself(x):
    def broken():
        yield x
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        prepare_qat(picture_net(), broken())


@pytest.mark.parametrize(("side", "wanted"), [(8, 8), (160, 8), (224, 8), (300, 4), (512, 1)])
def test_on_jax_all_steps_take_slices_of_one_size(side, wanted, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    pictures = np.broadcast_to(np.float32(0), (200, side, side, 3))
    # Calibration, the sample that corrects biases, and what is compared with the float model.
    for count in (200, 32, 8):
        slices = sliced([picture] for picture in pictures[:count])
        assert {len(inputs[0]) for inputs in slices} == {wanted}


def test_a_relu_that_is_0_on_all_pictures_has_steps_that_kernels_take(tmp_path):
    """XNNPACK takes multipliers (scale_in scale_weights / scale_out) below 2^8."""
    picture = keras.Input((6, 6, 3), name="image")
    dead = kl.Conv2D(4, 3, activation="relu", name="dead")(picture)
    model = keras.Model(picture, kl.Conv2D(2, 1, name="last")(dead))
    kernel, bias = model.get_layer("dead").weights
    kernel.assign(30 * kernel)
    bias.assign(np.full(4, -1e4, np.float32))
    x = np.random.default_rng(0).uniform(-1, 1, (4, 6, 6, 3)).astype(np.float32)
    prepared = prepare_qat(model, [x], trial_export=False)
    path = export_integer(prepared, tmp_path / "model.tflite")
    scale_in = prepared.get_layer("image_quant").params().scale
    weights = float(np.max(prepared.get_layer("dead").weight_scale()))
    after = prepared.get_layer("dead_activation_quant").params().scale
    assert weights * scale_in / after == pytest.approx(2**7, rel=1e-3)
    pixels = np.zeros((1, 6, 6, 3), np.uint8)
    assert Engine(path, kernels="xnnpack").run(pixels)
