import json
import math

import pytest

from quantdet.config import Config, load_config
from quantdet.errors import ConfigError, ModelError, QuantdetError
from quantdet.manifest import RECORDS, QatRecord
from quantdet.results.stages import STAGES
from quantdet.runs import Run


def test_create_saves_the_config_and_open_reads_it(tmp_path):
    config = load_config(overrides=["train.epochs=3"])
    Run.create(tmp_path / "run", config)
    assert Run.open(tmp_path / "run").load_config() == config


def test_open_what_is_no_run(tmp_path):
    with pytest.raises(ModelError, match=r"not a run folder.*quantdet train"):
        Run.open(tmp_path)
    with pytest.raises(ModelError, match="not a run folder"):
        Run.open(tmp_path / "missing")


def test_same_config_may_go_on(tmp_path):
    run = Run.create(tmp_path, Config())
    run.float_dir.mkdir()
    Run.create(tmp_path, Config())


def test_another_model_in_a_trained_run_is_refused_and_nothing_changes(tmp_path):
    run = Run.create(tmp_path, Config())
    run.float_dir.mkdir()
    with pytest.raises(ConfigError, match=r"another model\.width \(there: 1\.0\).*--out"):
        Run.create(tmp_path, load_config(overrides=["model.width=0.5"]))
    assert run.load_config() == Config()


def test_one_folder_has_many_spellings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {"data": {"root": "pictures", "extra": [{"root": "more"}]}}
    run = Run.create("run", load_config(values=values))
    run.float_dir.mkdir()
    values = {"data": {"root": tmp_path / "pictures", "extra": [{"root": tmp_path / "more"}]}}
    Run.create("run", load_config(values=values))
    with pytest.raises(ConfigError, match=r"another data\.root \(there: .*pictures\)"):
        Run.create("run", load_config(values={"data": {"root": "other"}}))


def test_before_training_and_for_later_stages_the_config_may_change(tmp_path):
    run = Run.create(tmp_path, Config())
    Run.create(tmp_path, load_config(overrides=["model.width=0.5"]))
    run.float_dir.mkdir()
    changed = load_config(overrides=["model.width=0.5", "qat.epochs=9"])
    Run.create(tmp_path, changed)
    assert run.load_config() == changed


def test_root_is_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(QuantdetError, match=r"file: is a file; choose another run folder"):
        Run.create(file, Config())


def test_unwritable_root(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QuantdetError, match="cannot write here"):
        Run.create(tmp_path / "file" / "run", Config())


def test_record_merges_stages_and_stamps_the_time(tmp_path):
    run = Run(tmp_path)
    assert run.manifest().entries == {}
    run.record("train", {"status": "running", "seed": 1})
    run.record("train", {"status": "done"})
    run.record("qat", {"status": "done"})
    manifest = json.loads(run.manifest_file.read_text("utf-8"))
    assert manifest["train"]["status"] == "done"
    assert manifest["train"]["seed"] == 1
    assert manifest["train"]["written"].endswith("Z")
    assert [*manifest] == ["version", "train", "qat"]


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b"\xff\xfe"])
def test_broken_manifest_is_named(tmp_path, content):
    run = Run(tmp_path)
    run.manifest_file.write_bytes(content)
    with pytest.raises(QuantdetError, match=r"manifest\.json: not readable as JSON"):
        run.manifest()


def test_manifest_of_a_later_layout_is_refused_by_name(tmp_path):
    run = Run(tmp_path)
    run.manifest_file.write_text('{"version": 2, "train": {}}')
    with pytest.raises(QuantdetError, match=r"manifest\.json: version: .*2 .*update quantdet"):
        run.record("qat", QatRecord(kept="trained"))
    assert json.loads(run.manifest_file.read_text()) == {"version": 2, "train": {}}


def test_a_record_keeps_what_other_versions_wrote(tmp_path):
    run = Run(tmp_path)
    before = {"version": 1, "later": "stage", "train": {"seconds": 1, "own": [None, 2]}}
    run.manifest_file.write_text(json.dumps(before))
    run.record("qat", QatRecord(kept="trained", loss_trained=math.nan, seconds=2.5))
    after = json.loads(run.manifest_file.read_text())
    entry = after.pop("qat")
    assert after == before
    assert [*entry] == ["kept", "loss_trained", "seconds", "written"]
    assert math.isnan(run.recorded(QatRecord).loss_trained)


def test_a_damaged_record_is_named(tmp_path):
    run = Run(tmp_path)
    run.manifest_file.write_text('{"train": "done", "qat": {"kept": "trained"}}')
    assert run.recorded(QatRecord).kept == "trained"
    with pytest.raises(QuantdetError, match=r"manifest\.json, train: .*run this stage again"):
        run.labels()


def test_every_stage_that_records_has_its_class():
    assert set(RECORDS) == set(STAGES) - {"report"}


@pytest.fixture
def trained(tmp_path):
    run = Run.create(tmp_path / "run", Config())
    run.float_dir.mkdir()
    (run.float_dir / "model.keras").write_bytes(b"trained")
    run.record("train", {"identity": {"labels": ["car", "boat"]}})
    run.record("qat", {"kept": "trained"})
    return run


def test_labels_are_those_of_the_training(trained, tmp_path):
    assert trained.labels() == ("car", "boat")
    with pytest.raises(ModelError, match="quantdet train"):
        Run.create(tmp_path / "new", Config()).labels()


def test_a_fork_starts_from_the_float_model_alone(trained, tmp_path):
    fork = trained.fork(str(tmp_path / "fork"))
    assert fork == Run.open(tmp_path / "fork")
    assert (fork.float_dir / "model.keras").read_bytes() == b"trained"
    assert fork.load_config() == trained.load_config()
    assert list(fork.manifest().entries) == ["train"]
    assert fork.labels() == trained.labels()
    assert not fork.qat_dir.exists()


def test_a_fork_overwrites_nothing(trained, tmp_path):
    with pytest.raises(QuantdetError, match="is not empty"):
        trained.fork(trained.root)
    with pytest.raises(ModelError, match="has no trained model"):
        Run.create(tmp_path / "new", Config()).fork(tmp_path / "fork")
    assert not (tmp_path / "fork").exists()
