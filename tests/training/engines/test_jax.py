"""The JAX engine and TensorFlow's, each in a process of its own, for Keras has one backend in a process."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "helpers" / "train_digits.py"
MODERN = {
    "ema_decay": 0.9,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "weight_decay_on": "kernels",
    "batch_augment": {"mixup": 0.2, "cutmix": 0.5, "random_erasing": 0.2, "label_smoothing": 0.1},
}
# With JAX, Keras' means round float64 to float32; a larger rate makes 1e-8 at the start 1e-3 after 50 steps.
CALM = {"learning_rate": 0.004}
FINETUNE = {"unfreeze": [["head", 0.3], ["conv4", 0.7]], "schedule": "cosine"}


@pytest.fixture
def train(tmp_path):
    """Trains in a process of its own; returns its results, and the arrays of its last checkpoint."""

    def run(engine, *flags, devices=1, checkpoints="", status=0, **fields):
        environment = {
            **os.environ,
            "KERAS_BACKEND": engine,
            "JAX_ENABLE_X64": "1",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        output = tmp_path / "results.json"
        command = [sys.executable, SCRIPT, output, checkpoints, *flags, f"--recipe={json.dumps(fields)}"]
        process = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == status, process.stderr[-3000:]
        results = json.loads(output.read_text()) if status == 0 else None
        assert results is None or results["devices"] == devices
        return results

    return run


def _assert_same(results, expected, tolerance=1e-4):
    np.testing.assert_allclose(results["losses"], expected["losses"], rtol=tolerance)
    for name, values in expected["history"].items():
        np.testing.assert_allclose(results["history"][name], values, rtol=tolerance, err_msg=name)


def _run(script, **environment):
    """Runs Python code in a process of its own with JAX."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "KERAS_BACKEND": "jax", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]


def _arrays(folder):
    with np.load(sorted(folder.glob("step-*.npz"))[-1]) as file:
        return {name: file[name] for name in file if name != "meta"}  # which has the seconds it took


@pytest.mark.slow
def test_two_jax_devices_are_one_of_tensorflow(train):
    """With batch norm over all devices, mixed images, averaged weights and a schedule."""
    flags = ("--depth=8", "--steps=8")
    _assert_same(train("jax", *flags, devices=2, **MODERN), train("tensorflow", *flags, **MODERN))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_many_steps_a_call_on_images_of_the_device(train, tmp_path, devices):
    """Cropped there, with a teacher and averaged weights; TensorFlow reads the same images by tf.data."""
    flags = ("--arrays", "--teacher", "--depth=8", "--steps=50")
    fields = {**CALM, "ema_decay": 0.9, "schedule": "cosine"}
    # An epoch has 30 steps; the averages end a call every 8 steps, and the epoch does so as well.
    expected = train("tensorflow", *flags, **fields)
    one = train("jax", *flags, devices=devices, **fields)
    _assert_same(one, expected)
    checkpoints = tmp_path / "checkpoints"
    many = train("jax", *flags, "--many_steps", devices=devices, checkpoints=checkpoints, **fields)
    for name, values in expected["history"].items():
        np.testing.assert_allclose(many["history"][name], values, rtol=1e-4, err_msg=name)


@pytest.mark.slow
def test_recomputed_batch_norm_keeps_half_and_has_the_same_gradients():
    """Of a ResNet-50, in float64: the residuals of JAX's gradients, which XLA has to keep."""
    script = """
        import jax
        import keras
        import numpy as np
        import keras_resnet
        from keras_resnet.training.blockwise import BlockwiseModel

        keras.config.set_floatx("float64")
        keras.utils.set_random_seed(0)
        model = keras_resnet.ResNet50(input_shape=(64, 64, 3), weights=None, classes=10)
        images = np.random.default_rng(0).random((2, 64, 64, 3)) * 255

        def measure(trained):
            variables = model.trainable_variables + model.non_trainable_variables
            def loss(weights):
                values = [*weights, *(variable.value for variable in model.non_trainable_variables)]
                with keras.StatelessScope(state_mapping=list(zip(variables, values))):
                    return (trained(images, training=True) ** 2).sum()
            weights = [variable.value for variable in model.trainable_variables]
            _, pull_back = jax.vjp(loss, weights)
            given = {id(weight) for weight in weights}
            kept = [array for array in jax.tree.leaves(pull_back) if id(array) not in given]
            return sum(array.nbytes for array in kept), pull_back(np.float64(1))[0]

        everything, expected = measure(BlockwiseModel(model))
        little, gradients = measure(BlockwiseModel(model, frugal=True))
        assert little < 0.5 * everything, (little, everything)
        for found, right in zip(gradients, expected):
            np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-9 * np.abs(right).max())
    """
    _run(script, JAX_ENABLE_X64="1")


def test_the_best_epoch_is_restored_with_averages_and_class_weights(tmp_path):
    """Also by a call that finds the training done."""
    script = f"""
        import keras
        import numpy as np
        from keras_resnet.training import Checkpoints, Recipe, train

        random = np.random.default_rng(0)
        x = random.normal(size=(256, 4)).astype("float32")
        y = (x[:, 0] + 0.5 * random.normal(size=256) > 0).astype("int64")
        recipe = Recipe("this test", 16, epochs=8, learning_rate=0.1, patience=100, ema_decay=0.5)
        # Down the gradient for three epochs, and then up.
        rates = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 if epoch < 3 else -1.0)
        for _ in range(2):
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
            state = train(
                model, (x[:64], y[:64]), (x[64:], y[64:]), recipe, callbacks=[rates], class_weight=(1.0, 1.5),
                checkpoints=Checkpoints({str(tmp_path)!r}), restore_best=True, stop_after=3,
            )
            errors = state.history["val_error"]
            assert 1 < state.epoch < len(errors) == state.epoch + 3, state
            wrong = model.predict(x[64:], verbose=0).argmax(axis=1) != y[64:]
            assert abs(wrong.mean() - min(errors)) < 1e-6 < errors[-1] - min(errors), state
    """
    _run(script)


def test_arrays_need_no_tensorflow():
    """Where it is not installed."""
    script = """
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0].startswith("tensorflow"):
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Missing())
        import keras
        import numpy as np
        import keras_resnet
        from keras_resnet.data.sources import digits
        from keras_resnet.training import ImageArrays, Recipe, train

        class Keep(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 0:
                    self.weights = self.model.get_weights()
                    self.copies = [np.array(weight) for weight in self.weights]

        keep = Keep()
        keras.utils.set_random_seed(0)
        model = keras_resnet.CifarResNet(8, input_shape=(8, 8, 1), classes=10, weights=None)
        recipe = Recipe("this test", 64, epochs=2, learning_rate=0.05)
        test = digits.load("test")
        data = ImageArrays(*digits.load("train"), padding=1)
        state = train(model, data, test, recipe, callbacks=[keep])
        assert state.history["val_error"][-1] < 0.3, state.history
        # Later steps take the memory of weights, but not of what a callback has kept.
        assert all(map(np.array_equal, keep.weights, keep.copies))
        wrong = model.predict(test[0], verbose=0).argmax(axis=1) != test[1]
        assert abs(wrong.mean() - state.history["val_error"][-1]) < 1e-6
    """
    _run(script)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ((), CALM),
        (("--gradient_accumulation_steps=2",), MODERN),
        ((), FINETUNE),
        (("--rematerialize=conv2,conv3",), CALM),
        (("--rematerialize=batch_norm",), CALM),
        (("--class_weight=[0.5,2,1,1,1,1,1,1,1,3]",), {**MODERN, **CALM}),
    ],
    ids=["plateau", "modern", "finetune", "rematerialized", "batch_norm", "class-weights"],
)
def test_losses_are_those_of_tensorflow(train, flags, fields):
    flags = ("--depth=20", "--steps=50", *flags)
    _assert_same(train("jax", *flags, **fields), train("tensorflow", *flags, **fields))


@pytest.mark.slow
def test_half_precision_is_that_of_tensorflow(train):
    """But for the rounding, which differs between the engines."""
    flags = ("--steps=30", "--policy=mixed_bfloat16")
    ours, theirs = (np.array(train(engine, *flags)["losses"]) for engine in ("jax", "tensorflow"))
    np.testing.assert_allclose(ours, theirs, rtol=0.05)
    assert ours[-1] < 0.8 * ours[0]


@pytest.mark.slow
def test_loss_scaling_is_that_of_tensorflow(train, tmp_path):
    """The scale of float16, whose first steps overflow, and the steps that count."""
    variables = {}
    for engine in ("jax", "tensorflow"):
        train(engine, "--steps=12", "--policy=mixed_float16", checkpoints=tmp_path / engine)
        arrays = _arrays(tmp_path / engine)
        variables[engine] = [
            int(arrays[name])
            for name in sorted(arrays)
            if name.startswith("optimizer") and not arrays[name].shape
        ]
    assert variables["jax"] == variables["tensorflow"]


@pytest.mark.slow
def test_batch_norm_of_each_device(train):
    """As in the paper: two devices normalize as the two parts of an accumulated batch do."""
    flags = ("--steps=12", "--sync_batch_norm=0")
    on_two = train("jax", *flags, devices=2)
    in_parts = train("jax", *flags, "--gradient_accumulation_steps=2")
    np.testing.assert_allclose(on_two["losses"], in_parts["losses"], rtol=1e-6)


@pytest.mark.slow
def test_resumes_bit_by_bit_after_a_kill(train, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    flags, fields = ("--steps=36",), {"ema_decay": 0.9}
    expected = train("jax", *flags, checkpoints=whole, **fields)
    kill = ("--signal_after", str(signal.SIGKILL.value), "13")
    train("jax", *flags, *kill, checkpoints=killed, status=-signal.SIGKILL, **fields)
    resumed = train("jax", *flags, checkpoints=killed, **fields)
    assert resumed["losses"] == expected["losses"][-len(resumed["losses"]) :]
    assert len(resumed["losses"]) >= 23
    for name, array in _arrays(whole).items():
        np.testing.assert_array_equal(_arrays(killed)[name], array, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "devices"),
    [("jax", "tensorflow", 1), ("tensorflow", "jax", 1), ("jax", "jax", 2)],
    ids=["by TensorFlow", "by JAX", "on two devices"],
)
def test_checkpoint_is_continued_elsewhere(train, tmp_path, first, second, devices):
    flags, fields = ("--steps=30",), {"ema_decay": 0.9}
    expected = train(first, *flags, **fields)
    stop = ("--signal_after", str(signal.SIGTERM.value), "12")
    train(first, *flags, *stop, checkpoints=tmp_path / "run", status=1, **fields)
    resumed = train(second, *flags, checkpoints=tmp_path / "run", devices=devices, **fields)
    assert 16 <= len(resumed["losses"]) <= 18
    np.testing.assert_allclose(resumed["losses"], expected["losses"][-len(resumed["losses"]) :], rtol=1e-4)
    for name, values in expected["history"].items():
        np.testing.assert_allclose(resumed["history"][name], values, rtol=1e-4, err_msg=name)
