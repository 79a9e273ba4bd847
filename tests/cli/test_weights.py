"""`keras-resnet weights`, `convert` and `train --weights`, as their users call them."""

import hashlib
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from helpers.marks import slow
from helpers.public_files import torch_state, write_torch_file

from keras_resnet.cli import main
from keras_resnet.models import constructors as resnet
from keras_resnet.models.architectures import cifar_architecture, get_architecture
from keras_resnet.models.saving import load_model
from keras_resnet.runs.record import read_record
from keras_resnet.weights import registry


def _run(*arguments):
    return main.main([str(argument) for argument in arguments])


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def test_every_public_weight_is_listed(capsys):
    assert _run("weights") == 0
    lines = capsys.readouterr().out.splitlines()
    for entry in registry.list_weights():
        assert any(line.split()[:3] == [entry.name, entry.architecture, entry.variant] for line in lines)


def test_the_list_as_json_has_address_hash_and_preprocessing(capsys):
    assert _run("weights", "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert len(entries) == len(registry.list_weights())
    for entry in entries:
        assert entry["file"]["url"].startswith("https://")
        assert entry["file"]["sha256"] or entry["file"]["md5"]
        assert len(entry["normalization"]["mean"]) == 3
        assert entry["license"]


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    write_torch_file(path, torch_state(resnet.ResNet18(classes=3)))
    return path


def test_converted_weights_are_loaded_by_keras_itself(torch_file, tmp_path, capsys):
    target = tmp_path / "resnet18.weights.h5"
    assert _run("convert", torch_file, target) == 0
    assert "resnet18, shortcut B, v1.5, 3 classes, 3 channels" in capsys.readouterr().out
    model, expected = resnet.ResNet18(classes=3), resnet.ResNet18(classes=3, weights=torch_file)
    model.load_weights(target)
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_converted_model_takes_plain_pixels(torch_file, tmp_path, capsys):
    target = tmp_path / "resnet18.keras"
    assert _run("convert", torch_file, target) == 0
    assert "its input is plain pixels" in capsys.readouterr().out
    pixels = np.random.RandomState(0).randint(0, 256, (2, 224, 224, 3)).astype("uint8")
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = ((pixels / 255 - mean) / std).astype("float32")
    expected = resnet.ResNet18(classes=3, weights=torch_file).predict(normalized, verbose=0)
    answers = load_model(target).predict(pixels, verbose=0)
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run on half of the digits' classes, of a ResNet-8 with option B."""
    folder = tmp_path_factory.mktemp("runs")
    assert (
        _run("train", "--depth=8", "--shortcut=B", "--iterations=2", "--export=", f"--output_dir={folder}")
        == 0
    )
    return folder / "cifar_resnet8-B-digits"


def _finetune(run, tmp_path, *flags):
    return _run(
        "train",
        f"--weights={run}",
        "--recipe=finetune",
        "--iterations=4",
        "--export=",
        f"--output_dir={tmp_path}",
        "--run_name=tuned",
        *flags,
    )


@pytest.mark.slow
def test_a_training_begins_with_another_runs_net_and_mean(run, tmp_path):
    # No step: as the run was.
    assert _finetune(run, tmp_path, "--learning_rate=1e-30") == 0
    former, tuned = (load_model(folder / "model.keras") for folder in (run, tmp_path / "tuned"))
    np.testing.assert_array_equal(
        tuned.get_layer("mean_subtraction").mean, former.get_layer("mean_subtraction").mean
    )
    for layer in former.layers:
        for one, other in zip(layer.weights, tuned.get_layer(layer.name).weights, strict=True):
            if "moving" not in one.name:
                np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7, err_msg=one.path)
    record = read_record(tmp_path / "tuned")
    assert record.architecture == cifar_architecture(8, "B")
    assert record.settings["initial_weights"].startswith("cifar_resnet8 ")
    assert record.recipe.unfreeze[0][0] == "head"
    assert all(layer.trainable for layer in tuned.layers)


def _pictures(folder):
    """A data set of three classes of its own, from the digits."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:150], digits.target[:150], strict=True)):
        if label < 3:
            place = folder / ("train" if number < 100 else "val") / f"thing{label}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15).astype("uint8")).convert("RGB").save(place / f"{number}.png")
    return folder


@pytest.mark.slow
def test_other_classes_get_a_new_head(run, tmp_path, capsys):
    pictures = _pictures(tmp_path / "pictures")
    assert _finetune(run, tmp_path, f"--dataset={pictures}", "--batch_size=8") == 0
    tuned = load_model(tmp_path / "tuned" / "model.keras")
    assert tuned.output_shape == (None, 3)
    assert tuned.input_shape == (None, 8, 8, 3)
    assert "Next:" not in capsys.readouterr().out  # which is the way through the digits


def test_public_weights_bring_variant_and_preprocessing(torch_file, tmp_path, capsys):
    assert (
        _run(
            "train",
            f"--weights={torch_file}",
            "--iterations=1",
            "--batch_size=4",
            "--image_size=32",
            "--export=",
            f"--output_dir={tmp_path}",
        )
        == 0
    )
    (folder,) = tmp_path.iterdir()
    model = load_model(folder / "model.keras")
    assert model.get_layer("preprocessing").normalization.std == pytest.approx((58.395, 57.12, 57.375))
    assert model.input_shape == (None, 32, 32, 1)
    assert read_record(folder).architecture == get_architecture(18, variant="v1.5")
    assert read_record(folder).spec.normalization == "published"
    card = (folder / "README.md").read_text()
    assert f"resnet18 {_digest(torch_file)}" in card
    assert "they are normalized as the published weights expect them" in card


def test_weights_without_a_head_are_converted_without_one(tmp_path, capsys):
    source, target = tmp_path / "headless.keras", tmp_path / "headless.weights.h5"
    model = resnet.CifarResNet(8, include_top=False, input_shape=(8, 8, 1))
    model.save(source)
    assert _run("convert", source, target) == 0
    assert "cifar_resnet8, shortcut A, v1, no head, 1 channels" in capsys.readouterr().out
    again = resnet.CifarResNet(8, include_top=False, input_shape=(8, 8, 1))
    again.load_weights(target)
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "expected_text", "flag", "kind"),
    [
        slow(
            lambda: resnet.ResNet50(include_top=False, variant="v1.5", input_shape=(32, 32, 3)),
            "convert: --variant: ",
            "--variant=v1.5",
            "resnet50, shortcut B, v1.5",
        ),
        (
            lambda: resnet.CifarResNet(8, classes=3),
            "convert: --plain: ",
            "--noplain",
            "cifar_resnet8, shortcut A",
        ),
        (
            lambda: resnet.CifarPlainNet(8, classes=3),
            "convert: --plain: ",
            "--plain",
            "cifar_plainnet8, shortcut None",
        ),
    ],
    ids=["bottleneck", "residual", "plain"],
)
def test_what_a_file_does_not_tell_is_asked_for(make, expected_text, flag, kind, tmp_path, capsys):
    source, target = tmp_path / "net.weights.h5", tmp_path / "net.keras"
    make().save_weights(source)
    assert _run("convert", source, target) == 2
    assert expected_text in capsys.readouterr().err
    assert _run("convert", flag, source, target) == 0
    assert kind in capsys.readouterr().out
    other = {"--variant=v1.5": "--variant=v1", "--plain": "--noplain", "--noplain": "--plain"}[flag]
    assert _run("convert", other, target, tmp_path / "again.keras") == 2
    assert "contradicts" in capsys.readouterr().err
    assert not (tmp_path / "again.keras").exists()


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--noplain", "--shortcut=A", "--plain"])
def test_training_takes_what_a_file_does_not_tell_too(flag, tmp_path, capsys):
    path = tmp_path / "net.weights.h5"
    resnet.CifarResNet(8, input_shape=(8, 8, 1)).save_weights(path)
    assert _run("train", f"--weights={path}", flag, "--dry_run") == 0
    assert ("cifar_plainnet8" if flag == "--plain" else "cifar_resnet8") in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--variant=v1", "--plain"])
def test_of_public_weights_nothing_is_asked(flag, tmp_path, capsys):
    assert _run("convert", "--depth=50", flag, "imagenet", tmp_path / "net.keras") == 2
    assert f"convert: --{flag[2:].split('=')[0]}=" in capsys.readouterr().err


def test_a_model_cannot_be_converted_onto_itself(torch_file, tmp_path, capsys):
    target = tmp_path / "x.keras"
    assert _run("convert", torch_file, target) == 0
    before = target.read_bytes()
    assert _run("convert", target, target) == 2
    assert "is the source itself" in capsys.readouterr().err
    assert target.read_bytes() == before
    assert [path.name for path in pathlib.Path(tmp_path).iterdir()] == ["x.keras"]


@pytest.mark.slow
def test_a_converted_model_opens_in_a_process_of_its_own(torch_file, tmp_path):
    """Where nothing else has expected_text Keras of the layer that prepares pixels."""
    assert _run("convert", torch_file, tmp_path / "x.keras") == 0
    script = "import sys, keras_resnet; print(keras_resnet.load_model(sys.argv[1]).layers[1].name)"
    command = [sys.executable, "-c", script, tmp_path / "x.keras"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "preprocessing\n"


def test_a_folder_is_not_written_over(torch_file, tmp_path, capsys):
    folder = tmp_path / "folder.keras"
    folder.mkdir()
    (folder / "precious.txt").write_text("kept")
    assert _run("convert", torch_file, folder) == 2
    assert "is a folder" in capsys.readouterr().err
    assert (folder / "precious.txt").read_text() == "kept"


@pytest.mark.slow
def test_preprocessing_is_not_lost_on_the_second_use(torch_file, tmp_path):
    first = tmp_path / "first.keras"
    assert _run("convert", torch_file, first) == 0
    second = tmp_path / "second.keras"
    assert _run("convert", first, second) == 0
    assert load_model(second).get_layer("preprocessing").get_config()["normalization"][
        "mean"
    ] == pytest.approx([123.675, 116.28, 103.53])


@pytest.mark.slow
def test_weights_without_a_head_can_be_trained_from(tmp_path):
    path = tmp_path / "headless.keras"
    resnet.CifarResNet(8, include_top=False, input_shape=(8, 8, 1)).save(path)
    assert _finetune(path, tmp_path) == 0
    assert read_record(tmp_path / "tuned").spec.normalization == "per_pixel_mean"


@pytest.mark.parametrize(
    ("flags", "expected_text"),
    [
        (["--depth=14"], "--depth=14: contradicts"),
        (["--shortcut=A"], "--shortcut=A: contradicts"),
        (["--plain"], "--plain=true: contradicts"),
        (["--family=imagenet"], "--family=imagenet: contradicts"),
        (["--mean_subtraction=channel"], "--mean_subtraction=channel: cannot be combined"),
        (["--grow_from=x"], "cannot be combined with grow_from"),
    ],
)
def test_flags_that_say_otherwise_than_the_weights_are_refused(flags, expected_text, run, tmp_path, capsys):
    assert _finetune(run, tmp_path, *flags) == 2
    assert expected_text in capsys.readouterr().err
    assert not (tmp_path / "tuned").exists()
