import dataclasses
import json
import re

import pytest
import records

from keras_resnet.errors import UserError
from keras_resnet.models import architectures
from keras_resnet.training.recipes import RECIPES
from keras_resnet.training.run_folder import MODEL, RunFolder, finished_record, read_record

SETTINGS = {"depth": 20, "filters": (16, 32, 64)}


def test_a_run_knows_its_own_folder(tmp_path):
    folder = RunFolder(tmp_path / "new", "run", SETTINGS)
    folder.check()
    assert not folder.path.exists()
    folder.start()
    again = RunFolder(tmp_path / "new", "run", SETTINGS)
    again.check()
    assert again.results() is None
    folder.finish({"accuracy": 0.5})
    again.check()
    assert again.results() == {"accuracy": 0.5}


@pytest.mark.parametrize("name", ["cifar", "modern", "finetune"])
def test_a_recipe_is_read_as_it_was_recorded(tmp_path, name):
    RunFolder(tmp_path, "run", dataclasses.asdict(RECIPES[name])).start()
    assert read_record(tmp_path / "run").recipe == RECIPES[name]


def test_another_run_is_refused_by_what_differs(tmp_path):
    RunFolder(tmp_path, "run", SETTINGS).start()
    with pytest.raises(UserError, match=r"--run_name=run: .* another run, with depth=20; give another"):
        RunFolder(tmp_path, "run", {**SETTINGS, "depth": 32}).check()


def test_of_a_run_with_another_recipe_what_is_long_is_left_out(tmp_path):
    recorded = dataclasses.asdict(RECIPES["cifar"])
    RunFolder(tmp_path, "run", {**recorded, "recipe": "cifar", "dataset": "/data/" + "x" * 300}).start()
    asked = {**dataclasses.asdict(RECIPES["modern"]), "recipe": "modern", "dataset": "digits"}
    with pytest.raises(UserError) as refused:
        RunFolder(tmp_path, "run", asked).check()
    told = str(refused.value)
    assert "holds another run, with " in told
    (listed,) = re.findall(r" with (.*) and \d+ more; give another --run_name", told)
    assert listed.count("=") == 6
    assert "source=" not in told
    assert "expected=" not in told
    assert len(told) < len(str(tmp_path)) + 400


def test_of_a_run_that_differs_by_a_long_value_its_beginning_is_told(tmp_path):
    RunFolder(tmp_path, "run", {"source": "a very" + " long" * 50}).start()
    with pytest.raises(UserError, match=r"with source=a very long [long ]{20,40}\.\.\.; give another"):
        RunFolder(tmp_path, "run", {"source": "short"}).check()


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds files that are no run's"):
        RunFolder(tmp_path, "run", SETTINGS).check()
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("record", ["", "{", "[]", '{"settings": {}}'])
def test_a_broken_record_is_no_run(tmp_path, record):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(record)
    with pytest.raises(UserError, match="holds files that are no run's"):
        RunFolder(tmp_path, "run", SETTINGS).check()


@pytest.mark.parametrize("name", ["../run", "a/b", "..", "."])
def test_name_must_be_plain(tmp_path, name):
    with pytest.raises(UserError, match="must be a plain folder name"):
        RunFolder(tmp_path, name, SETTINGS).check()


def test_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--output_dir=.*file/runs cannot be written to"):
        RunFolder(tmp_path / "file" / "runs", "run", SETTINGS).check()


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("about", "preprocessing", {"size": 8, "whole": True}),
        ("about", "data", []),
        ("results", "accuracy", "high"),
        ("settings", "seed", None),
    ],
)
def test_a_record_that_lacks_what_commands_need_is_refused(tmp_path, part, name, value):
    RunFolder(tmp_path, "run", records.SETTINGS, records.ABOUT).finish(records.RESULTS)
    (tmp_path / "run" / MODEL).touch()
    assert finished_record(tmp_path / "run", "RUN").results == records.RESULTS
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record[part][name] = value
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"run/run\.json lacks \w+: the run is of another version"):
        finished_record(tmp_path / "run", "RUN")


def test_a_record_of_no_net_is_damaged(tmp_path):
    net = {**dataclasses.asdict(architectures.cifar(20)), "filters": 16}
    RunFolder(tmp_path, "run", net).start()
    with pytest.raises(UserError, match=r"run/run\.json is damaged \(.*\); train anew"):
        _ = read_record(tmp_path / "run").architecture
