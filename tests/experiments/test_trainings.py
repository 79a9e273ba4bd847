import dataclasses
import functools

import pytest

from keras_resnet.data import sources
from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.experiments import trainings as module
from keras_resnet.experiments.nets import convolutional_net, dense_net
from keras_resnet.experiments.trainings import Setup, Training, run_trainings
from keras_resnet.training.interruption import Interrupted
from keras_resnet.training.recipes import Recipe

RECIPE = Recipe("a test", iterations=20, batch_size=32, schedule="drops", drops=(10,))
TRAININGS = [
    Training("plain-8", "dense", 0, functools.partial(dense_net, 8, None)),
    Training("residual-8", "dense", 0, functools.partial(dense_net, 8, "A")),
]


def _setup(folder, **changes):
    view = View(8, whole=True, mirrored=False)
    return Setup(sources.find("digits"), view, dataclasses.replace(RECIPE, **changes), 4, BadImages(), folder)


def test_trainings_are_kept_and_resumed(tmp_path, monkeypatch):
    """Stopped in the second one, and gone on from there: as if nothing had been."""
    wanted = run_trainings(_setup(tmp_path / "whole"), TRAININGS, tell=lambda line: None)
    train = module.train

    def stopped(model, *arguments, **options):
        if model.name.startswith("dense_residual"):
            options["callbacks"].append(_StopAfter(7))
        return train(model, *arguments, **options)

    monkeypatch.setattr(module, "train", stopped)
    monkeypatch.setattr(module, "_MINUTES", 0.0)
    with pytest.raises(Interrupted):
        run_trainings(_setup(tmp_path / "parts"), TRAININGS, tell=lambda line: None)
    monkeypatch.setattr(module, "train", train)
    told = []
    given = run_trainings(_setup(tmp_path / "parts"), TRAININGS, tell=told.append)
    assert told[0] == "1 of 2 trainings are done already."
    assert any("residual-8-seed0, 2 of 2" in line for line in told)
    for outcome, other in zip(given, wanted, strict=True):
        assert len(outcome.history["error"]) == 4
        assert outcome.history["val_error"] == pytest.approx(other.history["val_error"], abs=0.02)
    assert (tmp_path / "parts" / "plain-8-seed0" / "model.keras").is_file()
    assert not (tmp_path / "parts" / "residual-8-seed0" / "checkpoints").exists()
    # Nothing is trained again.
    monkeypatch.setattr(module, "train", None)
    assert run_trainings(_setup(tmp_path / "parts"), TRAININGS, tell=lambda line: None) == given
    with pytest.raises(UserError, match="holds a training with iterations 20, where 8 is asked"):
        run_trainings(_setup(tmp_path / "parts", iterations=8), TRAININGS)
    # What is damaged is trained again, by what is no function any more.
    (tmp_path / "parts" / "plain-8-seed0" / "outcome.json").write_text("{")
    with pytest.raises(TypeError, match="not callable"):
        run_trainings(_setup(tmp_path / "parts"), TRAININGS, tell=lambda line: None)


class _StopAfter:
    """A callback that stops the training as a signal would."""

    def __new__(cls, step):
        import keras

        class Stop(keras.callbacks.Callback):
            steps = 0

            def on_train_batch_end(self, batch, logs=None):
                self.steps += 1
                if self.steps == step:
                    raise Interrupted("stopped", 143)

        return Stop()


def test_nets_have_the_layers_they_are_named_for():
    from keras_resnet.data.pipeline import Pipeline

    images = Pipeline(sources.find("digits"), View(8, whole=True, mirrored=False))
    for net, kind, depth in ((dense_net, "Dense", 8), (convolutional_net, "Conv2D", 14)):
        for shortcut in (None, "A"):
            model = net(depth, shortcut, images)
            count = sum(type(layer).__name__ in (kind, "Dense") for layer in model.layers)
            assert count == depth
            assert any(layer.name.endswith("_add") for layer in model.layers) == (shortcut is not None)
    with pytest.raises(ValueError, match=r"depth must be 2n\+2"):
        dense_net(7, None, images)
