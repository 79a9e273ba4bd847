"""Damaged files of weights: every one must be read, or refused in one sentence; counts what happens.

    python tests/weights/fuzz.py --count=5000

Each kind of file is damaged in a process of its own, which may take no more than a GiB of memory beyond what
it has when it begins: a crash of a library in C, or a file that asks for the world, shows itself as a count.
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
    str(pathlib.Path(__file__).parents[folder] / name) for folder, name in ((1, "golden"), (2, "."))
]

FILES = pathlib.Path(__file__).parents[1] / "golden" / "torch_files"
_MEMORY = 2**30
# Seconds that a file may take.
_PATIENCE = 30


def damaged(content: bytes, numbers: random.Random) -> bytes:
    """Content with bits, bytes or lengths changed, cut off, doubled or moved: one to eight times."""
    changed = bytearray(content)
    for _ in range(numbers.randint(1, 8)):
        place = numbers.randrange(max(1, len(changed)))
        length = min(numbers.choice((1, 1, 1, 2, 4, 8, 64)), max(1, len(changed) - place))
        match numbers.randrange(6):
            case 0:
                changed[place : place + 1] = bytes(
                    [changed[place] ^ 1 << numbers.randrange(8)] if changed else b""
                )
            case 1:
                changed[place : place + length] = numbers.randbytes(length)
            case 2:
                changed[place : place + length] = b"\xff" * length
            case 3:
                del changed[place : place + length]
            case 4:
                other = numbers.randrange(max(1, len(changed)))
                changed[place:place] = changed[other : other + length]
            case 5:
                del changed[numbers.randrange(max(1, len(changed))) :]
                changed = changed or bytearray(b"\0")
    return bytes(changed)


def outcomes(path: pathlib.Path, count: int, seed: int = 0) -> collections.Counter:
    """How reading ended, of so many damaged copies of a file; in a process of its own."""
    totals, done = collections.Counter(), 0
    while done < count:
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        child = context.Process(target=_read_all, args=(str(path), done, count, seed, queue))
        child.start()
        while (told := _next(queue, child)) is not None:
            totals[told] += 1
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
    """What the child says next; None if it has ended, or has said nothing for too long."""
    for _ in range(_PATIENCE * 5):
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
    with open_weights(path) as named:  # so that all libraries are there before memory is limited
        size = sum(array.read().nbytes for array in named.arrays.values())
    now = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, now + _MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, count):
            victim = pathlib.Path(folder, f"damaged{''.join(path.suffixes)}")
            victim.write_bytes(damaged(content, random.Random(f"{seed} {path.name} {number}")))
            try:
                with open_weights(victim) as named:
                    # As a net does: what has a shape that it does not have is not read.
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
    """A small net's weights in every format that is read."""
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
                ", ".join(f"{told}: {number:,}" for told, number in totals.most_common()),
                flush=True,
            )


if __name__ == "__main__":
    main()
