"""Training by two processes with a core each, as on two machines, compared with one process with one core.

CIFAR ResNet-20, 128 images per process and step. Run it on a machine with two cores or more:

    python benchmarks/workers.py
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time

from compare import store
from work import as_we_train_it, images, labels, our_environment

BATCH, STEPS, REPETITIONS, NEED = 128, 8, 5, 1.7


def serve(core: int) -> None:
    """Runs a worker: for each line it reads, it trains some steps and prints the images/s of all workers."""
    os.sched_setaffinity(0, {core})
    import tensorflow as tf

    import keras_resnet
    from keras_resnet.training.strategy import make_strategy

    strategy = make_strategy("auto")
    with strategy.scope():
        steps = as_we_train_it(keras_resnet.CifarResNet(20))
        one = tf.constant(images(BATCH, 32)), tf.constant(labels(BATCH, 10))
        for _ in range(3):
            steps.train_step(*one)
        print("READY", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            for _ in range(STEPS):
                steps.train_step(*one)
            seconds = time.perf_counter() - start
            print("VALUE", BATCH * STEPS * strategy.num_replicas_in_sync / seconds, flush=True)


@contextlib.contextmanager
def cluster(count: int):
    """Runs this many workers, each on a core of its own."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    running = []
    for index in range(count):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **our_environment()}
        running.append(
            subprocess.Popen(
                [sys.executable, __file__, "--serve", str(index)],
                env={**environment, "TF_CONFIG": json.dumps(config)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    try:
        for worker in running:
            _answer(worker, "READY")
        yield running
    finally:
        for worker in running:
            worker.kill()
            worker.wait()


def measure(workers) -> float:
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    return min(float(_answer(worker, "VALUE").split()[1]) for worker in workers)


def _answer(worker, word: str) -> str:
    for line in worker.stdout:
        if line.startswith(word):
            return line
    raise SystemExit(f"A worker ended with status {worker.wait()}.")


def main():
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
        return
    values = {1: [], 2: []}
    with cluster(1) as one, cluster(2) as two:
        for _ in range(REPETITIONS):
            values[1].append(measure(one))
            values[2].append(measure(two))
    ratios = [b / a for a, b in zip(values[1], values[2], strict=True)]
    record = store(
        "workers", {"images/s": values, "ratio": round(statistics.median(ratios), 3), "need": NEED}
    )
    print(f"{record['machine']}, CIFAR ResNet-20, {BATCH} images a process and step")
    for count, measured in values.items():
        print(
            f"{count} process(es), a core each: {statistics.median(measured):.0f} images/s "
            f"({min(measured):.0f} to {max(measured):.0f})"
        )
    print(f"{record['ratio']:.2f}x, needed {NEED}x")


if __name__ == "__main__":
    main()
