import dataclasses

import pytest

from keras_resnet.errors import UserError
from keras_resnet.training.recipes import RECIPES
from keras_resnet.training.run_folder import RunFolder, read_record

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
