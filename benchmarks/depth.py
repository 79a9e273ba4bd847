"""The cost of depth before a CIFAR network trains: build, first step, operations of the step, memory.

    python benchmarks/depth.py                        # as `keras_resnet train` trains
    python benchmarks/depth.py --kind=rematerialized  # activations recomputed for the gradients
    python benchmarks/depth.py --kind=flat            # as Keras' fit traces it

Each depth in a process of its own.
"""

import argparse
import json
import sys
import time

from compare import in_a_process, store
from work import as_a_user_gets_it, as_we_train_it, images, labels, peak_memory

DEPTHS = {
    "blockwise": (110, 218, 434, 1202),
    "rematerialized": (110, 218, 434, 1202),
    "flat": (110, 218, 434),  # 1202 takes minutes, with the same result
}
BATCH = 32
STAGES = ("conv2", "conv3", "conv4")


def measure(depth: int, kind: str) -> dict:
    import tensorflow as tf

    import keras_resnet

    start = time.perf_counter()
    model = keras_resnet.CifarResNet(depth)
    built = time.perf_counter()
    one = [tf.constant(images(BATCH, 32)), tf.constant(labels(BATCH, 10))]
    if kind == "flat":
        compiled = as_a_user_gets_it(model)
        train, function = compiled.train_on_batch, tf.function(lambda x, y: compiled.train_step((x, y)))
    else:
        steps = as_we_train_it(model, rematerialize=STAGES if kind == "rematerialized" else ())
        train, function = steps.train_step, steps._train
    train(*one)
    first = time.perf_counter()
    train(*one)
    second = time.perf_counter()
    peak = peak_memory()
    traced = function.get_concrete_function(*one, *([] if kind == "flat" else [tf.zeros(BATCH)]))
    return {
        "depth": depth,
        "kind": kind,
        "build s": built - start,
        "first step s": first - built - (second - first),
        "step s": second - first,
        "peak GiB": peak,
        "operations": len(traced.graph.get_operations()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("DEPTH", "KIND"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=DEPTHS, default="blockwise")
    options = parser.parse_args()
    if options.one:
        print("VALUE", json.dumps(measure(int(options.one[0]), options.one[1])))
        return
    rows = []
    for depth in DEPTHS[options.kind]:
        rows.append(in_a_process(__file__, depth, options.kind))
        print(rows[-1], file=sys.stderr)
    record = store(f"depth-{options.kind}", {"batch": BATCH, "rows": rows})
    print(markdown(record))


def markdown(record: dict) -> str:
    """Returns a Markdown table, with a line for each depth and kind."""
    columns = list(record["rows"][0])
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for row in record["rows"]:
        cells = [f"{value:.3g}" if isinstance(value, float) else f"{value}" for value in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
