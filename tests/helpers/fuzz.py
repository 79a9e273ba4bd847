"""Damages weights files: every one must be read, or refused in one sentence; counts the outcomes.

    python tests/helpers/fuzz.py --count=5000

Each kind of file is damaged in a separate process, whose memory may grow by no more than a GiB: a crash of a
C library, or a file that makes a reader allocate without limit, becomes a count.
"""

import argparse
import collections
import math
import multiprocessing
import pathlib
import queue as queues
import random
import resource
import sys
import tempfile

sys.path[:0] = [
    str(pathlib.Path(__file__).parents[folder] / name) for folder, name in ((1, "."), (1, "golden"), (2, "."))
]

FILES = pathlib.Path(__file__).parents[1] / "golden" / "torch_files"
_MEMORY = 2**30
# Seconds that reading a file may take.
_TIMEOUT = 30


def damage(content: bytes, numbers: random.Random) -> bytes:
    """Flips bits, overwrites, deletes, duplicates or truncates: one to eight times."""
    changed = bytearray(content)
    for _ in range(numbers.randint(1, 8)):
        offset = numbers.randrange(max(1, len(changed)))
        length = min(numbers.choice((1, 1, 1, 2, 4, 8, 64)), max(1, len(changed) - offset))
        match numbers.randrange(6):
            case 0:
                changed[offset : offset + 1] = bytes(
                    [changed[offset] ^ 1 << numbers.randrange(8)] if changed else b""
                )
            case 1:
                changed[offset : offset + length] = numbers.randbytes(length)
            case 2:
                changed[offset : offset + length] = b"\xff" * length
            case 3:
                del changed[offset : offset + length]
            case 4:
                other = numbers.randrange(max(1, len(changed)))
                changed[offset:offset] = changed[other : other + length]
            case 5:
                del changed[numbers.randrange(max(1, len(changed))) :]
                changed = changed or bytearray(b"\0")
    return bytes(changed)


def outcomes(path: pathlib.Path, count: int, seed: int = 0) -> collections.Counter:
    """Counts how reading this many damaged copies of a file ends, in a separate process."""
    totals, done = collections.Counter(), 0
    while done < count:
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        child = context.Process(target=_read_all, args=(str(path), done, count, seed, queue))
        child.start()
        while (outcome := _next(queue, child)) is not None:
            totals[outcome] += 1
            done += 1
        if child.exitcode is None:
            child.kill()
            totals["HUNG"] += 1
            done += 1
        elif child.exitcode:
            totals[f"CRASHED with {child.exitcode}"] += 1
            done += 1
    return totals


def _next(queue, child):
    """Returns the child's next outcome; None if it has ended, or timed out."""
    for _ in range(_TIMEOUT * 5):
        try:
            return queue.get(timeout=0.2)
        except queues.Empty:
            if not child.is_alive() and queue.empty():
                child.join()
                return None
    return None


def _read_all(path, first, count, seed, queue):
    from keras_resnet.errors import UserError
    from keras_resnet.weights.read import open_weights

    path = pathlib.Path(path)
    content = path.read_bytes()
    with open_weights(path) as named:  # imports all libraries before memory is limited
        size = sum(array.read().nbytes for array in named.arrays.values())
    now = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, now + _MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, count):
            victim = pathlib.Path(folder, f"damaged{''.join(path.suffixes)}")
            victim.write_bytes(damage(content, random.Random(f"{seed} {path.name} {number}")))
            try:
                with open_weights(victim) as named:
                    # As when loading: arrays of the wrong shape are not read.
                    read = [
                        array.read()
                        for array in named.arrays.values()
                        if array.shape and math.prod(array.shape) * 8 <= 8 * size
                    ]
                queue.put("read" if read else "nothing to read")
            except UserError as error:
                queue.put("refused" if "\n" not in str(error) else f"refused in several lines: {error}")
            except BaseException as error:
                queue.put(f"{type(error).__name__}: {error}")


def make_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes a small model's weights in every supported format."""
    import h5py
    import numpy as np

    values = dict(np.load(FILES / "values.npz"))
    layers = {
        "conv1_conv": {"kernel": values["conv1.weight"].transpose(2, 3, 1, 0)},
        "conv1_bn": dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), values["bn1.weight"]),
        "predictions": {"kernel": values["fc.weight"].T, "bias": values["fc.bias"]},
    }
    with h5py.File(folder / "legacy.h5", "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, variables in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{variable}:0".encode() for variable in variables]
            for variable, value in variables.items():
                group[f"{name}/{variable}:0"] = value
    with h5py.File(folder / "ours.weights.h5", "w") as file:
        for name, variables in layers.items():
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            for number, value in enumerate(variables.values()):
                group[str(number)] = value
    names = ("state.pth", "legacy.pth", "checkpoint.pth", "state.safetensors")
    return [*(FILES / name for name in names), folder / "legacy.h5", folder / "ours.weights.h5"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="Damaged copies of each file.")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        for path in make_files(pathlib.Path(folder)):
            totals = outcomes(path, count)
            print(
                f"{path.name:20}",
                ", ".join(f"{outcome}: {number:,}" for outcome, number in totals.most_common()),
                flush=True,
            )


if __name__ == "__main__":
    main()
