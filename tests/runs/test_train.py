"""A training from Python: interrupted, resumed, evaluated, exported, and continued by the command line."""

import dataclasses
import json
import logging
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused

import keras_resnet
from keras_resnet._utils.lock import lock_folder
from keras_resnet.cli.main import main
from keras_resnet.data.sources import digits
from keras_resnet.runs import train as module
from keras_resnet.runs.record import read_record
from keras_resnet.runs.resolve import resolve
from keras_resnet.training.recipes import RECIPES


class _Fail(keras.callbacks.Callback):
    """Raises after an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._epoch:
            raise RuntimeError("the notebook's kernel")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return keras_resnet.TrainConfig(
        dataset="digits",
        depth=8,
        epochs=4,
        log="plain",
        output_dir=tmp_path_factory.mktemp("runs"),
        export=["saved_model"],
    )


@pytest.fixture(scope="module")
def run(config):
    """Killed in the middle by an exception, called again and finished."""
    with pytest.raises(RuntimeError, match="kernel"):
        keras_resnet.train(config, callbacks=[_Fail(1)])
    folder = pathlib.Path(config.output_dir, "cifar_resnet8-A-digits")
    assert read_record(folder).results is None
    assert not (folder / "model.keras").exists()
    return keras_resnet.train(config, resume="must")


def test_it_is_finished_after_the_call_that_resumed_it(run, config):
    assert len(run.history["loss"]) == 4
    assert set(run.history) == {
        "loss",
        "error",
        "val_loss",
        "val_error",
        "val_macro_f1",
        "val_balanced_accuracy",
        "learning_rate",
    }
    assert run.metrics["accuracy"] == pytest.approx(1 - run.history["val_error"][-1])
    assert run.config == config
    assert run.path == pathlib.Path(config.output_dir, "cifar_resnet8-A-digits")
    images, labels = digits.load("test")
    predictions = run.model.predict(images, verbose=0).argmax(axis=1)
    assert run.metrics["accuracy"] == pytest.approx(np.mean(predictions == labels))


def test_the_same_call_again_returns_the_run(run, config):
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    again = keras_resnet.train(config)
    assert again.was_finished
    assert again.metrics == run.metrics
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}


def test_the_command_line_knows_the_run(run, config, capsys):
    flags = ["--depth=8", "--epochs=4", "--log=plain", f"--output_dir={config.output_dir}"]
    assert main(["train", *flags]) == 0
    assert f"{run.path} is this run, finished with" in capsys.readouterr().out
    assert main(["train", *flags, "--seed=1"]) == 2
    assert "training.seed=0 instead of 1" in capsys.readouterr().err


def test_it_is_evaluated_exported_and_opened(run):
    evaluation = run.evaluate()
    assert evaluation.error == pytest.approx(run.metrics["validation_error"])
    assert evaluation.accuracy == pytest.approx(run.metrics["accuracy"])
    report = run.export("tflite-float32", "int8")
    assert not report.rejected
    assert {file.file for file in report.files} == {"saved_model", "model.tflite", "model_int8.tflite"}
    assert keras_resnet.Run.open(run.path).report.files == report.files
    images, labels = digits.load("test")
    for name in ("model.tflite", "model_int8.tflite"):
        predictor = keras_resnet.load_predictor(run.path / name)
        assert predictor.class_names == digits.CLASS_NAMES
        # The file takes RGB, also where the model inside takes gray images.
        assert predictor.spec == dataclasses.replace(run.record.spec, channels=3)
        accuracy = np.mean(predictor.predict(images).argmax(axis=1) == labels)
        assert accuracy == pytest.approx(run.metrics["accuracy"], abs=0.02)
    card = (run.path / "README.md").read_text()
    assert run.write_card().read_text() == card
    assert "model_int8.tflite" in card


def test_it_predicts_and_explains(run, tmp_path):
    import PIL.Image

    images, _ = digits.load("test")
    path = tmp_path / "digit.png"
    PIL.Image.fromarray(images[0, :, :, 0]).save(path)
    expected = run.model.predict(images[:1], verbose=0)[0]
    names = [name for name, _ in run.predict(path, top=3)]
    assert names == [digits.CLASS_NAMES[index] for index in (-expected).argsort(kind="stable")[:3]]
    answers = run.predict([path, path], top=1)
    assert len(answers) == 2
    assert run.predict(images[0])[0][0] == names[0]
    found = run.explain(path, output=tmp_path / "why.png")
    assert found.class_name == names[0]
    assert found.path.is_file()


def test_the_command_line_resumes_what_python_began(config, tmp_path):
    """And the other way round: one run, whoever trains it."""
    config = dataclasses.replace(config, output_dir=tmp_path, export=())
    with pytest.raises(RuntimeError):
        keras_resnet.train(config, callbacks=[_Fail(0)])
    flags = ["--depth=8", "--epochs=4", "--log=plain", "--export=", f"--output_dir={tmp_path}"]
    assert main(["train", *flags, "--resume=must"]) == 0
    run = keras_resnet.train(config)
    assert run.was_finished
    assert len(run.history["loss"]) == 4


def test_a_dataset_object_a_recipe_and_an_architecture(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    images, labels = digits.load("train")
    dataset = keras_resnet.data.from_arrays(
        (images[:300], labels[:300]), test=(images[280:400], labels[280:400]), name="mine", hflip=False
    )
    from keras_resnet.models.architectures import cifar_architecture

    recipe = dataclasses.replace(RECIPES["modern"], epochs=1, batch_size=32)
    run = keras_resnet.train(
        dataset=dataset,
        recipe=recipe,
        architecture=cifar_architecture(8, "B"),
        output_dir=tmp_path,
        export=(),
        log="plain",
        drop_path=0.2,
    )
    assert run.path.name == "cifar_resnet8-B-mine"
    assert run.record.recipe == recipe
    assert run.record.settings["training"]["drop_path"] == 0.2
    # The third split gives the figure.
    assert run.metrics["accuracy"] == pytest.approx(1 - run.metrics["test_error"])
    evaluation = run.evaluate(dataset)
    assert evaluation.error == pytest.approx(run.metrics["test_error"])
    assert evaluation.scores.images == 120
    (warning,) = [message for message in caplog.messages if "are training images as well" in message]
    assert " of the 120 test images are training images as well" in warning
    with refused("dataset"):
        _ = keras_resnet.Run.open(run.path).dataset


def test_a_plan_is_made_without_a_trace(tmp_path):
    plan = keras_resnet.dry_run(depth=8, recipe="cifar", output_dir=tmp_path)
    assert (plan.steps, plan.epochs, plan.steps_per_epoch) == (64_000, 5_819, 11)
    assert plan.parameters == 75_002  # 269,434 - 2 * 97,216 of ResNet-20 with two blocks fewer a stage
    assert plan.train_seconds > 0
    assert plan.memory > 0
    assert "0.1 to step 32,000, 0.01 to step 48,000, 0.001 to step 64,000" in str(plan)
    assert not list(tmp_path.iterdir())


def test_unknown_fields_and_values_are_refused():
    with refused("deepth", 20) as caught:
        keras_resnet.train(deepth=20)
    assert "depth" in caught.value.reason
    with refused("resume", "maybe"):
        keras_resnet.train(resume="maybe")
    with refused("config"):
        keras_resnet.train({"depth": 20})


def test_what_does_not_fit_into_memory_says_what_would():
    job = resolve(keras_resnet.TrainConfig())
    with refused("batch_size", 64) as caught, module._translate_memory(job):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    for field in ("gradient_accumulation_steps", "rematerialize", "mixed_precision"):
        assert field in caught.value.reason


@pytest.mark.slow
def test_augmentations_make_another_run_only_where_they_are_used(tmp_path):
    """A run of a version without them, whose record does not name them, is resumed."""
    plain = resolve(keras_resnet.TrainConfig(output_dir=tmp_path))
    assert not {"vflip", "rotate90", "trivial_augment"} & set(plain.folder.settings["input"])
    plain.folder.start()
    resolve(keras_resnet.TrainConfig(output_dir=tmp_path, vflip=False)).folder.check()
    turned = resolve(keras_resnet.TrainConfig(output_dir=tmp_path, rotate90=True))
    assert turned.folder.settings["input"]["rotate90"] is True
    with refused("run_name", "cifar_resnet20-A-digits") as caught:
        turned.folder.check()
    assert "input.rotate90=None instead of True" in caught.value.reason


def test_another_text_of_a_recipe_does_not_make_another_run(tmp_path):
    own = dataclasses.replace(RECIPES["digits"], epochs=3)
    options = {"depth": 8, "output_dir": tmp_path, "run_name": "run", "log": "plain", "export": ()}
    with pytest.raises(RuntimeError):
        keras_resnet.train(recipe=own, callbacks=[_Fail(0)], **options)
    mended = dataclasses.replace(own, reference="a typo less")
    run = keras_resnet.train(recipe=mended, resume="must", **options)
    assert len(run.history["loss"]) == 3
    assert json.loads((run.path / "run.json").read_text())["metadata"]["recipe"]["reference"] == "a typo less"


def test_a_run_that_another_process_trains_is_refused(tmp_path):
    with lock_folder(tmp_path / "run"), refused("run_name"):
        keras_resnet.train(depth=8, output_dir=tmp_path, run_name="run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["auto", "multi_worker"])
def test_a_malformed_list_of_machines_is_refused_before_anything_else(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("TF_CONFIG", "{")
    with refused(None, "TF_CONFIG={"):
        keras_resnet.train(depth=8, output_dir=tmp_path, strategy=kind)
    assert not list(tmp_path.iterdir())
