"""Every mistake gets one sentence that names the flag, before TensorFlow is imported."""

import json
import pathlib
import subprocess
import sys

import pytest

from keras_resnet.commands import experiment_degradation, train_flags
from keras_resnet.commands.main import main

# All in one process: the start of Python takes longer than a refusal.
_RUN = """
import contextlib, io, json, sys
from keras_resnet.commands.main import main
SLOW = {"tensorflow", "keras", "jax"}
for arguments in json.load(sys.stdin):
    before, out, err = set(sys.modules), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    told = {"status": status, "out": out.getvalue(), "err": err.getvalue()}
    print(json.dumps({**told, "slow": sorted(SLOW & (set(sys.modules) - before))}))
"""

REFUSALS = [
    ("train --depth=19", "--depth must be one of 18, 34, 50, 101, 152"),
    ("train --depth=-20", "got -20"),
    ("train --depth=twenty", "--depth=twenty"),
    ("train --depth=34 --family=cifar", "--depth must be 6n+2"),
    ("train --depth=20 --family=imagenet", "--depth must be one of 18, 34, 50, 101, 152"),
    ("train --depth=50 --plain", "--depth must be one of 18, 34 for a plain ImageNet net"),
    ("train --plain --shortcut=A", "--shortcut must be left out for a plain net"),
    ("train --shortcut=D", "should be one of <auto|A|B|C>"),
    ("train --family=vgg", "should be one of <auto|imagenet|cifar>"),
    ("train --variant=v2", "should be one of <v1|v1.5>"),
    (
        "train --dataset=cifarr10",
        "--dataset=cifarr10 is neither 'digits' nor a folder nor a dataset of tensorflow-datasets",
    ),
    ("train --dataset=", "--dataset= is neither"),
    ("train --dataset=./nowhere", "--dataset=./nowhere: there is no such folder"),
    ("train --dataset=mnist --data_dir=nowhere", "mnist is not prepared in"),
    ("train --validation_fraction=1", "--validation_fraction=1 must be between 0 and 1"),
    ("train --train_split=train[:50%]", "--train_split=train[:50%] is for datasets of TFDS"),
    ("train --data_dir=elsewhere", "--data_dir=elsewhere is for datasets of TFDS; leave it out for"),
    ("train --dataset=docs --download", "--download=True is for datasets of TFDS; leave it out for"),
    ("train --export=int4", "--export=int4 is none of saved_model, float32, float16, dynamic, int8, web"),
    ("train --export=web --litertjs=nowhere", "needs the npm package @litertjs/core"),
    ("train --max_accuracy_drop=-1", "--max_accuracy_drop=-1"),
    ("export", "RUN is missing: keras-resnet export RUN"),
    ("export nowhere", "nothing to export: give --tflite=float32,float16,dynamic,int8"),
    ("export nowhere --saved_model", "nowhere is not the folder of a finished run"),
    ("export nowhere --tflite=web", "--tflite=web is no TFLite file; write --web"),
    ("export nowhere --tflite=int4", "--tflite=int4 is none of saved_model, float32, float16, dynamic, int8"),
    ("export nowhere --web --litertjs=nowhere", "needs the npm package @litertjs/core"),
    ("export nowhere --saved_model --undecodable=skip", "should be one of <error|nan>"),
    ("predict net.tflite picture.png --top=0", "--top=0"),
    ("predict", "MODEL is missing: keras-resnet predict MODEL IMAGE..."),
    ("predict net.tflite", "IMAGE... is missing"),
    ("predict net.tflite nothing.png", "nothing.png: there is no such file or folder"),
    ("predict net.tflite pyproject.toml", "net.tflite: there is no such file or folder"),
    ("explain", "MODEL is missing: keras-resnet explain MODEL IMAGE"),
    ("explain net.keras", "IMAGE is missing: keras-resnet explain MODEL IMAGE"),
    ("explain net.keras one.png two.png", "'two.png' is no flag"),
    ("explain net.keras one.png --output=one.jpg", "--output=one.jpg must be a file that ends in .png"),
    ("explain net.keras one.png --output=/dev/null/x.png", "--output=/dev/null/x.png cannot be written to"),
    ("explain net.keras nothing.png", "nothing.png: there is no such file; give one picture"),
    ("explain nothing.keras pyproject.toml", "nothing.keras: there is no such file or folder; give a run or"),
    ("explain pyproject.toml pyproject.toml", "pyproject.toml is no picture that can be decoded"),
    ("evaluate", "MODEL... is missing: keras-resnet evaluate MODEL..."),
    ("evaluate nothing.keras", "nothing.keras: there is no such file or folder; give a .tflite, a .keras"),
    ("evaluate pyproject.toml", "--dataset is missing"),
    ("evaluate pyproject.toml pyproject.toml", "pyproject.toml is given twice"),
    ("evaluate pyproject.toml --views=all", "should be one of <center|ten_crop|multi_scale>"),
    ("evaluate pyproject.toml --sides=224", "--sides=224 is for --views=multi_scale"),
    ("evaluate pyproject.toml --views=multi_scale --sides=big", "--sides=big must be numbers with commas"),
    ("evaluate pyproject.toml --weights=1,half", "--weights=1,half must be numbers with commas"),
    ("train --precise_bn=0", "--precise_bn=0"),
    ("train --precise_bn=2000", "--precise_bn=2000 is more than the 1,442 training images of digits"),
    ("train --grow_from=nowhere", "--grow_from=nowhere is not the folder of a finished run"),
    ("train --recipe=finetune", "--recipe=finetune is for nets that begin with weights from elsewhere"),
    ("train --weights=nowhere", "--weights=nowhere must be a finished run, a file of weights or a name of"),
    ("train --weights=imagenet", "--depth is missing: --weights=imagenet are of several nets"),
    ("train --weights=imagenet --depth=20", "weights='imagenet' are those of ResNets with shortcut 'B'"),
    ("train --weights=imagenet --depth=18 --mean=pixel", "bring what they subtract; leave --mean out"),
    ("train --weights=tests", "--weights=tests is not the folder of a finished run, with run.json and"),
    ("convert imagenet", "OUT is missing: keras-resnet convert IN OUT"),
    ("convert imagenet net.h5", "net.h5 must end in .weights.h5 (weights alone) or .keras (a model)"),
    ("convert imagenet net.keras", "--depth is missing: imagenet is for several nets"),
    ("convert imagenet net.keras --depth=20", "imagenet has no weights of a ResNet-20; it has those of 18"),
    ("convert nowhere net.keras", "nowhere is no file, and none of the names of public weights: imagenet, "),
    ("convert pyproject.toml net.keras", "pyproject.toml is no file of weights that can be read: those end"),
    ("convert train.py net.keras --depth=18", "--depth=18 is for names of public weights; train.py tells"),
    ("data", "there is no command 'data'"),
    ("data inspect ./nowhere", "--dataset=./nowhere: there is no such folder; give one of pictures"),
    ("data validate nowhere", "nowhere is no folder; give the one that holds the classes' folders"),
    ("data validate tests/commands", "tests/commands holds no pictures; they end in .jpg"),
    ("predict net.tflite tests/commands", "tests/commands holds no pictures; they end in .jpg"),
    ("predict net.tflite -", "- is for a picture on standard input, which is empty; give it one"),
    ("precise_bn", "RUN is missing: keras-resnet precise_bn RUN"),
    ("precise_bn nowhere", "nowhere is not the folder of a finished run"),
    ("experiment degradation --depths=20", "--depths=20 must be two depths or more"),
    ("experiment degradation --depths=20,57", "--depths=20,57: a CIFAR net has 6n+2 layers"),
    ("experiment degradation --quick --depths=20,57", "a net of dense blocks has 2n+2 layers"),
    ("experiment degradation --depths=deep,er", "--depths=deep,er must be numbers of layers"),
    ("experiment degradation --quick --mixed_precision=bfloat16", "leave it out with --quick"),
    ("experiment degradation --quick --batch_size=2000", "--batch_size=2000 is more than the 1442"),
    ("experiment degradation --iterations=5", "--iterations=5"),
    ("experiment degradation --quick --iterations=25", "--iterations=25 must be a multiple of 20"),
    ("experiment degradation --quick --learning_rate=nan", "--learning_rate=nan must be a number greater"),
    (
        "experiment degradation --quick --output_dir=/dev/null/x",
        "/dev/null/x cannot be written to",
    ),
    ("experiment degradation --dataset=./nowhere", "--dataset=./nowhere: there is no such folder"),
    ("experiment shortcuts --depth=21", "--depth=21 must be 6n+2"),
    ("experiment shortcuts --seeds=0", "--seeds=0"),
    ("experiment responses", "MODEL... is missing"),
    ("experiment responses nothing.keras", "nothing.keras: there is no such file or folder"),
    ("experiment", "there is no command 'experiment'"),
    ("train --augmentation=inception", "those of digits are seen whole"),
    ("train --shift=8", "--shift=8 must be less than the 8 pixels"),
    ("train --shift=-1", "--shift=-1"),
    ("train --augmentation=none", "should be one of <paper|inception>"),
    ("train --bad_images=ignore", "should be one of <raise|skip>"),
    ("train --max_bad_images=2", "--max_bad_images=2"),
    ("train --mean=median", "should be one of <auto|channel|pixel>"),
    ("train --mixup=-1", "--mixup=-1"),
    ("train --cutmix=1.5", "--cutmix=1.5"),
    ("train --label_smoothing=nan", "--label_smoothing=nan must be a finite number"),
    ("train --image_size=3", "--image_size=3 is too small for this net, which takes 4 or more"),
    ("train --depth=50 --image_size=31", "takes 32 or more"),
    ("train --batch_size=0", "--batch_size=0"),
    ("train --batch_size=1443", "--batch_size=1443 is more than the 1442 training images of digits"),
    ("train --epochs=-1", "--epochs=-1"),
    ("train --learning_rate=0", "--learning_rate=0 must be greater than 0"),
    ("train --learning_rate=-0.1", "--learning_rate=-0.1 must be greater than 0"),
    ("train --learning_rate=nan", "--learning_rate=nan must be a finite number"),
    ("train --momentum=1.1", "--momentum=1.1"),
    ("train --weight_decay=-1e-4", "--weight_decay=-1e-4"),
    ("train --weight_decay=inf", "--weight_decay=inf must be a finite number"),
    ("train --patience=0", "--patience=0"),
    ("train --recipe=best", "should be one of <plateau|digits|cifar|cifar110|imagenet|modern|finetune>"),
    ("train --epochs=5 --iterations=5", "--epochs=5 must be given, or iterations instead, and not both"),
    ("train --drops=20,10", "--drops=20,10 must be growing numbers of steps"),
    ("train --drops=soon", "--drops=soon must be numbers of steps"),
    ("train --ema=1", "--ema=1 must be at least 0 and less than 1"),
    ("train --schedule=exponential", "should be one of <plateau|drops|cosine>"),
    ("train --strategy=horovod", "should be one of <auto|none|mirrored|multi_worker>"),
    ("train --accumulate=0", "--accumulate=0"),
    ("train --accumulate=5", "--accumulate=5 must divide the 64 images"),
    (
        "train --resume=must --output_dir=nowhere",
        "--resume=must: nowhere/cifar_resnet20-A-digits/checkpoints",
    ),
    ("train --on_nan=ignore", "should be one of <stop|rollback>"),
    ("train --log=json", "should be one of <bar|plain>"),
    ("train --seed=-1", "--seed=-1"),
    ("train --mixed_precision=float8", "should be one of <none|bfloat16|float16>"),
    (
        "train --rematerialize=conv2 --sync_batch_norm",
        "--rematerialize cannot be used with --sync_batch_norm",
    ),
    ("train --rematerialize=conv2,conv5", "--rematerialize=conv5 is no stage of cifar_resnet20"),
    ("train --output_dir=/dev/null/runs", "--output_dir=/dev/null/runs cannot be written to"),
    ("train --run_name=a/b", "--run_name=a/b must be a plain folder name"),
    ("train --dept=20", "Did you mean: depth"),
    ("train 20", "'20' is no flag"),
    ("inspect --image_size=2", "--image_size=2 is too small"),
    ("inspect --classes=0", "--classes=0"),
    ("inspect --channels=0", "--channels=0"),
    (
        "retrain",
        "there is no command 'retrain'; the commands are train, evaluate, export, predict, explain, precise",
    ),
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


@pytest.mark.parametrize(("arguments", "says"), REFUSALS, ids=[arguments for arguments, _ in REFUSALS])
def test_mistake_is_refused_in_one_sentence(refused, arguments, says):
    told = refused[arguments]
    assert told["status"] == 2
    (line,) = told["err"].splitlines()
    assert line.startswith("keras-resnet")
    assert says in line
    assert not told["out"]
    assert not told["slow"]


@pytest.mark.parametrize("arguments", [["--help"], [], ["train", "--help"], ["inspect", "-h"]])
def test_help(arguments):
    (told,) = _keras_resnet(arguments)
    assert told["status"] == 0
    assert not told["slow"]
    flags = ["--depth", "--shortcut"] if len(arguments) == 2 else ["train", "inspect"]
    assert all(word in told["out"] for word in flags)


def test_each_flags_name_stands_apart_from_its_help(capsys):
    for command in (train_flags, experiment_degradation):
        name = command.__name__.rpartition(".")[2].removesuffix("_flags").replace("_", " ")
        assert main([*name.split(), "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert {line.split()[0][2:] for line in lines if line.startswith("  --")} == set(command.FLAGS)


def test_experiments_tell_what_they_take_where_nothing_is_given(capsys):
    told = {}
    for name in ("degradation", "shortcuts"):
        assert main(["experiment", name, "--help"]) == 0
        told[name] = capsys.readouterr().out
    assert "Trainings of each net; by default 3." in told["degradation"]
    assert "Steps of each training; by default 300, and 440 with --quick." in told["degradation"]
    assert "Trainings of each net; by default 2." in told["shortcuts"]
    assert "The highest; by default 0.1." in told["shortcuts"]


def test_folder_of_another_run_is_refused(tmp_path):
    """What stands in it is left alone."""
    folder = tmp_path / "cifar_resnet20-A-digits"
    folder.mkdir()
    (folder / "model.keras").write_text("somebody's")
    (told,) = _keras_resnet(["train", f"--output_dir={tmp_path}"])
    assert told["status"] == 2
    assert "--run_name=cifar_resnet20-A-digits" in told["err"]
    assert (folder / "model.keras").read_text() == "somebody's"
