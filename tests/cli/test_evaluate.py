import csv
import json

import numpy as np
import PIL.Image
import pytest
from helpers.running import run_command

import keras_resnet
from keras_resnet.cli.main import main
from keras_resnet.data.sources import digits


@pytest.fixture(scope="module")
def evaluated(short_run, tmp_path_factory):
    """The run, two of its files and all of them together."""
    _, run = short_run
    folder = tmp_path_factory.mktemp("evaluated")
    result = run_command("evaluate", run, run / "model.tflite", run / "saved_model", f"--output_dir={folder}")
    assert result.returncode == 0, result.stderr
    return result.stdout, folder, run


def test_every_format_has_the_errors_of_the_model(evaluated):
    out, folder, run = evaluated
    images, labels = digits.load("test")
    probabilities = keras_resnet.load_model(run / "model.keras").predict(images, verbose=0)
    wrong = np.mean(probabilities.argmax(axis=1) != labels)
    results = json.loads((folder / "evaluation.json").read_text())
    assert (results["dataset"], results["split"], results["views"]) == ("digits", "test", "center")
    names = [run.name, f"{run.name}/model.tflite", f"{run.name}/saved_model", "ensemble"]
    assert list(results["results"]) == names
    for name, result in results["results"].items():
        assert result["images"] == 355
        assert result["top1_error"] == pytest.approx(wrong)
        assert result["loss"] == pytest.approx(-np.log(probabilities[range(355), labels]).mean(), rel=1e-3)
        assert f"{name}" in out
    assert f"{100 * wrong:.2f}%" in out


def test_files_of_classes_confusions_and_mistakes(evaluated):
    _, folder, run = evaluated
    for name in (run.name, f"{run.name}-model.tflite", "ensemble"):
        with (folder / f"{name}-classes.csv").open() as lines:
            rows = list(csv.DictReader(lines))
        assert [row["class"] for row in rows] == list("0123456789")
        assert sum(int(row["images"]) for row in rows) == 355
        assert float(rows[3]["error_low"]) <= float(rows[3]["error"]) <= float(rows[3]["error_high"])
        assert (folder / f"{name}-confusion.png").is_file()
        with PIL.Image.open(folder / f"{name}-worst.png") as sheet:
            assert sheet.size[0] == 5 * 128


def test_json_for_machines(evaluated, tmp_path, capsys):
    _, _, run = evaluated
    flags = ("--json", "--views=multi_scale", "--scales=8,10", f"--output_dir={tmp_path}")
    assert main(["evaluate", str(run), *flags]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads((tmp_path / "evaluation.json").read_text())
    assert results["results"][run.name]["images"] == 355
    # Far below chance: how good so short a training is differs from processor to processor.
    assert results["results"][run.name]["top1_error"] < 0.3


def test_other_images_are_refused(evaluated, tmp_path, capsys):
    _, _, run = evaluated
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            PIL.Image.new("L", (8, 8)).save(tmp_path / "pictures" / name / f"{number}.png")
    assert main(["evaluate", str(run), f"--dataset={tmp_path / 'pictures'}"]) == 2
    errors = capsys.readouterr().err
    assert "has other classes than cifar_resnet8-A-digits: class 0 is a here and 0 there" in errors
