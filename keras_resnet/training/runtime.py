"""TensorFlow's settings for batches of images, made before it is imported."""

import os

# oneDNN's kernels train a ResNet-50 1.4 times and a CIFAR ResNet-20 twice as fast on a CPU with AVX2, where
# TensorFlow leaves them off (docs/benchmarks.md). For single images they gain nothing, or lose: only what
# goes through many sets this. Threads stay TensorFlow's own choice, as many as cores: fewer were no faster.
SETTINGS = {"TF_ENABLE_ONEDNN_OPTS": "1"}
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def prepare() -> str:
    """Set what the environment does not say otherwise, and tell what holds now."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    told = [f"{name}={os.environ[name]}" for name in (*SETTINGS, *_THREADS) if name in os.environ]
    return f"TensorFlow runs with {', '.join(told)} (from the environment, or else set for training)."
