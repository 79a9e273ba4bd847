"""Every command, block of code, change, link and name in the documentation is tried.

A command runs in this process, on what stands in for `RUN`, `FOLDER` and the other words of the pages. What
trains is run as far as its plan; `make test-slow` trains by each such line, for a few steps.
"""

import dataclasses
import functools
import importlib
import inspect
import io
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from doc_pages import (
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
from litertjs import install
from pictures import PHOTOS, encoded
from public_files import torch_state, write_torch_file

from keras_resnet.commands.main import main
from keras_resnet.data import digits, sources, survey
from keras_resnet.data.arrays import split_of_arrays
from keras_resnet.data.source import Source

PACKAGE = ROOT / "keras_resnet"
# Lines of shell that start something else, as they begin.
OTHERS = (
    "curl ",
    "docker run ",
    "echo ",
    "export TF_CONFIG=",
    "if [ $status = ",
    "npm install @litertjs/core",
    "pip install .",
    "python -m http.server ",
    "status=$?",
)
# Each is here, so that another one is noticed.
NOT_RUN = {("README.md", "downloads the weights"), ("docs/weights.md", "downloads the weights")}
# Flags that the text names of others: SLURM's.
OTHERS_FLAGS = {"signal"}
TFDS = ("cifar10", "fashion_mnist", "imagenet2012")
TRAINING = (("train",), ("experiment", "degradation"), ("experiment", "shortcuts"))
# More than a few seconds each, and tried elsewhere at another size; `make test-slow` runs them.
LONG = {
    "evaluate RUN --views=multi_scale",
    "evaluate RUN --views=multi_scale --sides=224,256,384",
    "experiment responses plain-20-seed0/model.keras plain-56-seed0/model.keras "
    "residual-20-seed0/model.keras residual-56-seed0/model.keras --dataset=fashion_mnist "
    "--output_dir=../responses",
    "export RUN --tflite=int8 --max_accuracy_drop=0.5",
    "export RUN --tflite=float16,int8",
    "export RUN --tflite=float32,float16,dynamic,int8 --saved_model --web",
    "precise_bn RUN --images=10000",
}
# What the page calls the run.
RUN_NAME = "resnet18-B-FOLDER"


def _commands():
    """Each command once, with the places where it stands and the text that it is said to print."""
    found = {}
    for number, block in enumerate(BLOCKS):
        if block.language != "sh" or block.reason is not None:
            continue
        printed = [
            follows.text
            for follows in BLOCKS[number + 1 : number + 2]
            if follows.language == "text"
            and follows.page == block.page
            and follows.before.startswith(block.before)  # no heading between the two
        ]
        for command in filter(None, map(own_command, shell_lines(block.text))):
            places, texts = found.setdefault(command, ([], []))
            places.append(block.place)
            texts.extend(printed)
    return found


COMMANDS = _commands()


def _trains(command):
    return "--help" not in command and any(command[: len(name)] == name for name in TRAINING)


def _is_long(command):
    return _trains(command) or " ".join(command) in LONG


def _each(commands):
    return pytest.mark.parametrize("command", commands, ids=[" ".join(command) for command in commands])


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """FOLDER, as the lines of the quickstart write it."""
    (block,) = [block for block in of_language("python") if block.page == "docs/quickstart.md"]
    here = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        _execute(block, {})
    return here / "FOLDER"


@pytest.fixture(scope="session")
def finished(folder, tmp_path_factory):
    """RUN: a net that this package has trained, for a moment, with all of its files."""
    here = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command would, before TensorFlow
        patch.chdir(here)
        (here / "FOLDER").symlink_to(folder)
        made = f"train --dataset=FOLDER --depth=8 --epochs=1 --run_name={RUN_NAME} --output_dir=."
        assert main([*made.split(), "--export=saved_model,float32,int8"]) == 0
    return here / RUN_NAME


@pytest.fixture(scope="session")
def cats(tmp_path_factory):
    """A run of cats and dogs, as far as `explain` looks into it, with the layer that the page names."""
    import keras

    from keras_resnet.models.architectures import Architecture
    from keras_resnet.training.classifier import build_classifier

    keras.utils.set_random_seed(0)
    run = tmp_path_factory.mktemp("cats") / "RUN"
    run.mkdir()
    net = Architecture("cats", (1, 1, 6), (16, 32, 64), stem="cifar", shortcut="A")
    build_classifier(net, 32, 3, 2, np.full((32, 32, 3), 128, "float32")).save(run / "model.keras")
    (run / "labels.txt").write_text("cat\ndog\n")
    (run / "run.json").write_text(json.dumps({"about": {"preprocessing": {"whole": True}}}))
    return run


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """resnet18.pth: random weights as torchvision writes them."""
    import keras_resnet

    path = tmp_path_factory.mktemp("published") / "resnet18.pth"
    write_torch_file(path, torch_state(keras_resnet.ResNet18()))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr(survey, "_SECONDS", 0.1)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def given(here, request, monkeypatch):
    """Puts what a command names into the folder; gives its words, with paths that are there."""

    def supply(command):
        words = [word.replace("/shared/", "shared/").replace("RUN...", "RUN") for word in command]
        # Pictures first: what RUN is depends on them.
        for name in sorted({re.sub(r"^--\w+=", "", word) for word in words}, key=str.islower, reverse=True):
            _supply(name, here, request)
        if "--web" in words:
            install(here)
        return words

    find = sources.find

    def stand_in(name, *arguments, **options):
        if name not in TFDS:
            return find(name, *arguments, **options)
        return _digits_called(name)

    monkeypatch.setattr(sources, "find", stand_in)
    return supply


def _supply(name, here, request):
    """Put there what a word of the pages stands for; nothing where it is there or no name of a file."""
    path = here / name
    if path.exists():
        return
    if name.startswith("RUN") and (here / "cat.jpg").exists():
        shutil.copytree(request.getfixturevalue("cats"), here / "RUN")
    elif name.startswith("RUN"):
        # The name in tables is that of the folder behind the link.
        shutil.copytree(request.getfixturevalue("finished"), here / "saved_models" / RUN_NAME)
        (here / "RUN").symlink_to(here / "saved_models" / RUN_NAME)
        _supply("FOLDER", here, request)  # whose pictures it has learned
    elif re.fullmatch(r"saved_models/(\w+/)?shallow", name):
        shutil.copytree(request.getfixturevalue("finished"), path)
    elif re.fullmatch(r"[\w-]+/model\.(keras|tflite)|other\.keras", name):
        path.parent.mkdir(exist_ok=True)
        shutil.copy(request.getfixturevalue("finished") / f"model{path.suffix}", path)
    elif name in ("FOLDER", "FOLDER_OR_NAME"):
        path.symlink_to(request.getfixturevalue("folder"))
    elif name == "more/":
        shutil.copytree(request.getfixturevalue("folder") / "digit-3", path)
    elif name.endswith(".jpg"):
        path.write_bytes(encoded(PHOTOS[0]))
    elif name == "resnet18.pth":
        path.symlink_to(request.getfixturevalue("published"))


@functools.cache
def _digits_called(name):
    """Images and classes as FOLDER's, enough for all that the pages ask of a dataset of TFDS."""
    images, labels = (np.concatenate([part] * 9) for part in digits.load("train"))
    return Source(
        name=name,
        class_names=tuple(f"digit-{number}" for number in range(10)),
        image_shape=digits.IMAGE_SHAPE,
        train=split_of_arrays("train", images, labels),
        test=split_of_arrays("test", images[:100], labels[:100]),
        mirrored=name != "fashion_mnist",
    )


class _Planned(Exception):
    """All that can be refused has been read, and the work would begin."""


@pytest.fixture
def planned(monkeypatch):
    def stop(*_, **__):
        raise _Planned

    for name in (
        "training.strategy.make_strategy",
        "experiments.trainings.run_trainings",
        "evaluation.opened.load_keras",
        "evaluation.opened.open_model",
    ):
        monkeypatch.setattr(f"keras_resnet.{name}", stop)


def _shape(line):
    """A line without what differs from one net, machine and moment to another."""
    line = re.sub(r"#+$", "", line)
    line = re.sub(r"[-+]?\d[\d.,]*(e[-+]\d+)?", "0", line)
    return " ".join(re.sub(r"\b0 (h|min|s)\b( 0 (min|s)\b)*", "0 s", line).split())


def _check_prints(command, out):
    shown = iter([_shape(line) for line in out.splitlines()])
    for text in COMMANDS[command][1]:
        for line in map(_shape, text.splitlines()):
            assert line in shown, f"{COMMANDS[command][0]}: not printed, or not in this order: {line}\n{out}"


def _run(words, command, capsys):
    status = main(words)
    out, errors = capsys.readouterr()
    assert status == 0, f"{COMMANDS[command][0]}: {errors}"
    _check_prints(command, out)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, id=" ".join(command), marks=pytest.mark.slow if _is_long(command) else ())
        for command in COMMANDS
        if not _trains(command)
    ],
)
def test_command_does_what_it_is_said_to(command, given, capsys):
    words = given(command)
    if "--max_accuracy_drop" in " ".join(words):
        words.append("--max_accuracy_drop=100")  # what has been trained for a moment is not worth more
    if command[0] == "precise_bn":
        words.append("--images=500")  # FOLDER has no more
    _run(words, command, capsys)


@_each(list(filter(_is_long, COMMANDS)))
def test_long_command_is_planned(command, given, planned):
    words = given(command)
    if command[0] == "precise_bn":
        words.append("--images=500")
    with pytest.raises(_Planned):
        pytest.fail(f"{COMMANDS[command][0]}: status {main(words)}")


def test_long_commands_are_in_the_pages():
    assert {" ".join(command) for command in COMMANDS} >= LONG


def _for_a_moment(words):
    """The flags that leave of a training what takes seconds, behind those of the page."""
    told = " ".join(words)
    if words[0] == "experiment":
        if "shortcuts" in words:
            size = ["--depth=8", "--iterations=20"]
        elif "--quick" in words:
            size = ["--depths=4,8", "--iterations=20"]
        else:
            size = ["--depths=8,14", "--iterations=24"]
        return [*words, *size, "--seeds=1", "--batch_size=32"]
    if "--weights=torchvision" in told:
        words = [*words, "--weights=torchvision-v1", "--depth=18"]  # `published`
    elif "--weights" not in told and "--dry_run" not in words:
        words = [*words, "--depth=14" if "--grow_from" in told else "--depth=8"]
    if "--dry_run" in words:
        return words
    return [*words, "--epochs=1" if "--epochs" in told else "--iterations=2"]


@pytest.mark.slow
@_each(list(filter(_trains, COMMANDS)))
def test_training_does_what_it_is_said_to(command, given, published, monkeypatch, capsys):
    from keras_resnet.weights.registry import PublicWeights

    monkeypatch.setattr(PublicWeights, "fetch", lambda *_, **__: published)
    _run(_for_a_moment(given(command)), command, capsys)


def test_lines_of_others_are_known():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in of_language("sh"):
        for line in filter(lambda line: own_command(line) is None, shell_lines(block.text)):
            words = shlex.split(line, comments=True)
            if words[0] == "make":
                assert set(words[1:]) <= targets, f"{block.place}: {line}"
            elif words[0] == "cd":
                assert (ROOT / words[1]).is_dir(), f"{block.place}: {line}"
            elif words[0] == ".venv/bin/python":
                script = ROOT / words[1]
                asked = {re.match(r"--(\w+)", word)[1] for word in words[2:]}
                assert asked <= _benchmark_flags(script), f"{block.place}: {line}"
            else:
                assert line.startswith(OTHERS), f"{block.place}: {line} is neither ours nor known"


def _benchmark_flags(script):
    """What a benchmark names as its flags, itself or as the options that `compare.py` makes flags of."""
    assert script.is_file(), script
    told = script.read_text()
    options = re.findall(r"options=\{([^}]*)\}", told)
    return {
        *re.findall(r'add_argument\(\s*"--(\w+)"', told),
        *re.findall(r'"(\w+)":', " ".join(options)),
    }


def test_exported_cluster_names_its_machines(monkeypatch):
    import tensorflow as tf

    clusters = [
        shlex.split(line)[1].split("=", 1)
        for block in of_language("sh")
        for line in shell_lines(block.text)
        if line.startswith("export ")
    ]
    assert clusters
    for name, value in clusters:
        monkeypatch.setenv(name, value)
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        assert resolver.cluster_spec().num_tasks(resolver.task_type) == 2
        assert resolver.task_id == 0


def test_blocks_that_are_not_run_are_these():
    found = [(block.page, block.reason) for block in BLOCKS if block.reason is not None]
    assert sorted(found) == sorted(NOT_RUN), "a block more or less has a comment `not run:`"
    assert all(reason for _, reason in found)
    # A comment that stands above no block exempts nothing.
    comments = sum(page.count("<!-- not run:") for page in PAGES.values())
    assert comments == len(found)


def test_blocks_are_of_languages_that_are_tried():
    """Kotlin, Swift and Kubernetes are nothing that these tests could start."""
    assert {block.language for block in BLOCKS} == {"sh", "python", "text", "diff", "kotlin", "swift", "yaml"}


def _execute(block, names):
    # With its lines where they stand on the page, for tracebacks.
    code = compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec")
    exec(code, names)


def _batches(count=2):
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1)).astype("float32")
    return tf.data.Dataset.from_tensors((images, np.arange(8) % 10)).repeat(count)


@pytest.fixture
def words_of_page(here, request, monkeypatch):
    """The names, and in the folder the files, that a page speaks of without making them."""

    def words(page):
        if page == "docs/extending.md":
            (here / "resnet18.pth").symlink_to(request.getfixturevalue("published"))
        if page in ("docs/extending.md", "docs/training.md"):
            return {"train_batches": _batches(), "validation_batches": _batches(1)}
        if page == "docs/deployment.md":
            monkeypatch.chdir(shutil.copytree(request.getfixturevalue("finished"), here / "RUN"))
            pathlib.Path("photo.png").write_bytes(encoded(PHOTOS[0], "PNG"))
        if page == "docs/evaluation.md":
            import keras_resnet

            run = request.getfixturevalue("finished")
            shutil.copy(run / "model.tflite", here)
            images = _digits_called("digits").test.read(None).map(lambda index, image, label: (image, label))
            return {
                "model": keras_resnet.load_model(run / "model.keras"),
                "class_names": (run / "labels.txt").read_text().split(),
                "images": images,
            }
        return {}

    return words


@pytest.mark.parametrize("page", list(dict.fromkeys(block.page for block in of_language("python"))))
def test_python_runs(page, words_of_page, monkeypatch):
    from keras_resnet.training import RECIPES

    monkeypatch.setitem(RECIPES, "plateau", dataclasses.replace(RECIPES["plateau"], epochs=1))
    names = words_of_page(page)
    for block in of_language("python"):
        if block.page == page:
            _execute(block, names)


def test_lines_that_write_pictures_write_600(folder):
    assert len(list(folder.iterdir())) == 10
    assert len(list(folder.glob("digit-*/*.png"))) == 600


def test_signatures_are_as_the_api_has_them():
    import keras_resnet

    (block,) = [block for block in BLOCKS if block.page == "docs/api/models.md" and block.language == "text"]
    told = re.findall(r"^(\w+)\((.*?)^\)", block.text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in told] == ["ResNet50", "CifarResNet"]
    for name, arguments in told:
        signature = inspect.signature(getattr(keras_resnet, name))
        parameters = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in signature.parameters.values()
        ]
        shown = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
        assert shown == f"({' '.join(arguments.split())})"


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The repository with every change that the pages show."""
    copy = tmp_path_factory.mktemp("changed")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("keras_resnet", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    for change in changes():
        file = copy / "keras_resnet" / change.path
        content = change.applied_to(file.read_text() if file.exists() else None)
        compile(content, str(file), "exec")
        file.write_text(content)
    return copy


_CHANGES_SHOW = """
import json, sys
from keras_resnet.commands.main import main
import keras_resnet
assert keras_resnet.__file__.startswith(sys.argv[1]), keras_resnet.__file__
for command in json.load(sys.stdin):
    print("$", " ".join(command), flush=True)
    status = main(command)
    assert status == 0, (command, status)
"""


def test_changes_are_there_at_once(changed, here, finished):
    (here / "RUN").symlink_to(finished)
    images, labels = digits.load("test")
    arrays = {
        f"{split}_{kind}": part
        for split in ("train", "test")
        for kind, part in (("images", images), ("labels", labels))
    }
    np.savez(here / "scans.npz", **arrays)
    commands = [
        "--help",
        "labels --help",
        "labels RUN --numbers",
        "weights",
        "inspect --depth=10",
        "train --dataset=scans.npz --depth=8 --recipe=short --dry_run",
    ]
    result = subprocess.run(
        [sys.executable, "-c", _CHANGES_SHOW, str(changed)],
        input=json.dumps([command.split() for command in commands]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(changed)},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    overview, usage, classes, weights, net, plan = re.split(r"^\$ .*\n", result.stdout, flags=re.MULTILINE)[
        1:
    ]
    assert "labels" in overview
    assert "--numbers" in usage
    assert classes.splitlines() == [f"{number} digit-{number}" for number in range(10)]
    assert "timm-a2" in weights
    assert net.startswith("resnet10, shortcut B")
    assert "one cycle of the learning rate (Smith 2018), in a tenth" in plan
    assert "scans.npz: 355 training and 355 test images" in plan


@pytest.mark.slow
def test_one_test_fails_for_the_net_more(changed):
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/models/test_architectures.py",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=changed,
        env={**os.environ, "PYTHONPATH": str(changed)},
    )
    assert re.search(r"^1 failed, \d+ passed", result.stdout, re.MULTILINE), result.stdout[-2000:]
    assert "test_no_such_net" in result.stdout


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
def help_of():
    """What `--help` lists: the flags by command."""

    def told(*command):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", io.StringIO())
            assert main([*command, "--help"]) == 0
            return sys.stdout.getvalue()

    names = re.findall(r"^  (\w+(?: \w+)?)  +\S", told(), re.MULTILINE)
    flags = {name: re.findall(r"^  --(\w+)", told(*name.split()), re.MULTILINE) for name in names}
    return {
        name: {"help", *itertools.chain.from_iterable((flag, f"no{flag}") for flag in flags[name])}
        for name in names
    }


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_flags_of_the_text_exist(page, help_of):
    # Kubernetes' file, which nothing here could start, names a command too.
    yaml = [
        line.strip()
        for block in BLOCKS
        if block.page == page and block.language == "yaml"
        for line in block.text.splitlines()
    ]
    every = set.union(*help_of.values())
    groups = {name.split()[0]: every for name in help_of if " " in name}  # `keras-resnet experiment`
    for span in [*spans(page), *yaml]:
        words = span.removeprefix("exec ").split()
        flags = {flag for word in words for flag in re.findall(r"^--(\w+)", word)}
        if words[0] == "keras-resnet" and len(words) > 1 and re.match("[a-z]", words[1]):
            name = " ".join(words[1:3] if words[1] in groups else words[1:2])
            assert name in {*help_of, *groups}, f"{page}: {span}"
            assert flags <= {**groups, **help_of}[name], f"{page}: {span}"
        elif words[:2] == ["python", "train.py"] or words[:1] == ["train.py"]:
            assert flags <= help_of["train"], f"{page}: {span}"
        elif words[0].endswith(".py") and flags:
            assert flags <= _benchmark_flags(ROOT / words[0]), f"{page}: {span}"
        elif words[0] not in ("tfds", "pip-audit"):
            assert flags <= every | OTHERS_FLAGS, f"{page}: {span}"


@pytest.mark.parametrize("page", PAGES)
def test_names_of_the_text_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for span in spans(page):
        for target in re.findall(r"\bmake ([a-z][\w-]*)", span):
            assert target in targets, f"{page}: {span}"
        for name in re.findall(r"\bkeras_resnet(?:\.\w+)+", span):
            assert _resolves(name), f"{page}: {span}"
        for path in re.findall(r"(?<![\w/])(?:tests|benchmarks|docs|keras_resnet)/[\w./-]+\w", span):
            assert (ROOT / path).exists(), f"{page}: {span}"
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


def _rows(heading):
    """What the second column of the house's table below this heading names, row by row."""
    table = prose("docs/architecture.md").split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    return [line.split("|")[2].strip() for line in table.splitlines() if line.startswith("|") and "`" in line]


@pytest.mark.parametrize("where", [*_rows("The way of one image"), *_rows("Where to change ...")])
def test_what_the_house_names_is_in_its_file(where, help_of):
    file = None
    for span in re.findall(r"`([^`]+)`", where):
        if span.endswith((".py", ".js")):
            # Without a folder, in that of the one before.
            file = PACKAGE / span if "/" in span else file.parent / span
            assert file.is_file(), where
        elif span not in help_of:
            for name in re.findall(r"\w+", span):
                assert re.search(rf"\b{name}\b", file.read_text()), f"{name} is not in {file}"
