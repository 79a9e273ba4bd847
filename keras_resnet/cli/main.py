"""`keras-resnet COMMAND ...`: finds the command, and prints a user's mistake as one sentence."""

import contextlib
import difflib
import importlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import NoReturn

from absl import flags

from keras_resnet.cli.flags import with_dashes
from keras_resnet.errors import UserError
from keras_resnet.training.signals import Interrupted

# What each command does; its module has the same name. Each has FLAGS and run(); one that takes arguments has
# their names as ARGUMENT, with dots behind the last where there may be more. One with LOG_TO_STDERR prints
# nothing but its result to stdout.
_COMMANDS = {
    "train": "Train a model on a dataset and export it as Keras model, SavedModel and TFLite file.",
    "evaluate": "Test runs, .keras, SavedModel and .tflite files on a dataset, each and as an ensemble.",
    "export": "Export a finished run as SavedModel, TFLite files or web page, compared with the model.",
    "predict": "Name the most probable classes of images: files, folders, or - for standard input.",
    "explain": "Draw which parts of an image speak for a class (Grad-CAM, Selvaraju et al. 2017).",
    "precise_bn": "Recompute the batch-norm statistics of a finished run over training images.",
    "experiment degradation": "Train plain and residual networks of several depths: does depth hurt? (Fig. "
    "6)",
    "experiment shortcuts": "Train a network with shortcut options A, B, C and without shortcuts (Table 3).",
    "experiment responses": "Draw how strongly each 3x3 layer of trained models responds (Fig. 7).",
    "inspect": "Print an architecture stage by stage: output size, parameters, MACs, the paper's figures.",
    "weights": "List the public weights: architecture, accuracy, how it was measured, license, file.",
    "convert": "Convert public weights, or a .pth, .safetensors or .h5 file, to .weights.h5 or .keras.",
    "data inspect": "Print a dataset's classes, sizes and speed, and draw a sheet of augmented samples.",
    "data validate": "Find unusable, unusual and duplicate images of a folder or table; status 1 if any is "
    "unusable.",
    "data shrink": "Copy a folder of large images at a smaller size, which training reads faster.",
}

_SECONDS_TO_NEXT_TRY = 0.3


def run_and_exit(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs `main` and ends the process with its status."""
    try:
        status = main(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has enough. Python would complain about the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception:
        traceback.print_exc()
        status = 1
    if status and {"tensorflow", "jax"} & set(sys.modules):
        # A thread that reads images may still run when an error ends a command; Python's own exit would wait
        # for it forever, or abort, and JAX's would wait for workers that are gone.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit status.

    0; 1 where a command looked for faults and found some; 2 for a user's mistake; 130 for Ctrl-C; 143 for
    SIGTERM.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(_overview())
        return 0
    words = 2 if " ".join(argv[:2]) in _COMMANDS else 1
    name, arguments = " ".join(argv[:words]), argv[words:]
    if name not in _COMMANDS:
        close = difflib.get_close_matches(name, _COMMANDS, 1)
        hint = f"did you mean {close[0]}? The" if close else "the"
        return _refuse("", f"there is no command {name!r}; {hint} commands are {', '.join(_COMMANDS)}.")
    command = importlib.import_module(f"keras_resnet.cli.commands.{name.replace(' ', '_')}")
    argument = getattr(command, "ARGUMENT", "")
    if any(word in ("--help", "-help", "-h") for word in arguments):
        usage = f"{name} {argument}" if argument else name
        print(f"keras-resnet {usage}: {_COMMANDS[name]}\n\n{_flags_help(command.FLAGS)}")
        return 0
    # Most of TensorFlow's start-up messages say nothing a user can act on; set it to 0 to see all.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    command.FLAGS.unparse_flags()  # of an earlier call in the same process
    try:
        rest = command.FLAGS([name, *arguments])[1:]
        expected = argument.split()
        if len(rest) < sum(not word.startswith("[") for word in expected):
            raise UserError(f"{expected[len(rest)]} is missing: keras-resnet {name} {argument}.")
        if len(rest) > len(expected) and not argument.rstrip("]").endswith("..."):
            raise UserError(f"{rest[-1]!r} is not a flag; flags look like --depth=20.")
        with _terminable(), _logging(getattr(command, "LOG_TO_STDERR", False)):
            return command.run(*rest) or 0
    except UserError as error:
        return _refuse(name, with_dashes(error, list(command.FLAGS)))
    except flags.IllegalFlagValueError as error:
        return _refuse(name, str(error).removeprefix("flag "))
    except flags.Error as error:
        return _refuse(name, str(error))
    except BrokenPipeError:
        raise  # which is not an error of a file
    except OSError as error:
        return _refuse(name, f"{error.filename or 'a file'}: {error.strerror or error}.")
    except Interrupted as stopped:
        print(f"\nkeras-resnet {name}: {stopped}", file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        print(f"\nkeras-resnet {name}: interrupted.", file=sys.stderr)
        return 130
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1  # of `_terminable`


class _Printer(logging.Handler):
    """Prints what the package logs: plain lines, and warnings marked as such."""

    def __init__(self, to_stderr: bool):
        super().__init__(logging.INFO)
        self._to_stderr = to_stderr

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"\nWARNING: {text}"
        print(text, file=sys.stderr if self._to_stderr else sys.stdout, flush=True)

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # a reader that is gone ends the command, as it does for print


@contextlib.contextmanager
def _logging(to_stderr: bool) -> Iterator[None]:
    """Prints what the package logs while a command runs."""
    logger, handler = logging.getLogger("keras_resnet"), _Printer(to_stderr)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Lets SIGTERM end a command as Ctrl-C does: what it has begun to write is removed.

    Python drops an exception raised by a signal that arrives inside a finalizer, so it is raised again until
    it takes effect.
    """

    def end(*_):
        if _is_ending(sys.exc_info()[1]):
            return
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_NEXT_TRY)
        sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread handle signals
        return
    numbers = [signal.SIGTERM, *([signal.SIGALRM] if hasattr(signal, "setitimer") else [])]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ending(error: BaseException | None) -> bool:
    """Whether the exit of the process is being handled, or an error that came up during it."""
    while error is not None and not isinstance(error, SystemExit):
        error = error.__context__
    return error is not None


def _refuse(command: str, message: str) -> int:
    one_line = " ".join(message.split())
    print(f"keras-resnet{command and f' {command}'}: {one_line}", file=sys.stderr)
    return 2


def _overview() -> str:
    commands = "\n".join(f"  {name:24}{summary}" for name, summary in _COMMANDS.items())
    return (
        "Residual networks as in the paper (He et al. 2015): train, evaluate, ship.\n\n"
        f"{commands}\n\n`keras-resnet COMMAND --help` lists a command's flags."
    )


def _flags_help(values: flags.FlagValues) -> str:
    return "\n\n".join(
        f"{group}:\n" + "\n".join(f"  --{flag.name:27} {flag.help}" for flag in defined)
        for group, defined in values.flags_by_module_dict().items()
    )
