"""One detector for many threads, in forked processes, and pickled."""

import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from quantdet import Detector
from quantdet.errors import ModelError
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.engine import KERNELS, Engine
from quantdet.runtime.interpreters import Interpreters
from tests.runtime.helpers import SIZE

THREADS = 8


def pictures(count=5):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (SIZE, 2 * SIZE, 3), dtype=np.uint8) for _ in range(count)]


def answers(detector, count):
    return [detector.predict(item, 0.01).to_list() for item in pictures() * (count // 5)]


def by_threads(detector, count):
    with ThreadPoolExecutor(THREADS) as threads:
        futures = [threads.submit(answers, detector, count) for _ in range(THREADS)]
        return [future.result() for future in futures]


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("kernels", KERNELS)
def test_threads_get_what_one_gets(models, kernels, num_threads):
    detector = Detector(models["ssd-uint8"], kernels=kernels, num_threads=num_threads)
    expected = answers(detector, 20)
    assert len({json.dumps(answer) for answer in expected}) > 1
    assert by_threads(detector, 20) == [expected] * THREADS


@pytest.mark.slow
@pytest.mark.parametrize("num_threads", [1, None])
def test_a_thousand_pictures_in_each_thread(num_threads):
    detector = Detector.pretrained(num_threads=num_threads)
    expected = answers(detector, 5) * 200
    assert by_threads(detector, 1000) == [expected] * THREADS


def test_interpreters_are_no_more_than_the_cores_carry():
    """Threads that wait for each other inside would never end if one of them did not fit."""
    made = []
    pool = Interpreters(lambda: made.append(object()) or made[-1], most=2)
    with pool.one() as first, pool.one() as second:
        assert first is not second
        with ThreadPoolExecutor(1) as thread:
            third = thread.submit(lambda: pool.one().__enter__())
            with pytest.raises(TimeoutError):
                third.result(timeout=0.2)
            pool._idle.put(second)
            assert third.result(timeout=10) is second
    assert len(made) == 2


def test_a_file_that_was_replaced_is_not_mixed_with_the_loaded_one(own_model, models):
    """Threads then share what is loaded; a new detector takes the new file."""
    detector = Detector(own_model, num_threads=1)
    expected = answers(detector, 5)
    shutil.copy(models["ssd-uint8"], own_model.parent / "new").replace(own_model)
    assert by_threads(detector, 5) == [expected] * THREADS


def other_process(method, detector, count):
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.apply_async(answers, (detector, count)).get(timeout=60)


def test_pickled_for_another_process(models):
    detector = Detector(
        models["ssd-uint8"], threshold=0.2, class_thresholds={"red": 0.9}, num_threads=2
    )
    assert other_process("spawn", detector, 5) == answers(detector, 5)
    copy = pickle.loads(pickle.dumps(detector))
    assert copy.threshold == detector.threshold
    np.testing.assert_array_equal(copy.lowest_scores(), detector.lowest_scores())


def test_pickled_engine_keeps_its_settings(bare_model):
    engine = Engine(bare_model, num_threads=1, kernels="reference", preserve_all_tensors=True)
    copy = pickle.loads(pickle.dumps(engine))
    assert copy._source == engine._source
    assert (copy.signature, copy.input, copy.outputs) == ("", engine.input, engine.outputs)


def test_another_file_in_its_place_is_refused(own_model, models):
    detector = Detector(own_model)
    pickled = pickle.dumps(detector)
    own_model.write_bytes(models["ssd-uint8"].read_bytes())
    with pytest.raises(ModelError, match=r"model\.tflite: is not the file that was pickled"):
        pickle.loads(pickled)
    with pytest.raises(ModelError, match=r"model\.tflite: was changed .* since it was loaded"):
        pickle.dumps(detector)
    own_model.unlink()
    with pytest.raises(ModelError, match=r"model\.tflite: no such model file"):
        pickle.loads(pickled)


FORK = """
import os, sys
from quantdet import Detector
from tests.runtime.test_shared import answers

detector = Detector.pretrained(kernels=sys.argv[1], num_threads=int(sys.argv[2]))
expected = answers(detector, 5)
child = os.fork()
if not child:
    # Ends as a process of its own does, destroying what it has.
    sys.exit(0 if answers(detector, 5) == expected else 9)
_, status = os.waitpid(child, 0)
assert answers(detector, 5) == expected
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(("kernels", "num_threads"), [("xnnpack", 4), ("optimized", 2)])
def test_forked_process_goes_on(kernels, num_threads):
    """LiteRT's own kernels hung here, and XNNPACK's interpreter crashed when it was destroyed."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, kernels, str(num_threads)], timeout=120, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("step", ["allocate_tensors", "invoke"])
def test_a_whole_file_is_not_to_be_exported_again(own_model, monkeypatch, step):
    """Memory or file handles may be short; only of a file that may be damaged it is said."""
    from ai_edge_litert.interpreter import Interpreter

    def fail(_):
        raise RuntimeError("no\n  memory")

    monkeypatch.setattr(Interpreter, step, fail)
    with pytest.raises(ModelError, match=r"model\.tflite: .*\(no memory\).*free memory") as whole:
        Detector(own_model).predict(pictures()[0])
    assert "export it again" not in str(whole.value)
    contract = load_contract(own_model)
    contract.model_copy(update={"sha256": ""}).save(contract_path(own_model))
    with pytest.raises(ModelError, match=r"model\.tflite: .*\(no memory\).*export it again"):
        Detector(own_model).predict(pictures()[0])


def test_indices_that_the_file_does_not_have(own_model):
    """Found by changing bytes: LiteRT raises where it is asked for its outputs."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    graph = schema.ModelT.InitFromPackedBuf(own_model.read_bytes(), 0)
    graph.signatureDefs[0].outputs[0].tensorIndex = 12345
    flatbuffer_utils.write_model(graph, str(own_model))
    with pytest.raises(ModelError, match=r"model\.tflite: not a \.tflite that LiteRT can run"):
        Engine(own_model)
