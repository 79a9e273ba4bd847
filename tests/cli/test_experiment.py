import csv
import json

import keras
import PIL.Image
import pytest
from helpers.running import run_command

import keras_resnet
from keras_resnet import export
from keras_resnet.cli.main import main

SMALL = ("--dataset=digits", "--batch_size=32", "--seeds=1")


@pytest.fixture
def here(monkeypatch, capsys):
    """A command in this process, which has imported TensorFlow already: (status, output, errors)."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command would

    def run(*arguments):
        status = main(["experiment", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_degradation_leaves_a_page_with_its_command(here, tmp_path):
    command = [
        "degradation",
        "--quick",
        "--depths=4,8",
        "--iterations=20",
        *SMALL,
        f"--output_dir={tmp_path}",
    ]
    status, out, _ = here(*command)
    assert status == 0
    page = (tmp_path / "README.md").read_text()
    assert "--depths=4,8 --iterations=20" in page
    results = json.loads((tmp_path / "results.json").read_text())
    assert [outcome["group"] for outcome in results["outcomes"]] == [
        "plain-4",
        "residual-4",
        "plain-8",
        "residual-8",
    ]
    assert results["verdict"] in page
    assert results["verdict"] in out
    with PIL.Image.open(tmp_path / "degradation.png") as picture:
        assert picture.size[0] >= 1000
    assert "4 of 4 trainings are done already." in here(*command)[1]
    # Another setup in the same folder.
    status, _, errors = here(*command, "--learning_rate=0.2")
    assert status == 2
    assert "recipe.learning_rate=0.01 instead of 0.2" in errors


@pytest.mark.slow
def test_shortcuts_compared_and_their_responses(here, tmp_path):
    assert here("shortcuts", "--depth=8", "--iterations=20", *SMALL, f"--output_dir={tmp_path}")[0] == 0
    page = (tmp_path / "README.md").read_text()
    # Parameters of 8 layers, 1 channel and 10 classes: C has three projections with BN, B two of them.
    parameters = {
        line.split("|")[1].strip(): line.split("|")[5].strip()
        for line in page.splitlines()
        if "±" not in line and line.startswith("| ")
    }
    assert parameters["plain"] == parameters["A"]
    number = {name: int(parameters[name].replace(",", "")) for name in "ABC"}
    assert number["B"] - number["A"] == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert number["C"] - number["B"] == 16 * 16 + 2 * 16
    models = [tmp_path / f"{name}-seed0" / "model.keras" for name in ("plain", "A")]
    options = ("--dataset=digits", "--num_images=50", f"--output_dir={tmp_path / 'out'}")
    assert here("responses", *models, *options)[0] == 0
    with (tmp_path / "out" / "responses.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 2 * 7
    assert {row["model"] for row in rows} == {"plain-seed0/model.keras", "A-seed0/model.keras"}
    assert (tmp_path / "out" / "responses.png").is_file()


def test_responses_of_a_color_model_to_gray_images(here, tmp_path):
    keras_resnet.CifarResNet(8, input_shape=(8, 8, 3), weights=None).save(tmp_path / "net.keras")
    options = ("--dataset=digits", "--num_images=50", f"--output_dir={tmp_path / 'out'}")
    status, out, _ = here("responses", tmp_path / "net.keras", *options)
    assert status == 0
    assert "net.keras: 7 layers of 3x3" in out


def test_responses_of_what_has_no_such_layers_are_refused_by_path(here, tmp_path):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(inputs))
    dense = keras.Model(inputs, outputs, name="dense")
    dense.save(tmp_path / "dense.keras")
    export.export_tflite(dense, tmp_path / "dense.tflite")
    for name, says in (
        ("dense.keras", "dense.keras: "),
        ("dense.tflite", "dense.tflite: has no layers to look into; use the Keras model, or the run."),
    ):
        options = ("--dataset=digits", "--num_images=50", f"--output_dir={tmp_path}")
        status, _, errors = here("responses", tmp_path / name, *options)
        assert status == 2
        assert says in errors.splitlines()[-1]


@pytest.mark.slow
def test_deep_plain_nets_fail_and_residual_ones_do_not(tmp_path):
    """The claim itself, at the size that takes minutes."""
    result = run_command("experiment", "degradation", "--quick", f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    last = {}
    for outcome in results["outcomes"]:
        last.setdefault(outcome["group"], []).append(outcome["history"]["error"][-1])
    assert len(last) == 4
    assert min(last["plain-62"]) > 0.3
    assert max(last["residual-62"]) < 0.05
    assert max(last["plain-20"]) < min(last["plain-62"])
