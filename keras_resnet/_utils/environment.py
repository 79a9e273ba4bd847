"""Environment variables that make TensorFlow faster, set before it is imported."""

import os

# oneDNN's kernels train a ResNet-50 1.4 times and a CIFAR ResNet-20 twice as fast on a CPU with AVX2, where
# TensorFlow leaves them off (docs/benchmarks.md). For single images they gain nothing or are slower, so only
# work on many images sets this. TensorFlow's own number of threads, that of the cores, stays: fewer were not
# faster.
SETTINGS = {"TF_ENABLE_ONEDNN_OPTS": "1"}
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def prepare() -> str:
    """Sets the variables that the environment leaves unset, and returns a sentence about what holds now."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    values = [f"{name}={os.environ[name]}" for name in (*SETTINGS, *_THREADS) if name in os.environ]
    return f"TensorFlow runs with {', '.join(values)} (set by the environment, or else for training)."
