"""Runs that come of other runs: grown ones, and those with precise statistics."""

import json
import shutil

import numpy as np
import pytest
from pictures import write_folder
from running import run_command, run_train

import keras_resnet
from keras_resnet.commands.main import main
from keras_resnet.data import digits
from keras_resnet.evaluation import precise_batch_norm

QUICK = ("--depth=8", "--epochs=2", "--log=plain")
BNS = ("moving_mean", "moving_variance")


@pytest.fixture(scope="module")
def shallow(tmp_path_factory):
    """ResNet-8 after two epochs, with precise statistics."""
    folder = tmp_path_factory.mktemp("shallow")
    result = run_train(*QUICK, "--precise_bn=500", f"--output_dir={folder}", "--run_name=run", "--export=")
    assert result.returncode == 0, result.stderr
    return folder / "run"


def _error(run):
    images, labels = digits.load("test")
    answers = keras_resnet.load_model(run / "model.keras").predict(images, verbose=0).argmax(axis=1)
    return np.mean(answers != labels)


def test_training_ends_with_precise_statistics(shallow):
    record = json.loads((shallow / "run.json").read_text())
    assert record["settings"]["precise_bn"] == 500
    assert record["results"]["test_error"] == pytest.approx(_error(shallow))
    card = (shallow / "README.md").read_text()
    assert "of 500 training images together" in card
    assert f"{100 * (1 - _error(shallow)):.2f}% accuracy" in card


def test_a_command_makes_a_run_with_precise_statistics(shallow):
    result = run_command("precise_bn", shallow, "--images=1442")
    assert result.returncode == 0, result.stderr
    made = shallow.with_name("run-precise_bn")
    model = keras_resnet.load_model(made / "model.keras")
    wanted = keras_resnet.load_model(shallow / "model.keras")
    precise_batch_norm(wanted, [digits.load("train")[0]])
    for weight, other in zip(model.weights, wanted.weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-4, err_msg=weight.path)
    assert f"{100 * _error(made):.2f}% with precise statistics" in result.stdout
    assert json.loads((made / "run.json").read_text())["results"]["test_error"] == pytest.approx(_error(made))
    assert (made / "curves.png").is_file()
    assert run_command("precise_bn", shallow, "--images=1443").returncode == 2


def test_precise_statistics_of_another_training_take_another_folder(shallow, tmp_path):
    base = shutil.copytree(shallow, tmp_path / "run")
    assert run_command("precise_bn", base, "--images=10").returncode == 0
    model = keras_resnet.load_model(base / "model.keras")
    model.get_layer("predictions").bias.assign_add(np.ones(10))
    model.save(base / "model.keras")
    again = run_command("precise_bn", base, "--images=10")
    assert again.returncode == 2
    assert "run-precise_bn holds another run, with precise_bn_of=" in again.stderr


def test_precise_statistics_are_no_place_for_the_run_itself_or_a_part_of_one(shallow, tmp_path, capsys):
    assert main(["precise_bn", str(shallow), "--run_name=run"]) == 2
    assert "--run_name=run is the run itself, which stays as it is" in capsys.readouterr().err
    part = shutil.copytree(shallow, tmp_path / "part", ignore=shutil.ignore_patterns("curves.png"))
    assert main(["precise_bn", str(part)]) == 2
    assert f"{part} lacks curves.png, which a finished run has" in capsys.readouterr().err


def test_a_run_is_not_exported_on_images_of_other_channels(shallow, tmp_path, capsys):
    pictures = write_folder(tmp_path)
    part = shutil.copytree(shallow, tmp_path / "run")
    record = json.loads((part / "run.json").read_text())
    record["settings"]["classes"] = ["church", "flower"]
    (part / "run.json").write_text(json.dumps(record))
    assert main(["export", str(part), "--saved_model", f"--dataset={pictures}"]) == 2
    told = capsys.readouterr().err
    assert f"--dataset={pictures} has images of 3 channels, and the run was trained on 1; give" in told
    assert main(["export", str(part), "--saved_model", "--dataset=digits"]) == 2
    assert "number 0 is 0, and was church; give images of the same classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "name", "value", "says"),
    [
        (
            "preprocessing",
            "whole",
            False,
            "was trained on the centres of images, and digits is seen as whole",
        ),
        (None, "mean", "published", "began with public weights, whose normalisation a grown net would not"),
        (None, "mean", "per-channel", "subtracts a per-channel mean, and here it is a per-pixel one"),
    ],
)
def test_a_net_that_sees_otherwise_does_not_grow(shallow, tmp_path, capsys, part, name, value, says):
    base = shutil.copytree(shallow, tmp_path / "run")
    record = json.loads((base / "run.json").read_text())
    (record["about"][part] if part else record["about"])[name] = value
    (base / "run.json").write_text(json.dumps(record))
    assert main(["train", "--depth=14", f"--grow_from={base}", f"--output_dir={tmp_path}"]) == 2
    assert says in capsys.readouterr().err


def test_a_deeper_net_grows_from_a_run(shallow, tmp_path):
    result = run_train(
        "--depth=14",
        "--epochs=1",
        "--learning_rate=1e-9",
        f"--grow_from={shallow}",
        f"--output_dir={tmp_path}",
        "--run_name=deep",
        "--export=",
        "--log=plain",
    )
    assert result.returncode == 0, result.stderr
    given, wanted = (keras_resnet.load_model(run / "model.keras") for run in (tmp_path / "deep", shallow))
    for name in ("mean_subtraction", "conv2_block1_2_conv", "conv4_block1_1_conv", "predictions"):
        for weight, other in zip(
            given.get_layer(name).get_weights(), wanted.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(weight, other, atol=1e-6)
    assert np.abs(given.get_layer("conv3_block2_2_bn").get_weights()[0]).max() < 1e-6
    assert "| Grown from | cifar_resnet8" in (tmp_path / "deep" / "README.md").read_text()


def test_what_does_not_grow_into_another_is_refused(shallow, tmp_path):
    for flags, message in (
        (["--depth=8"], "holds cifar_resnet8, which is not shallower than cifar_resnet8"),
        (["--depth=14", "--shortcut=B"], "has shortcut A, and cifar_resnet14 has B"),
        (["--depth=18"], "has stem cifar, and resnet18 has imagenet"),
        (["--depth=14", "--mean=channel"], "subtracts a per-pixel mean, and here it is a per-channel one"),
        (["--depth=14", "--image_size=16"], "takes images of 8x8x1; here they are 16x16x1"),
    ):
        result = run_train(*flags, f"--grow_from={shallow}", f"--output_dir={tmp_path}")
        assert result.returncode == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr
    plain = tmp_path / "plain"
    shutil.copytree(shallow, plain)
    record = json.loads((plain / "run.json").read_text())
    record["settings"]["shortcut"] = None
    (plain / "run.json").write_text(json.dumps(record))
    result = run_train("--depth=14", f"--grow_from={plain}")
    assert "is a net of no shortcuts" in result.stderr
