"""Every mistake gets one sentence that names the flag, before TensorFlow is imported."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import pytest

from keras_resnet.cli.commands import experiment_degradation, train
from keras_resnet.cli.main import main
from keras_resnet.runs.config import TrainConfig

# All in one process: the start of Python takes longer than a refusal.
_RUN = """
import contextlib, io, json, sys
from keras_resnet.cli.main import main
SLOW = {"tensorflow", "keras", "jax"}
for arguments in json.load(sys.stdin):
    before, out, err = set(sys.modules), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    answer = {"status": status, "out": out.getvalue(), "err": err.getvalue()}
    print(json.dumps({**answer, "slow": sorted(SLOW & (set(sys.modules) - before))}))
"""

# The command line, and what its refusal begins with: the flag, argument or file at fault.
REFUSALS = [
    ("train --depth=19", "--depth=19"),
    ("train --depth=-20", "--depth=-20"),
    ("train --depth=twenty", "--depth=twenty"),
    ("train --depth=34 --family=cifar", "--depth=34"),
    ("train --depth=20 --family=imagenet", "--depth=20"),
    ("train --depth=50 --plain", "--depth=50"),
    ("train --plain --shortcut=A", "--shortcut=A"),
    ("train --shortcut=D", "--shortcut=D"),
    ("train --family=vgg", "--family=vgg"),
    ("train --variant=v2", "--variant=v2"),
    ("train --drop_path=1", "--drop_path=1"),
    ("train --depth=18 --plain --drop_path=0.1", "--drop_path=0.1"),
    ("train --dataset=cifarr10", "--dataset=cifarr10"),
    ("train --dataset=", "--dataset="),
    ("train --dataset=./nowhere", "--dataset=./nowhere"),
    ("train --dataset=mnist --data_dir=nowhere", "--dataset=mnist"),
    ("train --validation_fraction=1", "--validation_fraction=1"),
    ("train --train_split=train[:50%]", "--train_split=train[:50%]"),
    ("train --test_split=test", "--test_split=test"),
    ("train --data_dir=elsewhere", "--data_dir=elsewhere"),
    ("train --dataset=docs --download", "--download=true"),
    ("train --export=int4", "--export=int4"),
    ("train --export=web --litertjs=nowhere", "--litertjs=nowhere"),
    ("train --max_accuracy_drop=-1", "--max_accuracy_drop=-1"),
    ("export", "RUN is missing"),
    ("export nowhere", "Nothing to export"),
    ("export nowhere --saved_model", "nowhere"),
    ("export nowhere --tflite=web", "--tflite=web"),
    ("export nowhere --tflite=int4", "--tflite=int4"),
    ("export nowhere --saved_model --on_decode_error=skip", "--on_decode_error=skip"),
    ("predict net.tflite picture.png --top=0", "--top=0"),
    ("predict", "MODEL is missing"),
    ("predict net.tflite", "IMAGE... is missing"),
    ("predict net.tflite nothing.png", "nothing.png"),
    ("predict net.tflite pyproject.toml", "net.tflite"),
    ("predict imagenet pyproject.toml", "--depth"),
    ("explain", "MODEL is missing"),
    ("explain net.keras", "IMAGE is missing"),
    ("explain net.keras one.png two.png", "'two.png' is not a flag"),
    ("explain net.keras one.png --output=one.jpg", "--output=one.jpg"),
    ("explain net.keras one.png --output=/dev/null/x.png", "--output=/dev/null"),
    ("explain net.keras nothing.png", "nothing.png"),
    ("explain nothing.keras pyproject.toml", "nothing.keras"),
    ("explain pyproject.toml pyproject.toml", "pyproject.toml"),
    ("evaluate", "There is no model to evaluate"),
    ("evaluate nothing.keras", "nothing.keras"),
    ("evaluate pyproject.toml", "--dataset"),
    ("evaluate pyproject.toml pyproject.toml", "pyproject.toml"),
    ("evaluate pyproject.toml --views=all", "--views=all"),
    ("evaluate pyproject.toml --scales=224", "--scales=224"),
    ("evaluate pyproject.toml --views=multi_scale --scales=big", "--scales=big"),
    ("evaluate pyproject.toml --ensemble_weights=1,half", "--ensemble_weights=1,half"),
    ("evaluate pyproject.toml --ensemble_weights=1,0", "--ensemble_weights=0"),
    ("train --precise_bn=0", "--precise_bn=0"),
    ("train --precise_bn=2000", "--precise_bn=2000"),
    ("train --grow_from=nowhere", "--grow_from=nowhere"),
    ("train --recipe=finetune", "--recipe=finetune"),
    ("train --weights=nowhere", "--weights=nowhere"),
    ("train --weights=imagenet", "--depth"),
    ("train --weights=imagenet --depth=20", "--weights=imagenet"),
    ("train --weights=imagenet --depth=18 --mean_subtraction=pixel", "--mean_subtraction=pixel"),
    ("train --weights=tests", "--weights=tests"),
    ("convert imagenet", "OUT is missing"),
    ("convert imagenet net.h5", "net.h5"),
    ("convert imagenet net.keras", "--depth"),
    ("convert imagenet net.keras --depth=20", "--depth=20"),
    ("convert nowhere net.keras", "nowhere"),
    ("convert pyproject.toml net.keras", "pyproject.toml"),
    ("convert train.py net.keras --depth=18", "--depth=18"),
    ("data", "there is no command 'data'"),
    ("data inspect ./nowhere", "dataset=./nowhere"),
    ("data validate nowhere", "nowhere"),
    ("data validate tests/cli", "tests/cli"),
    ("predict net.tflite tests/cli", "tests/cli"),
    ("predict net.tflite -", "- reads an image from standard input"),
    ("precise_bn", "RUN is missing"),
    ("precise_bn nowhere", "nowhere"),
    ("precise_bn nowhere --num_images=0", "--num_images=0"),
    ("experiment degradation --depths=20", "--depths=20"),
    ("experiment degradation --depths=20,57", "--depths=20,57"),
    ("experiment degradation --quick --depths=20,57", "--depths=20,57"),
    ("experiment degradation --depths=deep,er", "--depths=deep,er"),
    ("experiment degradation --quick --mixed_precision=bfloat16", "--mixed_precision=bfloat16"),
    ("experiment degradation --quick --batch_size=2000", "--batch_size=2000"),
    ("experiment degradation --iterations=5", "--iterations=5"),
    ("experiment degradation --quick --iterations=25", "--iterations=25"),
    ("experiment degradation --quick --learning_rate=nan", "--learning_rate=nan"),
    ("experiment degradation --quick --output_dir=/dev/null/x", "--output_dir=/dev/null/x"),
    ("experiment degradation --dataset=./nowhere", "--dataset=./nowhere"),
    ("experiment shortcuts --depth=21", "--depth=21"),
    ("experiment shortcuts --seeds=0", "--seeds=0"),
    ("experiment responses", "MODEL... is missing"),
    ("experiment responses nothing.keras", "nothing.keras"),
    ("experiment", "there is no command 'experiment'"),
    ("train --augmentation=random_resized_crop", "--augmentation=random_resized_crop"),
    ("train --crop_padding=8", "--crop_padding=8"),
    ("train --train_size=4", "--train_size=4"),
    ("train --crop_padding=-1", "--crop_padding=-1"),
    ("train --augmentation=none", "--augmentation=none"),
    ("train --bad_images=ignore", "--bad_images=ignore"),
    ("train --max_bad_images=2", "--max_bad_images=2"),
    ("train --mean_subtraction=median", "--mean_subtraction=median"),
    ("train --mixup=-1", "--mixup=-1"),
    ("train --cutmix=1.5", "--cutmix=1.5"),
    ("train --label_smoothing=nan", "--label_smoothing=nan"),
    ("train --image_size=3", "--image_size=3"),
    ("train --depth=50 --image_size=31", "--image_size=31"),
    ("train --batch_size=0", "--batch_size=0"),
    ("train --batch_size=1443", "--batch_size=1443"),
    ("train --epochs=-1", "--epochs=-1"),
    ("train --learning_rate=0", "--learning_rate=0"),
    ("train --learning_rate=-0.1", "--learning_rate=-0.1"),
    ("train --learning_rate=nan", "--learning_rate=nan"),
    ("train --momentum=1.1", "--momentum=1.1"),
    ("train --weight_decay=-1e-4", "--weight_decay=-0.0001"),
    ("train --weight_decay=inf", "--weight_decay=inf"),
    ("train --patience=0", "--patience=0"),
    ("train --recipe=best", "--recipe=best"),
    ("train --epochs=5 --iterations=5", "--epochs=5"),
    ("train --milestones=20,10", "--milestones=20,10"),
    ("train --milestones=soon", "--milestones=soon"),
    ("train --ema_decay=1", "--ema_decay=1"),
    ("train --schedule=exponential", "--schedule=exponential"),
    ("train --strategy=horovod", "--strategy=horovod"),
    ("train --gradient_accumulation_steps=0", "--gradient_accumulation_steps=0"),
    ("train --gradient_accumulation_steps=5", "--gradient_accumulation_steps=5"),
    ("train --resume=must --output_dir=nowhere", "--resume=must"),
    ("train --resume=yes", "--resume=yes"),
    ("train --backend=torch", "--backend=torch"),
    ("train --on_nan=ignore", "--on_nan=ignore"),
    ("train --log=json", "--log=json"),
    ("train --seed=-1", "--seed=-1"),
    ("train --mixed_precision=float8", "--mixed_precision=float8"),
    ("train --rematerialize=conv2 --sync_batch_norm", "--rematerialize=conv2"),
    ("train --rematerialize=conv2,conv5", "--rematerialize=conv5"),
    ("train --output_dir=/dev/null/runs", "--output_dir=/dev/null/runs"),
    ("train --run_name=a/b", "--run_name=a/b"),
    ("train --dept=20", "Unknown command line flag 'dept'. Did you mean: depth"),
    ("train 20", "'20' is not a flag"),
    ("inspect --image_size=2", "--image_size=2"),
    ("inspect --classes=0", "--classes=0"),
    ("inspect --channels=0", "--channels=0"),
    ("retrain", "there is no command 'retrain'; did you mean train?"),
]


def _keras_resnet(*commands):
    """What each of the commands says."""
    result = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def refused():
    commands = [arguments.split(" ") for arguments, _ in REFUSALS]
    return dict(zip((arguments for arguments, _ in REFUSALS), _keras_resnet(*commands), strict=True))


@pytest.mark.parametrize(("arguments", "subject"), REFUSALS, ids=[arguments for arguments, _ in REFUSALS])
def test_mistake_is_refused_in_one_sentence(refused, arguments, subject):
    answer = refused[arguments]
    assert answer["status"] == 2
    (line,) = answer["err"].splitlines()
    assert re.match(rf"keras-resnet( [a-z_ ]+)?: {re.escape(subject)}[ ,:;]", line), line
    assert line.endswith((".", "?"))
    assert not answer["out"]
    assert not answer["slow"]


@pytest.mark.parametrize("arguments", [["--help"], [], ["train", "--help"], ["inspect", "-h"]])
def test_help(arguments):
    (answer,) = _keras_resnet(arguments)
    assert answer["status"] == 0
    assert not answer["slow"]
    flags = ["--depth", "--shortcut"] if len(arguments) == 2 else ["train", "inspect"]
    assert all(word in answer["out"] for word in flags)


@pytest.mark.parametrize("command", [train, experiment_degradation], ids=lambda one: one.__name__)
def test_each_flag_is_named_with_its_help(command, capsys):
    name = command.__name__.rpartition(".")[2].replace("_", " ", 1)
    assert main([*name.split(), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0][2:] for line in lines if line.startswith("  --")} == set(command.FLAGS)


def test_every_field_of_a_training_has_its_flag():
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert fields | {"resume", "dry_run", "backend"} == set(train.FLAGS)


def test_experiments_name_their_defaults(capsys):
    texts = {}
    for name in ("degradation", "shortcuts"):
        assert main(["experiment", name, "--help"]) == 0
        texts[name] = capsys.readouterr().out
    assert "different seeds. (default 3)" in texts["degradation"]
    assert "Default: 300, and 440 with quick." in texts["degradation"]
    assert "different seeds. (default 2)" in texts["shortcuts"]
    assert "Peak learning rate. Default: 0.1." in texts["shortcuts"]


def test_folder_of_another_run_is_refused(tmp_path):
    """What stands in it is left alone."""
    folder = tmp_path / "cifar_resnet20-A-digits"
    folder.mkdir()
    (folder / "model.keras").write_text("somebody's")
    (answer,) = _keras_resnet(["train", f"--output_dir={tmp_path}"])
    assert answer["status"] == 2
    assert "--run_name=cifar_resnet20-A-digits" in answer["err"]
    assert (folder / "model.keras").read_text() == "somebody's"
