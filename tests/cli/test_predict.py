import json
import subprocess
import sys

import PIL.Image
import pytest
from helpers.marks import slow
from helpers.running import run_command

from keras_resnet.data.sources import digits


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = digits.load("test")
    for index in range(3):
        PIL.Image.fromarray(images[index, :, :, 0]).save(folder / f"{index}_{labels[index]}.png")
    return folder


def _answers(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def wanted(short_run, pictures):
    """What the TFLite file says."""
    return _answers(run_command("predict", short_run[1] / "model.tflite", pictures, "--json", "--top=10"))


@pytest.mark.parametrize("file", [".", slow("model.keras"), slow("saved_model")])
def test_every_format_gives_the_same_answers(short_run, pictures, wanted, file):
    _, run = short_run
    given = _answers(run_command("predict", run / file, pictures, "--json", "--top=10"))
    assert [answer["image"] for answer in given] == [str(path) for path in sorted(pictures.iterdir())]
    for answer, other in zip(given, wanted, strict=True):
        scores = [{row["class"]: row["probability"] for row in one["classes"]} for one in (answer, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
        assert sum(scores[0].values()) == pytest.approx(1)
        assert answer["classes"][0]["class"] == answer["image"].removesuffix(".png")[-1]


def test_linked_folders_are_read_and_other_files_counted(short_run, pictures, tmp_path):
    (tmp_path / "linked").symlink_to(pictures)
    (tmp_path / "photo.heic").touch()
    result = run_command("predict", short_run[1] / "model.tflite", tmp_path, "--json", "--top=1")
    assert [answer["image"] for answer in _answers(result)] == [
        str(tmp_path / "linked" / path.name) for path in sorted(pictures.iterdir())
    ]
    assert "not read: 1 .heic." in result.stderr


def test_bars_and_standard_input(short_run, pictures):
    _, run = short_run
    picture = min(pictures.iterdir())
    result = run_command("predict", run, "-", text=False, input=picture.read_bytes())
    lines = result.stdout.decode().splitlines()
    assert lines[0] == "standard input"
    assert len(lines) == 6
    assert lines[1].split()[0] == picture.stem[-1]
    assert lines[1].endswith("#" * 25)


def test_tflite_answers_without_tensorflow(short_run, pictures):
    script = (
        "import sys; from keras_resnet.cli.main import main; status = main(sys.argv[1:]);"
        "sys.exit(str({'tensorflow', 'keras'} & set(sys.modules)) if status == 0 else status)"
    )
    command = [sys.executable, "-c", script, "predict", short_run[1] / "model.tflite", pictures]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr.strip().endswith("set()")


def test_a_bad_image_among_others_is_named_and_left_out(short_run, pictures, tmp_path):
    _, run = short_run
    (tmp_path / "bad.png").write_bytes(b"no picture")
    result = run_command("predict", run, pictures, tmp_path, "--json")
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 3
    assert "bad.png: " in result.stderr


def test_mistakes_are_refused(short_run, tmp_path):
    _, run = short_run
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    for arguments, message in {
        (run, tmp_path / "empty"): "empty: holds no images",
        (run, tmp_path / "bad.png"): "bad.png: ",
    }.items():
        result = run_command("predict", *arguments)
        assert result.returncode == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr
