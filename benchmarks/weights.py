"""Milliseconds from a file of weights to a ResNet-50 with them."""

import functools
import pathlib
import tempfile
import time

from compare import OURS, Benchmark, Side, main


def _timed(make, path):
    def measure():
        start = time.perf_counter()
        make(path)
        return 1000 * (time.perf_counter() - start)

    measure()  # the first model of a process takes longer in every library
    return measure


@functools.cache
def _kept() -> tempfile.TemporaryDirectory:
    """Returns a folder that exists as long as the process."""
    return tempfile.TemporaryDirectory()


def _folder() -> pathlib.Path:
    return pathlib.Path(_kept().name)


def _torch_file():
    import torch
    import torchvision

    path = _folder() / "resnet50.pth"
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), path)
    return path


def _keras_file():
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    path = _folder() / "resnet50.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, keras.applications.ResNet50(weights=None))
    return path


def ours(make_file, options):
    import keras_resnet

    return _timed(lambda path: keras_resnet.ResNet50(weights=path), make_file())


def keras_applications(options):
    import keras

    return _timed(lambda path: keras.applications.ResNet50(weights=path), _keras_file())


def torchvision_(options):
    import torch
    import torchvision

    def make(path):
        model = torchvision.models.resnet50(weights=None)
        model.load_state_dict(torch.load(path, weights_only=True))

    return _timed(make, _torch_file())


BENCHMARK = Benchmark(
    name="weights",
    work="ResNet-50 with the weights of a file, from .h5 and .pth",
    unit="ms",
    sides={
        OURS: Side(functools.partial(ours, _keras_file)),
        "keras_resnet (.pth)": Side(functools.partial(ours, _torch_file)),
        "keras.applications": Side(keras_applications),
        "torchvision (.pth)": Side(torchvision_),
    },
    repetitions=7,
)

if __name__ == "__main__":
    main(BENCHMARK)
