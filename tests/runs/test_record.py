"""The folder of a run and its record."""

import json

import pytest
from helpers import records
from helpers.errors import refused

from keras_resnet.models.architectures import cifar_architecture
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.record import MODEL, RunFolder, load_finished_run, read_record
from keras_resnet.training.recipes import RECIPES


def _folder(path, name="run", settings=records.SETTINGS, metadata=records.METADATA):
    return RunFolder(path, name, records.CONFIG, settings, metadata)


def test_a_run_knows_its_own_folder(tmp_path):
    folder = _folder(tmp_path / "new")
    folder.check()
    assert not folder.path.exists()
    folder.start()
    again = _folder(tmp_path / "new")
    again.check()
    assert again.results() is None
    folder.finish({"accuracy": 0.5})
    again.check()
    assert again.results() == {"accuracy": 0.5}


@pytest.mark.parametrize("name", ["cifar", "modern", "finetune"])
def test_a_recipe_is_read_as_it_was_recorded(tmp_path, name):
    _folder(
        tmp_path, settings=records.make_settings(recipe=name), metadata=records.make_metadata(recipe=name)
    ).start()
    assert read_record(tmp_path / "run").recipe == RECIPES[name]


def test_the_configuration_is_read_as_it_was_recorded(tmp_path):
    _folder(tmp_path).start()
    assert read_record(tmp_path / "run").train_config == TrainConfig()


def test_another_run_is_refused_by_what_differs(tmp_path):
    _folder(tmp_path).start()
    other = records.make_settings(architecture=cifar_architecture(32))
    with refused("run_name", "run") as caught:
        _folder(tmp_path, settings=other).check()
    assert "architecture.name=cifar_resnet20 instead of cifar_resnet32" in caught.value.reason


def test_prose_does_not_make_another_run(tmp_path):
    _folder(tmp_path).start()
    _folder(tmp_path, metadata=records.make_metadata(command="python train.py")).check()


def test_a_long_difference_is_cut(tmp_path):
    _folder(tmp_path, settings=records.make_settings(name="/data/" + "x" * 300)).start()
    with refused("run_name") as caught:
        _folder(tmp_path, settings=records.make_settings(recipe="modern")).check()
    assert len(str(caught.value)) < len(str(tmp_path)) + 600
    assert " more)" in caught.value.reason


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with refused("run_name", "run"):
        _folder(tmp_path).check()
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("record", ["", "{", "[]", '{"settings": {}}'])
def test_a_broken_record_is_no_run(tmp_path, record):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(record)
    with refused("run_name", "run"):
        _folder(tmp_path).check()


@pytest.mark.parametrize("name", ["../run", "a/b", "..", "."])
def test_the_name_must_be_plain(tmp_path, name):
    with refused("run_name", name):
        _folder(tmp_path, name).check()


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with refused("output_dir"):
        _folder(tmp_path / "file" / "runs").check()


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("settings", "input", None),
        ("settings", "dataset", {"name": "digits"}),
        ("metadata", "versions", []),
        ("results", "accuracy", "high"),
        ("settings", "version", None),
        ("config", "dataset", 3),
    ],
)
def test_a_record_that_lacks_what_is_needed_is_refused(tmp_path, part, name, value):
    _folder(tmp_path).finish(records.RESULTS)
    (tmp_path / "run" / MODEL).touch()
    assert load_finished_run(tmp_path / "run").results == records.RESULTS
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record[part][name] = value
    path.write_text(json.dumps(record))
    with refused(None, str(path)):
        load_finished_run(tmp_path / "run")


def test_a_record_of_no_architecture_is_damaged(tmp_path):
    settings = records.make_settings()
    settings["architecture"] = {**settings["architecture"], "filters": 16}
    _folder(tmp_path, settings=settings).start()
    with refused(None, str(tmp_path / "run" / "run.json")):
        _ = read_record(tmp_path / "run").architecture


def test_a_folder_that_is_no_run_is_refused_by_its_parameter(tmp_path):
    with refused("weights", tmp_path):
        load_finished_run(tmp_path, "weights")
