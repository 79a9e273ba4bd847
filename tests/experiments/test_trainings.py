import dataclasses
import functools
import logging

import pytest
from helpers.callbacks import AfterStep
from helpers.errors import refused

from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.experiments import trainings as module
from keras_resnet.experiments.models import convolutional_model, dense_model
from keras_resnet.experiments.trainings import Setup, Training, run_trainings
from keras_resnet.training import loop
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.signals import Interrupted

RECIPE = Recipe("a test", iterations=20, batch_size=32, schedule="multistep", milestones=(10,))
TRANSFORM = InputTransform(InputSpec(8, 1), hflip=False)
TRAININGS = [
    Training("plain-8", "dense", 0, functools.partial(dense_model, 8, None)),
    Training("residual-8", "dense", 0, functools.partial(dense_model, 8, "A")),
]


def _setup(folder, **changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    return Setup(load_dataset("digits"), TRANSFORM, recipe, 4, DecodeErrors(), folder)


def _stop(model):
    """Stops the training as a signal would."""
    raise Interrupted("stopped", 143)


@pytest.mark.slow
def test_trainings_are_kept_and_resumed(tmp_path, monkeypatch, caplog):
    """Stopped in the second one and resumed from there: as if nothing had been."""
    caplog.set_level(logging.INFO, "keras_resnet")
    expected = run_trainings(_setup(tmp_path / "uninterrupted"), TRAININGS)
    train = loop.train

    def stopped(model, *arguments, **options):
        if model.name.startswith("dense_residual"):
            options["callbacks"].append(AfterStep(7, _stop))
        return train(model, *arguments, **options)

    monkeypatch.setattr(loop, "train", stopped)
    monkeypatch.setattr(module, "_MINUTES", 0.0)
    with pytest.raises(Interrupted):
        run_trainings(_setup(tmp_path / "parts"), TRAININGS)
    monkeypatch.setattr(loop, "train", train)
    caplog.clear()
    outcomes = run_trainings(_setup(tmp_path / "parts"), TRAININGS)
    assert caplog.messages[0] == "1 of 2 trainings are done already."
    assert any("residual-8-seed0, 2 of 2" in line for line in caplog.messages)
    for outcome, other in zip(outcomes, expected, strict=True):
        assert len(outcome.history["error"]) == 4
        assert outcome.history["val_error"] == pytest.approx(other.history["val_error"], abs=0.02)
    assert (tmp_path / "parts" / "plain-8-seed0" / "model.keras").is_file()
    assert not (tmp_path / "parts" / "residual-8-seed0" / "checkpoints").exists()
    # Nothing is trained again.
    monkeypatch.setattr(loop, "train", None)
    assert run_trainings(_setup(tmp_path / "parts"), TRAININGS) == outcomes
    with refused("output_dir") as caught:
        run_trainings(_setup(tmp_path / "parts", iterations=8, milestones=(4,)), TRAININGS)
    assert "recipe.iterations=20 instead of 8" in caught.value.reason
    # What is damaged is trained again, by what is not a function any more.
    (tmp_path / "parts" / "plain-8-seed0" / "outcome.json").write_text("{")
    with pytest.raises(TypeError, match="not callable"):
        run_trainings(_setup(tmp_path / "parts"), TRAININGS)


def test_models_have_the_layers_they_are_named_for():
    pipeline = Pipeline(load_dataset("digits"), TRANSFORM)
    for build, kind, depth in ((dense_model, "Dense", 8), (convolutional_model, "Conv2D", 14)):
        for shortcut in (None, "A"):
            model = build(depth, shortcut, pipeline)
            count = sum(type(layer).__name__ in (kind, "Dense") for layer in model.layers)
            assert count == depth
            assert any(layer.name.endswith("_add") for layer in model.layers) == (shortcut is not None)
    with pytest.raises(ValueError, match=r"depth must be 2n\+2"):
        dense_model(7, None, pipeline)
