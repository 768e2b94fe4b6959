import subprocess
import sys

import numpy as np
import pytest

from quantdet.errors import ModelError
from quantdet.runtime.engine import KERNELS, Engine, default_threads
from tests.runtime.helpers import SIZE


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)


def test_outputs_by_name_with_their_quantization(models):
    engine = Engine(models["grid-uint8"])
    assert (engine.input.name, engine.input.dtype) == ("image", "uint8")
    assert engine.input.scale == pytest.approx(1 / 127.5)
    assert engine.outputs["boxes"].shape == (1, 4, 4)
    assert engine.outputs["scores"].shape == (1, 4, 2)
    outputs = engine.run(noise())
    assert {name: value.shape for name, value in outputs.items()} == {
        "boxes": (1, 4, 4),
        "scores": (1, 4, 2),
    }


def test_outputs_are_copies(models):
    engine = Engine(models["single-uint8"])
    red = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    red[..., 0] = 255
    first = engine.run(red)["scores"]
    before = first.copy()
    second = engine.run(red[..., ::-1].copy())["scores"]
    assert (first != second).any()
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("name", ["single-uint8", "single-int8", "grid-uint8"])
def test_kernel_sets_agree(models, name):
    engines = [Engine(models[name], kernels=kernels, num_threads=1) for kernels in KERNELS]
    tensor = noise().view(engines[0].input.dtype)
    answers = [engine.run(tensor) for engine in engines]
    for output in ("boxes", "scores"):
        for answer in answers[1:]:
            difference = answer[output].astype(int) - answers[0][output].astype(int)
            # LiteRT's kernel sets round differently: 1 step per layer, two layers here.
            assert np.abs(difference).max() <= 2


def test_inner_tensors_are_kept_when_asked(models):
    engine = Engine(models["grid-uint8"], kernels="reference", preserve_all_tensors=True)
    tensor = noise()
    engine.run(tensor)
    np.testing.assert_array_equal(engine.tensor(0), tensor)


def test_wrong_shape_or_dtype(model):
    engine = Engine(model)
    with pytest.raises(ModelError, match=r"input 'image' is uint8 \(1, 32, 32, 3\), got uint8"):
        engine.run(noise()[0])
    with pytest.raises(ModelError, match="got float32"):
        engine.run(noise().astype(np.float32))


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"none\.tflite: no such model file.*quantdet export"):
        Engine(tmp_path / "none.tflite")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(model, tmp_path, share):
    whole = model.read_bytes()
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match=r"cut\.tflite: not a \.tflite.*truncated.*again"):
        Engine(cut)


def test_file_of_another_kind(tmp_path):
    (tmp_path / "x.tflite").write_text("a picture, perhaps")
    with pytest.raises(ModelError, match=r"x\.tflite: not a \.tflite"):
        Engine(tmp_path / "x.tflite")


def test_unknown_settings(model):
    with pytest.raises(ModelError, match="kernels 'fast' are unknown; choose one of"):
        Engine(model, kernels="fast")
    assert Engine(model, num_threads=np.int64(2)).num_threads == 2
    for threads in (0, -1, 1.5, "2", 100_000):  # LiteRT crashes where threads cannot be made
        with pytest.raises(ModelError, match=r"num_threads is .*; use 1 to 1024"):
            Engine(model, num_threads=threads)
    with pytest.raises(ModelError, match="no signature 'other', only"):
        Engine(model, signature="other")


def test_model_without_signature_has_the_names_of_its_tensors(model, bare_model):
    named, bare = Engine(model), Engine(bare_model)
    assert bare.signature == ""
    assert bare.input.shape == named.input.shape
    assert sorted(spec.shape for spec in bare.outputs.values()) == [(1, 3), (1, 4)]
    assert sorted(bare.outputs) != sorted(named.outputs)
    picture = noise()
    answers = {array.shape: array for array in bare.run(picture).values()}
    for array in named.run(picture).values():
        np.testing.assert_array_equal(answers[array.shape], array)
    with pytest.raises(ModelError, match=r"bare\.tflite: has no signature 'other', only \[\]"):
        Engine(bare_model, signature="other")


def test_names_of_tensors_where_there_is_a_signature(model, bare_model):
    assert Engine(model, signature="").outputs == Engine(bare_model).outputs


def test_default_threads_is_small():
    assert 1 <= default_threads() <= 4


def test_stderr_stays_clean_and_works_afterwards(model):
    """The native library writes past sys.stderr, so a process of its own is asked."""
    code = (
        "import sys; from quantdet.runtime.engine import Engine; "
        f"Engine({str(model)!r}); print('still here', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "still here\n"
