"""What `keras-resnet` says of itself: its commands, their flags, and what is none of them."""

import re

import pytest
from helpers.running import run_command

from keras_resnet.cli.main import main

COMMANDS = (
    "train",
    "evaluate",
    "export",
    "predict",
    "explain",
    "precise_bn",
    "experiment degradation",
    "experiment shortcuts",
    "experiment responses",
    "inspect",
    "weights",
    "convert",
    "data inspect",
    "data validate",
    "data shrink",
)
each = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture
def answer(capsys):
    """A command in this process: (status, output, errors)."""

    def run(*arguments):
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


def test_module_is_the_command(answer):
    result = run_command("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == answer("--help")[1]


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)], ids=" ".join)
def test_overview_lists_the_commands_with_a_line_for_each(answer, arguments):
    status, out, errors = answer(*arguments)
    assert (status, errors) == (0, "")
    listed = re.findall(r"^  (\w+(?: \w+)?)  +\S.*[.)]$", out, re.MULTILINE)
    assert listed == list(COMMANDS)


@each
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_command_lists_its_arguments_and_flags(answer, name, flag):
    status, out, errors = answer(*name.split(), flag)
    assert (status, errors) == (0, "")
    head, _, groups = out.partition("\n\n")
    assert re.fullmatch(rf"keras-resnet {name}( \[?[A-Z]+)*(\.\.\.)?\]?: \S.*[.)]", head)
    for group in groups.strip().split("\n\n"):
        title, *listed = group.splitlines()
        assert re.fullmatch(r"[A-Z].*:", title)
        assert listed
        for line in listed:
            assert re.match(r"  --[a-z\d_]+ +\S.*[.)]$", line), line


@each
def test_flag_that_is_none_is_refused(answer, name):
    status, out, errors = answer(*name.split(), "--no_such_flag=1")
    assert (status, out) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"keras-resnet {name}: ")
    assert "no_such_flag" in line


@pytest.mark.parametrize("arguments", [("retrain",), ("experiment",), ("data", "train"), ("--depth=20",)])
def test_command_that_is_none_is_refused_with_those_that_are(answer, arguments):
    status, out, errors = answer(*arguments)
    assert (status, out) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"keras-resnet: there is no command {arguments[0]!r}; ")
    assert line.endswith(f"commands are {', '.join(COMMANDS)}.")
