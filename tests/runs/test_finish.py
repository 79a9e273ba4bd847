"""The third split: never read before the training is over, and then the figure that is reported."""

import dataclasses
import json
import logging
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
from helpers.errors import refused

import keras_resnet
from keras_resnet.data.sources import digits
from keras_resnet.data.sources.arrays import from_arrays
from keras_resnet.runs.data_options import DataOptions
from keras_resnet.runs.record import read_record

QUICK = {"depth": 8, "epochs": 2, "batch_size": 32, "log": "plain", "export": ()}


class _AtEnd(keras.callbacks.Callback):
    """Calls a function when the training is over."""

    def __init__(self, call):
        super().__init__()
        self._call = call

    def on_train_end(self, logs=None):
        self._call()


def test_the_test_split_is_not_read_before_the_training_is_over(tmp_path):
    images, labels = digits.load("train")
    parts = [(images[start:end], labels[start:end]) for start, end in ((0, 200), (200, 300), (300, 400))]
    dataset = from_arrays(*parts, name="mine", hflip=False)
    reads = []
    over = []

    def read(*arguments, **options):
        assert over, "the test split is read during the training"
        reads.append(options)
        return dataset.test.read(*arguments, **options)

    guarded = dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, read=read))
    run = keras_resnet.train(
        **QUICK,
        dataset=guarded,
        recipe="plateau",
        precise_bn=100,
        output_dir=tmp_path,
        run_name="run",
        callbacks=[_AtEnd(lambda: over.append(True))],
    )
    assert len(reads) == 1
    predictions = run.model.predict(parts[2][0], verbose=0).argmax(axis=1)
    assert run.metrics["test_error"] == pytest.approx(np.mean(predictions != parts[2][1]))
    assert run.metrics["accuracy"] == pytest.approx(1 - run.metrics["test_error"])
    over.clear()
    with pytest.raises(AssertionError, match="during the training"):
        run.evaluate(guarded)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of digits, of which the test images cannot be decoded before `repair` is called."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = digits.load("train")
    rows, contents = ["file;digit;set"], {}
    for number, (image, label) in enumerate(zip(images[:420], labels[:420], strict=True)):
        split = "train" if number < 200 else "val" if number < 300 else "test"
        path = folder / f"{number:03}.png"
        PIL.Image.fromarray(image[..., 0]).save(path)
        rows.append(f"{number:03};{label};{split}")
        if split == "test":
            contents[path] = path.read_bytes()
            path.write_bytes(b"not yet")
    (folder / "labels.csv").write_text("\n".join(rows), encoding="utf-16")

    def repair():
        for path, content in contents.items():
            path.write_bytes(content)

    return folder / "labels.csv", repair


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    name, repair = table
    return keras_resnet.train(
        **QUICK,
        dataset=name,
        label_column="digit",
        output_dir=tmp_path_factory.mktemp("runs"),
        callbacks=[_AtEnd(repair)],
    )


def test_a_run_on_a_table_reports_its_test_split(run, table):
    images, labels = (part[:420] for part in digits.load("train"))
    errors = run.model.predict(images, verbose=0).argmax(axis=1) != labels
    assert run.reported_split == "test"
    assert run.metrics["test_error"] == pytest.approx(errors[300:].mean())
    assert run.metrics["validation_error"] == pytest.approx(errors[200:300].mean())
    assert run.metrics["accuracy"] == 1 - run.metrics["test_error"]
    results = json.loads((run.path / "run.json").read_text())["results"]
    assert results["reported_split"] == "test"
    assert run.path.name == f"cifar_resnet8-A-{table[0].parent.name}-labels"
    head = (run.path / "README.md").read_text().split("| | |")[0]
    accuracy, validation = (
        f"{100 * (1 - run.metrics[name]):.2f}%" for name in ("test_error", "validation_error")
    )
    assert f"**{accuracy} accuracy**" in head
    assert head.index("test split `test`") < head.index("validation split `val`")
    assert validation in head


def test_a_run_on_a_table_is_evaluated_and_repeated_by_its_record(run, table, tmp_path, caplog, monkeypatch):
    assert (run.dataset.train.size, run.dataset.test.size) == (200, 120)
    assert run.evaluate().error == pytest.approx(run.metrics["test_error"])
    monkeypatch.chdir(table[0].parent)  # the same table by another path, and without its columns
    results = keras_resnet.evaluate([run.path], dataset="labels.csv", output_dir=tmp_path)
    assert results.split == "test"
    assert results.evaluations[run.path.name].error == pytest.approx(run.metrics["test_error"])
    with caplog.at_level(logging.INFO):
        again = keras_resnet.train(run.config)
    assert again.was_finished
    assert "accuracy on the test split" in caplog.text
    precise = run.recompute_batch_norm(100)
    assert precise.reported_split == "test"
    assert set(precise.metrics) == set(run.metrics)


def test_a_table_that_changed_is_another_run(run, table):
    name, _ = table
    text = name.read_text(encoding="utf-16")
    name.write_text(text.replace("000;0;train", "000;1;train"), encoding="utf-8")
    try:
        with refused("run_name", run.path.name) as caught:
            keras_resnet.train(run.config)
        assert "dataset.fingerprint" in caught.value.reason
    finally:
        name.write_text(text, encoding="utf-16")


def test_a_table_can_move_with_its_images(run, table, tmp_path):
    folder = shutil.copytree(table[0].parent, tmp_path / "moved")
    moved = run.load_dataset(folder / "labels.csv", DataOptions(label_column="digit"))
    assert moved.fingerprint == run.dataset.fingerprint


def test_a_record_of_an_earlier_version_says_its_split_too(run):
    record = read_record(run.path)
    for missing, split in (({"reported_split"}, "test"), ({"reported_split", "test_error"}, "validation")):
        results = {name: value for name, value in record.results.items() if name not in missing}
        assert dataclasses.replace(record, results=results).reported_split == split
