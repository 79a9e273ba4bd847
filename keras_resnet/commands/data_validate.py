"""`keras-resnet data validate`: the files of a folder that training cannot use, by path."""

import collections
import concurrent.futures
import functools
import os
import pathlib
import sys

from absl import flags

from keras_resnet.countdown import Countdown
from keras_resnet.data.folder import SUFFIXES, pictures
from keras_resnet.data.validate import findings
from keras_resnet.errors import UserError

ARGUMENT = "FOLDER"
FLAGS = flags.FlagValues()
flags.DEFINE_integer(
    "processes",
    None,
    "That read files side by side; by default one for each core.",
    lower_bound=1,
    flag_values=FLAGS,
    module_name="The work",
)


def run(folder: str) -> int:
    """Read every picture and print what is odd; returns the exit status."""
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder} is no folder; give the one that holds the classes' folders.")
    files = pictures(root)
    if not files:
        raise UserError(f"{folder} holds no pictures; they end in {', '.join(SUFFIXES)}.")
    others = collections.Counter(
        path.suffix.lower() or "no suffix"
        for path in root.rglob("*")
        if path.is_file() and path.suffix.lower() not in SUFFIXES and not path.name.startswith(".")
    )
    kinds: collections.Counter[tuple[str, bool]] = collections.Counter()
    unusable = 0
    left = Countdown(len(files), functools.partial(print, file=sys.stderr), "files")
    with concurrent.futures.ProcessPoolExecutor(FLAGS.processes or os.cpu_count()) as pool:
        for found in pool.map(findings, files, chunksize=16):
            for finding in found:
                kinds[finding.kind, finding.unusable] += 1
                told = f"{finding.path}: {finding.kind}: {finding.detail}"
                # The name of a file may be no UTF-8.
                print(told.encode(errors="backslashreplace").decode(), flush=True)
            unusable += any(finding.unusable for finding in found)
            left.add(1)
    print(f"{len(files):,} pictures, {unusable:,} of them unusable.")
    for (kind, cannot), count in kinds.most_common():
        print(f"  {count:6,}  {kind}{', cannot be used' if cannot else ', converted'}")
    for suffix, count in others.most_common():
        print(f"  {count:6,}  {suffix}, not looked at")
    return 1 if unusable else 0
