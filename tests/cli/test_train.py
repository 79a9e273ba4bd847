"""`python train.py` as its user runs it, in a process of its own."""

import csv
import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from helpers.marks import slow
from helpers.running import SHORT, run_train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_resnet
from keras_resnet.data.sources import digits
from keras_resnet.evaluation.metrics import wilson_interval


@pytest.mark.slow
def test_default_run_is_accurate(default_run):
    out, folder = default_run
    accuracy = json.loads((folder / "run.json").read_text())["results"]["accuracy"]
    assert accuracy >= 0.98
    images, labels = digits.load("test")
    model = keras_resnet.load_model(folder / "model.keras")
    assert np.mean(model.predict(images, verbose=0).argmax(-1) == labels) == pytest.approx(accuracy)
    assert f"{100 * accuracy:.2f}% accuracy on the validation split" in out


def test_a_run_leaves_its_files(short_run):
    _, folder = short_run
    made = {path.name for path in folder.iterdir()}
    files = {
        "README.md",
        "checkpoints",
        "confusion.png",
        "curves.png",
        "history.csv",
        "labels.txt",
        "model.keras",
        "model.tflite",
        "preprocessing.json",
        "report.json",
        "run.json",
        "saved_model",
    }
    assert made == files
    with PIL.Image.open(folder / "curves.png") as picture:
        assert picture.size[0] >= 1000
    assert (folder / "labels.txt").read_text().split() == list("0123456789")
    with (folder / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {"loss", "error", "val_loss", "val_error", "learning_rate"} <= rows[0].keys()
    assert len(rows) == 8


@pytest.mark.slow
def test_default_run_says_what_it_does_and_did(default_run):
    out, folder = default_run
    assert re.search(r"Epoch 40/80, about .* left", out)
    assert "The validation error stopped improving: learning rate 0.01 from now on." in out
    for name in (
        "checkpoints",
        "model.keras",
        "saved_model",
        "model.tflite",
        "history.csv",
        "curves.png",
        "README.md",
    ):
        assert re.search(rf"^  {name} +[\d.]+ [kM]B", out, re.MULTILINE), name
    assert str(folder) in out
    assert "Next: python train.py --depth=50 --shortcut=B" in out
    with (folder / "history.csv").open() as lines:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(lines)]
    assert len(rates) == 80
    assert rates[-1] < 0.1


def test_saved_model_is_smaller_without_the_optimiser(short_run):
    _, folder = short_run
    assert not keras_resnet.load_model(folder / "model.keras").compiled


def test_card_tells_the_run(short_run):
    _, folder = short_run
    card = (folder / "README.md").read_text()
    for text in (
        "cifar_resnet8",
        "digits",
        "shortcut option A",
        "75,002",
        "747,136",
        "batch 64, 8 epochs",
        "![Confusion matrix](confusion.png)",
        "Intended use and limits",
    ):
        assert text in card, text
    accuracy = json.loads((folder / "run.json").read_text())["results"]["accuracy"]
    low, high = wilson_interval(round(accuracy * 355), 355)
    assert f"**{100 * accuracy:.2f}% accuracy**" in card
    assert f"{100 * low:.2f}% to {100 * high:.2f}%" in card
    for name in ("model.keras", "model.tflite", "saved_model/saved_model.pb"):
        assert f"| `{name}` | `{hashlib.sha256((folder / name).read_bytes()).hexdigest()}` |" in card


@pytest.mark.slow
def test_code_in_the_card_runs(short_run, tmp_path):
    _, folder = short_run
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    script = "\n".join(f"{block}\nprint(np.asarray(probabilities).tolist())" for block in blocks)
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder
    )
    answers = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]
    assert len(answers) == 3
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-4)


def test_same_command_again_has_nothing_to_do(short_run):
    _, folder = short_run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = run_train(f"--output_dir={folder.parent}", *SHORT)
    assert result.returncode == 0
    assert "is this run, finished with" in result.stdout
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_same_folder_for_other_settings_is_refused(short_run):
    _, folder = short_run
    result = run_train(f"--output_dir={folder.parent}", "--depth=8", "--epochs=3")
    assert result.returncode == 2
    assert "recipe.epochs=8 instead of 3" in result.stderr


@pytest.mark.slow
def test_seed_repeats_the_run(tmp_path):
    """One seed, one history, though not to the last digit: threads add in any order."""
    histories = []
    for name in ("first", "second"):
        result = run_train(
            "--depth=8", "--epochs=2", "--seed=1", f"--output_dir={tmp_path}", f"--run_name={name}"
        )
        assert result.returncode == 0, result.stderr
        with (tmp_path / name / "history.csv").open() as lines:
            histories.append([float(row["loss"]) for row in csv.DictReader(lines)])
    assert histories[0] == pytest.approx(histories[1], rel=1e-3)


@pytest.mark.parametrize(
    "flags",
    [
        slow(["--mixed_precision=bfloat16"]),
        # A CPU computes float16 by way of float32, and slowly.
        slow(["--mixed_precision=float16"]),
        # What both do is tested in tests/training/test_blockwise.py.
        slow(["--jit_compile", "--rematerialize=conv3,conv4"]),
    ],
    ids=" ".join,
)
def test_flags_of_speed_and_memory_leave_float32_files(tmp_path, flags):
    result = run_train("--depth=8", "--epochs=6", *flags, f"--output_dir={tmp_path}", "--run_name=run")
    assert result.returncode == 0, result.stderr
    model = keras_resnet.load_model(tmp_path / "run" / "model.keras")
    assert {layer.compute_dtype for layer in model.layers} <= {"float32", "uint8"}
    images, labels = digits.load("test")
    accuracy = (model.predict(images, verbose=0).argmax(-1) == labels).mean()
    assert accuracy > 0.8
    assert "TF_ENABLE_ONEDNN_OPTS=1" in result.stdout


@pytest.mark.slow
def test_bottleneck_net_on_small_images(tmp_path):
    """`--depth=50 --shortcut=B` and nothing else works on the default data; here for one epoch."""
    result = run_train(
        "--depth=50", "--shortcut=B", "--epochs=1", "--batch_size=256", f"--output_dir={tmp_path}"
    )
    assert result.returncode == 0, result.stderr
    assert "resnet50 on digits" in result.stdout
    assert (tmp_path / "resnet50-B-digits" / "model.tflite").stat().st_size > 90e6


@pytest.mark.slow
def test_dry_run_prints_the_plan_and_does_nothing(tmp_path):
    result = run_train("--depth=8", "--recipe=cifar", "--dry_run", f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    for text in (
        "64,000: 5,819 epochs of 11",
        "0.1 to step 32,000, 0.01 to step 48,000, 0.001 to step 64,000",
        "from 5 measured training steps",
        "section 4.2",
        "GiB per device",
        "validation (test) is looked at after each epoch and is reported",
    ):
        assert text in result.stdout, text
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_recipe_and_flags_are_in_the_card(tmp_path):
    result = run_train(
        "--depth=8",
        "--recipe=modern",
        "--epochs=3",
        "--ema_decay=0.9",
        "--gradient_accumulation_steps=2",
        "--profile",
        "--tensorboard",
        "--log=plain",
        f"--output_dir={tmp_path}",
        "--run_name=run",
    )
    assert result.returncode == 0, result.stderr
    assert "epoch 3/3 done: " in result.stdout
    card = (tmp_path / "run" / "README.md").read_text()
    for text in ("averaged weights (0.9)", "3 epochs", "half a cosine from 0.1 to 0", "label smoothing 0.05"):
        assert text in card, text
    assert list((tmp_path / "run" / "tensorboard").rglob("*.xplane.pb"))
    for name, tags in (("train", {"loss", "error", "learning_rate"}), ("validation", {"loss", "error"})):
        events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / name), {"tensors": 0}).Reload()
        assert set(events.Tags()["tensors"]) == tags
        assert [event.step for event in events.Tensors("loss")] == [1, 2, 3]
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    recipe = settings["recipe"]
    assert (recipe["name"], recipe["weight_decay_on"], recipe["zero_gamma"]) == ("modern", "kernels", True)


@pytest.mark.slow
def test_training_that_diverges_ends_in_a_sentence(tmp_path):
    result = run_train("--depth=8", "--learning_rate=1e30", f"--output_dir={tmp_path}", "--run_name=run")
    assert result.returncode == 2
    assert "learning_rate=1e+30" in result.stderr
    assert "Last good checkpoint: " in result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {
        "checkpoints", "run.json", "history.csv", "curves.png",
    }  # fmt: skip
