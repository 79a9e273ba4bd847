"""The flags that say which files are exported, shared by `train` and `export`."""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from keras_resnet.errors import UserError
from keras_resnet.export.exports import FILES, UNDECODABLE, WEB, Exports

GROUP = "The files"


def define(values: flags.FlagValues) -> None:
    """Add the flags to a command's."""
    group: dict[str, Any] = {"flag_values": values, "module_name": GROUP}
    flags.DEFINE_float(
        "max_accuracy_drop",
        None,
        "Points by which a file's accuracy may be below the model's; a worse one is removed: an error.",
        lower_bound=0.0,
        **group,
    )
    flags.DEFINE_enum(
        "undecodable",
        "error",
        list(UNDECODABLE),
        "What a damaged picture does to the SavedModel's serve_bytes: fail the call, or give NaN for itself.",
        **group,
    )
    flags.DEFINE_string(
        "litertjs", ".", "For the web page: where npm installed @litertjs/core, or that package.", **group
    )


def exports(values: flags.FlagValues, asked: Sequence[str], flag: str) -> Exports:
    """What to export.

    Args:
        asked: kinds of `FILES`, and "web".
        flag: by which they were asked for.

    Raises:
        UserError: there is no such kind, or the web page's runtime is not there.
    """
    for kind in asked:
        if kind not in (*FILES, WEB):
            raise UserError(f"--{flag}={kind} is none of {', '.join((*FILES, WEB))}.")
    wanted = Exports(
        # The page's net is compared with the model as well.
        kinds=tuple(kind for kind in FILES if kind in asked or (kind == "float32" and WEB in asked)),
        litertjs=pathlib.Path(values.litertjs) if WEB in asked else None,
        max_accuracy_drop=values.max_accuracy_drop,
        undecodable=values.undecodable,
    )
    wanted.check()
    return wanted
