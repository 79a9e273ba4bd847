"""Peak of resident memory and time of a step from the same run, while ResNet-50 trains on 224x224 images.

python benchmarks/memory.py --repetitions=3
"""

import argparse
import json
import statistics
import sys

from compare import in_a_process, store
from work import as_a_user_gets_it, fit, our_steps, peak_memory

BATCH, SIZE, CLASSES, STEPS = 16, 224, 1000, 3
WAYS = ("keras_resnet", "keras_resnet, keeps all", "keras_resnet, rematerialized", "keras.applications")


def measure(way: str) -> dict[str, float]:
    """Returns the GiB and the seconds of a step in this process."""
    if way == "keras.applications":
        import keras

        model = keras.applications.ResNet50(weights=None)
        step = fit(as_a_user_gets_it(model), BATCH, SIZE, CLASSES)
    else:
        import keras_resnet
        from keras_resnet.training import blockwise

        if way == "keras_resnet, keeps all":
            # What TensorFlow keeps by itself; it is no option, so the block's function is put back.
            blockwise._Block._frugal = lambda self, compute: compute
        stages = ("conv2", "conv3", "conv4", "conv5") if way == "keras_resnet, rematerialized" else ()
        step = our_steps(keras_resnet.ResNet50(), BATCH, SIZE, CLASSES, rematerialize=stages)
    seconds = step(STEPS) / STEPS
    return {"memory": round(peak_memory(), 3), "seconds": round(seconds, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print("VALUE", json.dumps(measure(options.one)))
        return
    measured: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for repetition in range(options.repetitions):
        # Every second round in reverse, so that no way always follows the same one.
        for way in WAYS[:: 1 if repetition % 2 == 0 else -1]:
            measured[way].append(in_a_process(__file__, way))
            print(f"{repetition + 1}/{options.repetitions} {way}: {measured[way][-1]}", file=sys.stderr)
    store("memory", {"batch": BATCH, "rows": measured})
    for way, rows in measured.items():
        memory, seconds = (statistics.median(row[key] for row in rows) for key in ("memory", "seconds"))
        print(f"{way}: {memory:.2f} GiB, {seconds:.2f} s a step")


if __name__ == "__main__":
    main()
