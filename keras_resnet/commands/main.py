"""`keras-resnet COMMAND ...`: finds the command, and turns a user's mistake into one sentence."""

import contextlib
import importlib
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import NoReturn

from absl import flags

from keras_resnet.errors import UserError
from keras_resnet.training.interruption import Interrupted

# What each command does; its module is called like it. Each has FLAGS and run(); one that takes arguments has
# their names as ARGUMENT, with dots behind the last where there may be more.
_COMMANDS = {
    "train": "train a net on a dataset and export it as Keras model, SavedModel and TFLite file.",
    "evaluate": "test runs, .keras, SavedModel and .tflite files on a dataset; several as an ensemble too.",
    "export": "export a finished run as SavedModel, TFLite files and web page, compared with the model.",
    "predict": "say what is on pictures: files, folders, or - for one on standard input.",
    "explain": "draw which parts of a picture speak for a class. (Grad-CAM, Selvaraju et al. 2017)",
    "precise_bn": "take BN's statistics of a finished run anew, over training images.",
    "experiment degradation": "train plain and residual nets of several depths: does depth hurt? (Fig. 6)",
    "experiment shortcuts": "train a net with shortcut options A, B, C and without. (Table 3)",
    "experiment responses": "draw how strongly each 3x3 layer of trained nets responds. (Fig. 7)",
    "inspect": "print a net stage by stage: output size, parameters, multiply-adds, the paper's figures.",
    "weights": "list the public weights: net, accuracy, how it was measured, preprocessing, licence, file.",
    "convert": "turn public weights, or a .pth, .safetensors or .h5 file, into .weights.h5 or .keras.",
    "data inspect": "print a dataset's classes, sizes and speed, and draw a sheet of augmented samples.",
    "data validate": "find damaged, misnamed and odd pictures in a folder; status 1 for unusable ones.",
}

_SECONDS_TO_NEXT_TRY = 0.3


def run_and_exit(argv: Sequence[str] | None = None) -> NoReturn:
    """`main`, and the end of the process with its status."""
    try:
        status = main(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads the output has enough. Python would complain of the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception:
        traceback.print_exc()
        status = 1
    if status and "tensorflow" in sys.modules:
        # A thread that reads images may still be at work when an error ends a command; Python's own end waits
        # for it for ever, or aborts.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status.

    0, 1 where a command looked for faults and found some, 2 for a user's mistake, 130 for Ctrl-C, 143 for
    SIGTERM.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(_overview())
        return 0
    words = 2 if " ".join(argv[:2]) in _COMMANDS else 1
    name, arguments = " ".join(argv[:words]), argv[words:]
    if name not in _COMMANDS:
        return _refuse("", f"there is no command {name!r}; the commands are {', '.join(_COMMANDS)}.")
    command = importlib.import_module(f"keras_resnet.commands.{name.replace(' ', '_')}")
    argument = getattr(command, "ARGUMENT", "")
    if any(given in ("--help", "-help", "-h") for given in arguments):
        usage = f"{name} {argument}" if argument else name
        print(f"keras-resnet {usage}: {_COMMANDS[name]}\n\n{_flags_help(command.FLAGS)}")
        return 0
    # Most of TensorFlow's start-up messages say nothing a user can act on; set it to 0 to see all.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    command.FLAGS.unparse_flags()  # of an earlier call in the same process
    try:
        rest = command.FLAGS([name, *arguments])[1:]
        wanted = argument.split()
        if len(rest) < len(wanted):
            raise UserError(f"{wanted[len(rest)]} is missing: keras-resnet {name} {argument}.")
        if len(rest) > len(wanted) and not argument.endswith("..."):
            raise UserError(f"{rest[-1]!r} is no flag; flags look like --depth=20.")
        with _terminable():
            return command.run(*rest) or 0
    except flags.IllegalFlagValueError as error:
        return _refuse(name, f"{error}; {_help_of_named(command.FLAGS, str(error))}")
    except (UserError, flags.Error) as error:
        return _refuse(name, str(error))
    except BrokenPipeError:
        raise  # which is no error of a file
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


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: what it has begun to write goes away.

    Where the signal arrives inside a finaliser, Python drops what is raised there; so it is raised again
    until it is on its way.
    """

    def end(*_):
        if _is_ending(sys.exc_info()[1]):
            return
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_NEXT_TRY)
        sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread listen to signals
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
    """Whether the end of the process is being handled, or an error that came up meanwhile."""
    while error is not None and not isinstance(error, SystemExit):
        error = error.__context__
    return error is not None


def _refuse(command: str, message: str) -> int:
    one_line = " ".join(message.split())
    print(f"keras-resnet{command and f' {command}'}: {one_line}", file=sys.stderr)
    return 2


def _help_of_named(values: flags.FlagValues, message: str) -> str:
    _, named, *_ = re.split(r"--(\w+)", message)
    return f"--{named} is: {values[named].help}"


def _overview() -> str:
    commands = "\n".join(f"  {name:24}{summary}" for name, summary in _COMMANDS.items())
    return (
        f"Residual networks as in the paper (He et al. 2015).\n\n{commands}\n\n"
        "`keras-resnet COMMAND --help` lists a command's flags."
    )


def _flags_help(values: flags.FlagValues) -> str:
    return "\n\n".join(
        f"{group}:\n" + "\n".join(_flag_help(flag) for flag in defined)
        for group, defined in values.flags_by_module_dict().items()
    )


def _flag_help(flag: flags.Flag) -> str:
    default = f" (default {flag.default_as_str})" if flag.default is not None else ""
    return f"  --{flag.name:19} {flag.help}{default}"
