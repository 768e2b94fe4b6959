import json

import pytest

from quantdet.errors import ConfigError, ModelError
from quantdet.evaluate.latency import benchmark, host


@pytest.mark.parametrize("name", ["single-uint8", "single-int8", "single-float32"])
def test_every_setting_is_measured(models, name):
    seen = []
    results = benchmark(
        models[name],
        threads=(1, 2),
        warmup=1,
        runs=7,
        progress=lambda *step: seen.append(step),
    )
    assert [(r.kernels, r.threads) for r in results] == [
        ("xnnpack", 1),
        ("xnnpack", 2),
        ("optimized", 1),
        ("optimized", 2),
    ]
    for result in results:
        assert result.runs == 7
        assert 0 < result.min_ms <= result.median_ms <= result.p90_ms
        assert result.bytes == models[name].stat().st_size
    assert seen[-1] == (28, 28)


def test_wrong_settings(model, tmp_path):
    with pytest.raises(ConfigError, match="runs is 0"):
        benchmark(model, runs=0)
    with pytest.raises(ConfigError, match=r"threads \[\]"):
        benchmark(model, threads=())
    with pytest.raises(ModelError, match=r"none\.tflite: no such model file"):
        benchmark(tmp_path / "none.tflite")


def test_host_is_json():
    info = host()
    assert info.cores >= 1
    assert info.cpu
    json.dumps(info.model_dump())
