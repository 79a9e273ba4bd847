"""A run of several labels an image, from a table to its files."""

import json
import logging
import zipfile

import numpy as np
import PIL.Image
import pytest
from helpers.digit_pairs import digit_pairs, write_digit_pairs
from helpers.errors import refused
from sklearn import metrics

import keras_resnet
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.resolve import resolve

SPLITS = ["train"] * 160 + ["val"] * 48 + ["test"] * 48
IMAGES, LABELS = digit_pairs(len(SPLITS))
VALIDATION, TEST = slice(160, 208), slice(208, 256)
# Images without labels, of a table of one class an image.
LEFT_OUT = {"bad_images": "skip", "max_bad_images": 0.5}
NAMES = tuple(f"digit {digit}" for digit in range(4))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_digit_pairs(tmp_path_factory.mktemp("pairs"), len(SPLITS), separator="|", splits=SPLITS)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    return keras_resnet.train(
        dataset=table,
        depth=8,
        epochs=4,
        batch_size=16,
        schedule="cosine",
        hflip=False,
        crop_padding=0,
        label_smoothing=0.02,
        output_dir=tmp_path_factory.mktemp("runs"),
        run_name="pairs",
        export=("saved_model", "float32", "int8"),
    )


@pytest.fixture(scope="module")
def probabilities(run):
    return run.model.predict(IMAGES, verbose=0)


def test_the_figures_are_those_of_scikit_learn(run, probabilities):
    assert run.record.multi_label
    thresholds = np.float32(json.loads((run.path / "thresholds.json").read_text()))
    predicted = probabilities >= thresholds
    truth, ours = LABELS[TEST], run.metrics
    assert run.reported_split == "test"
    expected = metrics.average_precision_score(truth, probabilities[TEST], average="macro")
    assert ours["mean_average_precision"] == pytest.approx(expected, abs=1e-6)
    assert ours["test_error"] == pytest.approx(metrics.hamming_loss(truth, predicted[TEST]))
    assert ours["accuracy"] == pytest.approx(1 - ours["test_error"])
    assert ours["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted[TEST], average="macro"))
    expected = metrics.average_precision_score(LABELS[VALIDATION], probabilities[VALIDATION], average="macro")
    assert ours["validation_map"] == pytest.approx(expected, abs=1e-6)
    assert ours["validation_error"] == pytest.approx(
        metrics.hamming_loss(LABELS[VALIDATION], predicted[VALIDATION])
    )


def test_the_thresholds_are_chosen_on_the_validation_split(run, probabilities):
    thresholds = json.loads((run.path / "thresholds.json").read_text())
    for own, scores, threshold in zip(
        LABELS[VALIDATION].T, probabilities[VALIDATION].T, thresholds, strict=True
    ):
        best = max(metrics.f1_score(own, scores >= limit) for limit in scores)
        assert metrics.f1_score(own, scores >= threshold) == pytest.approx(best)


@pytest.mark.parametrize("name", ["model.keras", "model.tflite", "model_int8.tflite", "saved_model"])
def test_every_file_carries_the_thresholds(run, probabilities, name):
    predictor = keras_resnet.load_predictor(run.path / name)
    assert predictor.thresholds == tuple(json.loads((run.path / "thresholds.json").read_text()))
    assert predictor.class_names == NAMES
    found = predictor.labels(IMAGES[TEST])
    if name == "model_int8.tflite":
        return  # of rounded probabilities
    for labels, row in zip(found, probabilities[TEST], strict=True):
        expected = [NAMES[i] for i in np.argsort(-row) if row[i] >= np.float32(predictor.thresholds[i])]
        assert [label for label, _ in labels] == expected


def test_metadata_of_a_tflite_file_has_the_lowest_threshold(run):
    content = (run.path / "model.tflite").read_bytes()
    with zipfile.ZipFile(run.path / "model.tflite") as archive:
        assert sorted(archive.namelist()) == ["labels.txt", "preprocessing.json", "thresholds.json"]
        thresholds = json.loads(archive.read("thresholds.json"))
    assert np.float32(min(thresholds)).tobytes() in content


def test_the_run_predicts_labels_and_evaluates_itself(run, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(IMAGES[208, ..., 0]).save(tmp_path / "pair.png")
    thresholds = dict(zip(NAMES, json.loads((run.path / "thresholds.json").read_text()), strict=True))
    assert all(value >= thresholds[label] for label, value in run.predict("pair.png"))
    assert len(run.predict("pair.png", top=3)) == 3
    scores = run.evaluate().scores
    assert scores.mean_average_precision == pytest.approx(run.metrics["mean_average_precision"], abs=1e-6)
    results = keras_resnet.evaluate([run.path, run.path / "model.tflite"], dataset=table)
    assert set(results.evaluations) == {"pairs", "pairs/model.tflite"}
    found = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["results"]["pairs"]
    assert found["macro_f1"] == pytest.approx(run.metrics["macro_f1"])
    assert [label["label"] for label in found["labels"]] == list(NAMES)
    rows = (tmp_path / "evaluation" / "pairs-labels.csv").read_text().splitlines()
    assert rows[0] == "label,positives,average_precision,threshold,precision,recall,f1"
    assert len(rows) == 5


def test_the_card_leads_with_map_and_has_a_row_for_each_label(run):
    card = (run.path / "README.md").read_text()
    assert f"**{100 * run.metrics['mean_average_precision']:.2f}% mAP**" in card
    assert "confusion" not in card
    assert not (run.path / "confusion.png").exists()
    for name, own in zip(NAMES, run.record.results["labels"], strict=True):
        assert f"| {name} | {own['positives']} | " in card
    assert "thresholds.json" in card
    assert '"mean_average_precision"' in card


def test_it_is_finished_and_exported_again(run, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    again = keras_resnet.train(run.config)
    assert again.was_finished
    assert f"finished with {100 * run.metrics['mean_average_precision']:.2f}% mAP" in caplog.text
    report = again.export("float32")
    assert report.confusion is None
    assert {file.file for file in report.files} == {"model.tflite", "model_int8.tflite", "saved_model"}
    assert all(0 <= file.accuracy <= 1 and file.agreement > 0.8 for file in report.files)


def test_what_a_run_of_several_labels_does_not_do_is_refused(run, table, tmp_path):
    with refused("views", "ten_crop"):
        run.evaluate(views="ten_crop")
    with refused("views", "ten_crop"):
        keras_resnet.evaluate([run.path], views="ten_crop", output_dir=tmp_path)
    with refused("ensemble_weights"):
        keras_resnet.evaluate([run.path] * 1, ensemble_weights=(1.0,), output_dir=tmp_path)
    rows = [f"{index:03}.png,digit {index % 4}\n" for index in range(40)]
    write_digit_pairs(tmp_path, 40)
    (tmp_path / "single.csv").write_text("path,label\n" + "".join(rows))
    with refused("dataset") as caught:
        run.load_dataset(str(tmp_path / "single.csv"))
    assert "label_separator" in caught.value.reason
    with refused("models", "pairs"):
        keras_resnet.evaluate([run.path], dataset=str(tmp_path / "single.csv"), output_dir=tmp_path)


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"class_weight": "balanced"}, "class_weight"),
        ({"warmup_error": 0.5}, "warmup_error"),
        ({"recipe": "cifar110", "iterations": 10}, "warmup_error"),
    ],
)
def test_what_is_not_defined_for_several_labels_is_refused(table, tmp_path, fields, parameter):
    with refused(parameter):
        resolve(TrainConfig(dataset=table, depth=8, output_dir=tmp_path, **fields))


def test_several_labels_make_another_run(table, tmp_path):
    settings = [
        resolve(TrainConfig(dataset=table, depth=8, output_dir=tmp_path, **fields)).folder.settings
        for fields in ({}, {"label_separator": "|"}, {"label_separator": "", **LEFT_OUT})
    ]
    assert settings[0] == settings[1]
    assert settings[0]["dataset"]["multi_label"]
    assert settings[0]["training"]["calibrate"] is False
    assert "multi_label" not in settings[2]["dataset"]


def test_experiments_are_of_one_class_an_image(table, tmp_path):
    from keras_resnet.experiments.config import load_images
    from keras_resnet.experiments.degradation import DegradationConfig

    with refused("dataset", table):
        load_images(DegradationConfig(dataset=table, output_dir=tmp_path))
