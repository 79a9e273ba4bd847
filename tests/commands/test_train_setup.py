"""What `train` refuses once it knows the machine, and what it does with a run that is there."""

import importlib.util
import shutil

import pytest
import tensorflow as tf

from keras_resnet.commands import train_setup
from keras_resnet.commands.main import main
from keras_resnet.commands.train_flags import FLAGS
from keras_resnet.errors import UserError
from keras_resnet.export import run as export_run
from keras_resnet.training import Recipe, strategy
from keras_resnet.training.run_folder import read_record

SHORT = ("--depth=8", "--iterations=2", "--export=", "--run_name=run", "--log=plain", "--sync_batch_norm")


@pytest.mark.parametrize(
    ("flags", "batch", "says"),
    [
        (["--jit_compile"], 64, r"--jit_compile: XLA cannot compile a step over 2 devices; leave it out"),
        ([], 63, r"--batch_size=63 must be a multiple of 2, the number of devices"),
        (["--accumulate=3"], 64, r"--accumulate=3 must divide the 32 images of a device's share"),
    ],
)
def test_what_two_devices_cannot_share_is_refused(flags, batch, says):
    FLAGS.unparse_flags()
    FLAGS(["train", *flags])
    recipe = Recipe("this test", batch_size=batch, epochs=1)
    with pytest.raises(UserError, match=says):
        train_setup.check_sharing(recipe, 2)


def test_tensorboards_files_are_refused_where_it_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["train", "--tensorboard"]) == 2
    assert "--tensorboard needs the package tensorboard" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", *SHORT, f"--output_dir={folder}"]) == 0
    return folder / "run"


def test_a_run_trained_anew_leaves_nothing_of_the_old_one(run, tmp_path, monkeypatch, capsys):
    again = shutil.copytree(run, tmp_path / "run")
    (again / "checkpoints" / "step-0000000099.npz").write_bytes(b"of the old one")
    (again / "model.tflite").write_bytes(b"of the old one")
    called = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: called.append("deterministic")
    )
    monkeypatch.setattr(strategy, "synchronize_batch_norm", lambda model: called.append("synchronized"))

    def fail(folder, record, *rest):
        raise UserError(f"{record.results['accuracy']} is too bad.")

    monkeypatch.setattr(export_run, "export_run", fail)
    flags = (*SHORT, "--resume=never", "--deterministic", f"--output_dir={tmp_path}")
    assert main(["train", *flags]) == 2
    assert called == ["deterministic", "synchronized"]
    # The training is done, whatever its files are like.
    accuracy = read_record(again).results["accuracy"]
    assert f"{accuracy} is too bad." in capsys.readouterr().err
    assert not (again / "checkpoints" / "step-0000000099.npz").exists()
    assert not (again / "model.tflite").exists()
