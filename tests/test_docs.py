"""Runs every command, block of code and change in the documentation, and checks every link, flag and name.

Commands run in this process, on replacements for `RUN`, `FOLDER` and the other placeholders. Trainings run
until the model is built; `make test-slow` trains by each such line, for a few steps.
"""

import dataclasses
import functools
import importlib
import io
import itertools
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.doc_pages import (
    BLOCKS,
    PAGES,
    ROOT,
    anchors,
    changes,
    links,
    of_language,
    own_command,
    prose,
    shell_lines,
    spans,
)
from helpers.litertjs import install
from helpers.marks import slow
from helpers.pictures import PHOTOS, encoded
from helpers.public_files import torch_state, write_torch_file

from keras_resnet.cli.main import main
from keras_resnet.data.dataset import Dataset
from keras_resnet.data.sources import digits
from keras_resnet.data.sources.arrays import split_from_arrays

PACKAGE = ROOT / "keras_resnet"
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
# Lines of shell that start other programs, as they begin.
OTHERS = (
    "curl ",
    "docker run ",
    "echo ",
    "export TF_CONFIG=",
    "if [ $status = ",
    "npm install @litertjs/core",
    "pip install 'keras-resnet-applications[jax]'",
    "pip install .",
    "python -m http.server ",
    "status=$?",
)
# Listed, so that another one is noticed.
NOT_RUN = [
    ("README.md", "downloads the weights"),
    ("README.md", "downloads the weights"),
    ("docs/weights.md", "downloads the weights"),
]
# Flags of other programs that the text names: SLURM's.
OTHERS_FLAGS = {"signal"}
TFDS = ("cifar10", "fashion_mnist", "imagenet2012")
TRAINING = (("train",), ("experiment", "degradation"), ("experiment", "shortcuts"))
# Commands that take more than a few seconds: only `make test-slow` runs them to the end.
LONG = {
    "evaluate A-seed0/model.keras B-seed0/model.keras C-seed0/model.keras --dataset=fashion_mnist",
    "evaluate RUN --dataset=FOLDER --views=ten_crop",
    "experiment responses RUN... --num_images=1000",
    "evaluate --weights=torchvision-v2 --depth=50 --dataset=imagenet2012",
    "evaluate RUN --views=multi_scale",
    "evaluate RUN --views=multi_scale --scales=224,256,384",
    "experiment responses plain-20-seed0/model.keras plain-56-seed0/model.keras "
    "residual-20-seed0/model.keras residual-56-seed0/model.keras --dataset=fashion_mnist "
    "--output_dir=../responses",
    "evaluate RUN other/model.tflite",
    "evaluate RUN RUN/model_int8.tflite other.keras",
    "explain RUN cat.jpg --class_name=dog --layer=conv4_block6_out --output=why_a_dog.png",
    "export RUN --tflite=int8 --max_accuracy_drop=0.5",
    "export RUN --tflite=int8 --max_accuracy_drop=1",
    "export RUN --web",
    "export RUN --tflite=float16,int8",
    "export RUN --tflite=float32,float16,dynamic,int8 --saved_model --web",
    "precise_bn RUN --num_images=10000",
}
# Name of the run in the output that the quickstart shows.
RUN_NAME = "resnet18-B-FOLDER"


def _commands():
    """Returns each command once, with its places and the output that the pages show below it."""
    found = {}
    for number, block in enumerate(BLOCKS):
        if block.language != "sh" or block.reason is not None:
            continue
        outputs = [
            follows.text
            for follows in BLOCKS[number + 1 : number + 2]
            if follows.language == "text"
            and follows.page == block.page
            and follows.before.startswith(block.before)  # no heading between the two
        ]
        for command in filter(None, map(own_command, shell_lines(block.text))):
            places, texts = found.setdefault(command, ([], []))
            places.append(block.place)
            texts.extend(outputs)
    return found


COMMANDS = _commands()


def _trains(command):
    return "--help" not in command and any(command[: len(name)] == name for name in TRAINING)


def _is_long(command):
    return _trains(command) or " ".join(command) in LONG


def _each(commands, **marks):
    return pytest.mark.parametrize(
        "command", [pytest.param(command, id=" ".join(command), **marks) for command in commands]
    )


def _execute(block, names):
    # Line numbers of the page, for tracebacks.
    code = compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec")
    exec(code, names)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """FOLDER, written by the lines of the quickstart."""
    (block,) = [block for block in of_language("python") if block.page == "docs/quickstart.md"]
    here = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        _execute(block, {})
    return here / "FOLDER"


@pytest.fixture(scope="session")
def finished(folder, tmp_path_factory):
    """RUN: a short training with all of its files."""
    here = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command would, before TensorFlow
        patch.chdir(here)
        (here / "FOLDER").symlink_to(folder)
        flags = f"--dataset=FOLDER --depth=8 --epochs=1 --run_name={RUN_NAME} --output_dir=."
        assert main(["train", *flags.split(), "--export=saved_model,tflite-float32,int8"]) == 0
    return here / RUN_NAME


@pytest.fixture(scope="session")
def cats(tmp_path_factory):
    """A model of cats and dogs for `explain`, with the layer that the page names."""
    import keras

    from keras_resnet.data.input_spec import InputSpec
    from keras_resnet.inference.sidecars import write_sidecars
    from keras_resnet.models.architectures import Architecture
    from keras_resnet.models.classifier import build_classifier

    keras.utils.set_random_seed(0)
    run = tmp_path_factory.mktemp("cats") / "RUN"
    run.mkdir()
    architecture = Architecture("cats", (1, 1, 6), (16, 32, 64), stem="cifar", shortcut="A")
    mean = np.full((32, 32, 3), 128, "float32")
    build_classifier(architecture, (32, 32, 3), 2, mean).save(run / "model.keras")
    write_sidecars(run, ("cat", "dog"), InputSpec(32, 3))
    (run / "run.json").write_text("{}")
    return run


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """resnet18.pth: random weights in torchvision's format."""
    import keras_resnet

    path = tmp_path_factory.mktemp("published") / "resnet18.pth"
    write_torch_file(path, torch_state(keras_resnet.ResNet18()))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, without network and with replacements for TFDS datasets."""
    from keras_resnet.data.tools import statistics
    from keras_resnet.runs import data_options

    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr(statistics, "_SECONDS", 0.1)
    load = data_options.load_dataset
    monkeypatch.setattr(
        data_options,
        "load_dataset",
        lambda name, *arguments, **options: (
            _digits_named(name) if name in TFDS else load(name, *arguments, **options)
        ),
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@functools.cache
def _digits_named(name):
    """The digits as a TFDS dataset: enough images and classes for all commands of the pages."""
    images, labels = (np.concatenate([part] * 9) for part in digits.load("train"))
    classes = 1000 if name == "imagenet2012" else 10
    return Dataset(
        name=name,
        class_names=tuple(f"digit-{number}" for number in range(classes)),
        image_shape=digits.IMAGE_SHAPE,
        train=split_from_arrays("train", images, labels),
        validation=split_from_arrays("test", images[:100], labels[:100]),
        hflip=name != "fashion_mnist",
    )


@pytest.fixture
def supply(here, request):
    """A function that puts what a command names into the working folder, and returns the words to run."""

    def make(name):
        path = here / name
        if path.exists():
            return
        if name.startswith("RUN") and (here / "cat.jpg").exists():
            shutil.copytree(request.getfixturevalue("cats"), here / "RUN")
        elif name.startswith("RUN"):
            # Tables name the folder behind the link.
            shutil.copytree(request.getfixturevalue("finished"), here / "saved_models" / RUN_NAME)
            (here / "RUN").symlink_to(here / "saved_models" / RUN_NAME)
            make("FOLDER")  # on which it was trained
        elif re.fullmatch(r"saved_models/(\w+/)?shallow", name):
            shutil.copytree(request.getfixturevalue("finished"), path)
        elif re.fullmatch(r"[\w-]+/model\.(keras|tflite)|other\.keras", name):
            path.parent.mkdir(exist_ok=True)
            shutil.copy(request.getfixturevalue("finished") / f"model{path.suffix}", path)
        elif name in ("FOLDER", "FOLDER_OR_NAME"):
            path.symlink_to(request.getfixturevalue("folder"))
        elif name == "labels.csv":
            make("FOLDER")
            files = sorted((here / "FOLDER").glob("*/*.png"))
            rows = [f"{file.parent.name}/{file.stem},{file.parent.name}" for file in files]
            path.write_text("\n".join(["id,label", *rows]))
        elif name == "more/":
            shutil.copytree(request.getfixturevalue("folder") / "digit-3", path)
        elif name.endswith(".jpg"):
            path.write_bytes(encoded(PHOTOS[0]))
        elif name == "resnet18.pth":
            path.symlink_to(request.getfixturevalue("published"))

    def supplied(command):
        words = [word.replace("/shared/", "shared/").replace("RUN...", "RUN") for word in command]
        # Images first: which run RUN is depends on them.
        for name in sorted({re.sub(r"^--\w+=", "", word) for word in words}, key=str.islower, reverse=True):
            make(name)
        if "--web" in words:
            install(here)
        if any(word.startswith("--max_accuracy_drop") for word in words):
            words.append("--max_accuracy_drop=100")  # a short training does not deserve more
        if words[0] == "precise_bn":
            words.append("--num_images=500")  # FOLDER has no more
        return words

    return supplied


def _without_values(line):
    """A line without what differs between models, machines and moments."""
    line = re.sub(r"#+$", "", line)
    line = re.sub(r"[-+]?\d[\d.,]*(e[-+]\d+)?", "0", line)
    return " ".join(re.sub(r"\b0 (h|min|s)\b( 0 (min|s)\b)*", "0 s", line).split())


def _run(words, command, capsys):
    status = main(words)
    out, errors = capsys.readouterr()
    places, texts = COMMANDS[command]
    assert status == 0, f"{places}: {errors}"
    printed = iter([_without_values(line) for line in out.splitlines()])
    for line in (_without_values(line) for text in texts for line in text.splitlines()):
        assert line in printed, f"{places}: not printed, or not in this order: {line}\n{out}"


@_each([command for command in COMMANDS if not _is_long(command)])
def test_command_runs_and_prints_what_the_page_shows(command, supply, capsys, one_backend):
    _run(supply(command), command, capsys)


class _StartedError(Exception):
    """Raised where a command starts the work that takes long."""


@_each(list(filter(_is_long, COMMANDS)))
def test_long_command_starts(command, supply, monkeypatch, one_backend):
    def start(*_, **__):
        raise _StartedError

    replaced = [
        (importlib.import_module(f"keras_resnet.{module}"), name)
        for module, name in (
            ("runs.build", "build"),
            ("runs.evaluate", "open_predictor"),
            ("experiments.responses", "open_predictor"),
            ("experiments.trainings", "run_trainings"),
            ("inference.keras_file", "load_keras"),
        )
    ]
    for module, name in replaced:  # all are imported by now: none imports the replacement of another
        monkeypatch.setattr(module, name, start)
    with pytest.raises(_StartedError):
        pytest.fail(f"{COMMANDS[command][0]}: status {main(supply(command))}")


def test_long_commands_are_in_the_pages():
    assert {" ".join(command) for command in COMMANDS} >= LONG


def _shortened(words):
    """The command with flags that reduce it to seconds."""
    text = " ".join(words)
    if "shortcuts" in words:
        return [*words, "--depth=8", "--iterations=20", "--seeds=1", "--batch_size=32"]
    if "degradation" in words:
        depths = "4,8" if "--quick" in words else "8,14"
        iterations = 20 if "--quick" in words else 24
        size = [f"--depths={depths}", f"--iterations={iterations}"]
        return [*words, *size, "--seeds=1", "--batch_size=32"]
    if "--weights=torchvision" in text:
        words = [*words, "--weights=torchvision-v1", "--depth=18"]  # `published`
    elif words[0] == "train" and "--weights" not in text and "--dry_run" not in words:
        words = [*words, "--depth=14" if "--grow_from" in text else "--depth=8"]
    if words[0] != "train" or "--dry_run" in words:
        return words
    return [*words, "--epochs=1" if "--epochs" in text else "--iterations=2"]


@pytest.mark.slow
@_each(list(filter(_is_long, COMMANDS)))
def test_long_command_runs_and_prints_what_the_page_shows(command, supply, published, monkeypatch, capsys):
    from keras_resnet.weights.registry import PublicWeights

    monkeypatch.setattr(PublicWeights, "fetch", lambda *_, **__: published)
    _run(_shortened(supply(command)), command, capsys)


def _benchmark_flags(script):
    """Returns the flags of a benchmark: its own, and the options that `compare.py` makes flags of."""
    assert script.is_file(), script
    text = script.read_text()
    options = re.findall(r"options=\{([^}]*)\}", text)
    return {
        *re.findall(r'add_argument\(\s*"--(\w+)"', text),
        *re.findall(r'"(\w+)":', " ".join(options)),
    }


def test_other_programs_are_known():
    for block in of_language("sh"):
        for line in filter(lambda line: own_command(line) is None, shell_lines(block.text)):
            words = shlex.split(line, comments=True)
            if words[0] == "make":
                assert set(words[1:]) <= TARGETS, f"{block.place}: {line}"
            elif words[0] == "cd":
                assert (ROOT / words[1]).is_dir(), f"{block.place}: {line}"
            elif words[0] == ".venv/bin/python":
                flags = {re.match(r"--(\w+)", word)[1] for word in words[2:]}
                assert flags <= _benchmark_flags(ROOT / words[1]), f"{block.place}: {line}"
            else:
                assert line.startswith(OTHERS), f"{block.place}: {line} is neither ours nor known"


def test_exported_cluster_names_its_machines(monkeypatch):
    import tensorflow as tf

    lines = [line for block in of_language("sh") for line in shell_lines(block.text)]
    (cluster,) = [line for line in lines if line.startswith("export ")]
    monkeypatch.setenv(*shlex.split(cluster)[1].split("=", 1))
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.cluster_spec().num_tasks(resolver.task_type) == 2
    assert resolver.task_id == 0


def test_blocks_that_are_not_run_are_known():
    found = [(block.page, block.reason) for block in BLOCKS if block.reason is not None]
    assert sorted(found) == NOT_RUN
    # A comment above no block exempts nothing.
    assert sum(page.count("<!-- not run:") for page in PAGES.values()) == len(found)
    # Kotlin, Swift and Kubernetes cannot be run here.
    assert {block.language for block in BLOCKS} == {"sh", "python", "text", "diff", "kotlin", "swift", "yaml"}


def _batches(count):
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1)).astype("float32")
    return tf.data.Dataset.from_tensors((images, np.arange(64) % 10)).repeat(count)


@pytest.fixture
def names_of(here, request, monkeypatch):
    """A function that makes the files and returns the variables that a page uses without defining them."""

    def names(page):
        run = request.getfixturevalue("finished")
        (here / "photo.jpg").write_bytes(encoded(PHOTOS[0]))
        (here / "photo.png").write_bytes(encoded(PHOTOS[0], "PNG"))
        (here / "FOLDER").symlink_to(request.getfixturevalue("folder"))
        shutil.copytree(run, here / "RUN")
        for name in ("model.tflite", "model_int8.tflite", "saved_model"):
            (here / name).symlink_to(run / name)
        if page == "docs/extending.md":
            (here / "resnet18.pth").symlink_to(request.getfixturevalue("published"))
        if page in ("docs/extending.md", "docs/training.md"):
            return {"train_batches": _batches(2), "validation_batches": _batches(1)}
        if page == "docs/evaluation.md":
            import keras_resnet

            split = _digits_named("digits").validation
            return {
                "model": keras_resnet.load_model(run / "model.keras"),
                "class_names": (run / "labels.txt").read_text().split(),
                "images": split.read(None).map(lambda index, image, label: (image, label)),
            }
        return {}

    return names


@pytest.fixture
def one_backend(monkeypatch):
    """Leaves Keras' backend, which this process cannot change, as it is."""
    monkeypatch.setattr(importlib.import_module("keras_resnet.cli.commands.train"), "set_backend", str)


@pytest.mark.parametrize(
    "page",
    [
        page if page == "README.md" else slow(page)
        for page in dict.fromkeys(block.page for block in of_language("python"))
    ],
)
def test_python_runs(page, names_of, monkeypatch):
    from keras_resnet.runs import own_images
    from keras_resnet.training import RECIPES

    for name in RECIPES:
        monkeypatch.setitem(
            RECIPES, name, dataclasses.replace(RECIPES[name], epochs=1, iterations=0, milestones=())
        )
    monkeypatch.setattr(own_images, "EPOCHS", (own_images.Epochs(math.inf, 1, 1),))
    names = names_of(page)
    for block in of_language("python"):
        if block.page == page:
            _execute(block, names)


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the package with every change that the pages show."""
    copy = tmp_path_factory.mktemp("changed")
    shutil.copytree(PACKAGE, copy / "keras_resnet", ignore=shutil.ignore_patterns("__pycache__"))
    for change in changes():
        file = copy / "keras_resnet" / change.path
        content = change.applied_to(file.read_text() if file.exists() else None)
        compile(content, str(file), "exec")
        file.write_text(content)
    return copy


_RUN_CHANGED = """
import json, sys
import keras_resnet
from keras_resnet.cli.main import main
assert keras_resnet.__file__.startswith(sys.argv[1]), keras_resnet.__file__
for command in json.load(sys.stdin):
    print("$", " ".join(command), flush=True)
    status = main(command)
    assert status == 0, (command, status)
print("$ ResNet10", keras_resnet.ResNet10(classes=5).name)
"""


@pytest.mark.slow
def test_changes_work_at_once(changed, here, finished):
    (here / "RUN").symlink_to(finished)
    images, labels = digits.load("test")
    arrays = {
        f"{split}_{kind}": part
        for split in ("train", "validation")
        for kind, part in (("images", images), ("labels", labels))
    }
    np.savez(here / "scans.npz", **arrays)
    commands = [
        "--help",
        "labels --help",
        "labels RUN --numbers",
        "weights",
        "inspect --depth=10",
        "train --dataset=scans.npz --depth=8 --recipe=short --keep_checkpoints=5 --dry_run",
    ]
    result = subprocess.run(
        [sys.executable, "-c", _RUN_CHANGED, str(changed)],
        input=json.dumps([command.split() for command in commands]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(changed)},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    parts = re.split(r"^\$ .*\n", result.stdout, flags=re.MULTILINE)
    overview, usage, classes, weights, architecture, plan = parts[1:7]
    assert "labels" in overview
    assert "--numbers" in usage
    assert classes.splitlines() == [f"{number} digit-{number}" for number in range(10)]
    assert "timm-a2" in weights
    assert architecture.startswith("resnet10, shortcut B")
    assert "one cycle of the learning rate (Smith 2018), in a tenth" in plan
    assert "scans.npz: 355 training, 355 validation images" in plan


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"https?://", link):
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            name = str(target.resolve().relative_to(ROOT))
            assert anchor in anchors(name), f"{page}: {link}; there are {sorted(anchors(name))}"


@pytest.fixture(scope="module")
def flags_of():
    """The flags of each command, as `--help` lists them."""

    def help_text(*command):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", io.StringIO())
            assert main([*command, "--help"]) == 0
            return sys.stdout.getvalue()

    names = re.findall(r"^  (\w+(?: \w+)?)  +\S", help_text(), re.MULTILINE)
    flags = {name: re.findall(r"^  --(\w+)", help_text(*name.split()), re.MULTILINE) for name in names}
    return {
        name: {"help", *itertools.chain.from_iterable((flag, f"no{flag}") for flag in flags[name])}
        for name in names
    }


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_flags_of_the_text_exist(page, flags_of):
    # The Kubernetes file, which cannot be run here, names a command too.
    yaml = [
        line.strip()
        for block in BLOCKS
        if block.page == page and block.language == "yaml"
        for line in block.text.splitlines()
    ]
    changed = {
        flag for change in changes() for flag in re.findall(r"^\+ +(\w+): .* = option\(", change.block.text)
    }
    every = {*set.union(*flags_of.values()), *changed, *OTHERS_FLAGS}
    groups = {name.split()[0]: every for name in flags_of if " " in name}  # `keras-resnet experiment`
    new = {"labels", "train"} if page == "docs/extending.md" else set()
    for span in [*spans(page), *yaml]:
        words = span.removeprefix("exec ").split()
        flags = {flag for word in words for flag in re.findall(r"^--(\w+)", word)}
        if words[0] == "keras-resnet" and len(words) > 1 and re.match("[a-z]", words[1]):
            name = " ".join(words[1:3] if words[1] in groups else words[1:2])
            assert name in {*flags_of, *groups, *new}, f"{page}: {span}"
            assert flags <= {**groups, **flags_of}.get(name, set()) or name in new, f"{page}: {span}"
        elif words[:2] == ["python", "train.py"] or words[:1] == ["train.py"]:
            assert flags <= flags_of["train"], f"{page}: {span}"
        elif words[0].endswith(".py") and flags:
            assert flags <= _benchmark_flags(ROOT / words[0]), f"{page}: {span}"
        elif words[0] not in ("tfds", "pip-audit"):
            assert flags <= every, f"{page}: {span}"


@pytest.mark.parametrize("page", PAGES)
def test_names_and_paths_of_the_text_exist(page):
    new = {change.path for change in changes()}
    for span in spans(page):
        for target in re.findall(r"\bmake ([a-z][\w-]*)", span):
            assert target in TARGETS, f"{page}: {span}"
        for name in re.findall(r"\bkeras_resnet(?:\.\w+)+", span):
            assert _resolves(name), f"{page}: {span}"
        for path in re.findall(r"(?<![\w/])(?:tests|benchmarks|docs|keras_resnet)/[\w./-]+\w", span):
            assert (ROOT / path).exists(), f"{page}: {span}"
        # Pages about the code name its files without the package.
        if page in ("docs/architecture.md", "docs/extending.md") and re.fullmatch(
            r"\w[\w/]*/\w+\.(py|js)", span
        ):
            assert span in new or (PACKAGE / span).exists() or (ROOT / span).exists(), f"{page}: {span}"
    for name in re.findall(r"^::: (\S+)|\[(keras_resnet\.\S+)\]", prose(page), re.MULTILINE):
        assert _resolves("".join(name)), f"{page}: {''.join(name)}"


def _resolves(name):
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], start=2):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(".".join(parts[:number]))
            except ImportError:
                return False
    return True
