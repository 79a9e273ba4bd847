"""Writes weights files in the formats of other libraries, without those libraries."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import torchvision_weights
from parity_with_torchvision import torchvision_key


def torch_state(model):
    """Returns random weights for a model, with torchvision's names and axes."""
    state = collections.OrderedDict()
    for layer in model.layers:
        for variable in layer.weights:
            key = torchvision_key(layer.name, variable.name)
            shape = tuple(variable.shape)
            shape = {4: (*shape[3:], *shape[2:3], *shape[:2]), 2: shape[::-1]}.get(len(shape), shape)
            state[key] = torchvision_weights.make(key, shape)
    return state


def write_torch_file(path: str | os.PathLike, content: object) -> None:
    """Writes a `.pth` file in which the content's arrays are PyTorch tensors."""
    storages = []
    with _torch_stand_in() as torch:

        class Pickler(pickle.Pickler):
            def persistent_id(self, value):
                if isinstance(value, _Storage):
                    storages.append(value.array)
                    return (
                        "storage",
                        torch.FloatStorage,
                        str(len(storages) - 1),
                        "cpu",
                        value.array.size,
                    )
                return None

            def reducer_override(self, value):
                if not isinstance(value, np.ndarray):
                    return NotImplemented
                strides = tuple(stride // value.itemsize for stride in value.strides)
                hooks = collections.OrderedDict()
                arguments = (_Storage(value), 0, value.shape, strides, False, hooks)
                return torch._utils._rebuild_tensor_v2, arguments

        index = io.BytesIO()
        Pickler(index, protocol=2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", index.getvalue())
        archive.writestr("archive/byteorder", "little")
        for number, array in enumerate(storages):
            archive.writestr(f"archive/data/{number}", np.ascontiguousarray(array).tobytes())


class _Storage:
    def __init__(self, array):
        self.array = array


class _torch_stand_in:
    """Stands in for the modules that a pickle of PyTorch refers to, while one is written."""

    def __enter__(self):
        torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
        torch._utils = utils
        torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

        def _rebuild_tensor_v2(*_):
            raise AssertionError("only its name is written")

        _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
        utils._rebuild_tensor_v2 = _rebuild_tensor_v2
        self._before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
        sys.modules.update({"torch": torch, "torch._utils": utils})
        return torch

    def __exit__(self, *_):
        for name, module in self._before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def with_random_weights(model, small_variances=False):
    """Fills a model of keras.applications with weights that keep its deep sums small."""
    random = np.random.RandomState(0)
    for layer in model.layers:
        for variable in layer.weights:
            shape = tuple(variable.shape)
            if variable.name == "moving_variance":
                # With small ones the value of epsilon matters.
                value = (
                    random.uniform(0.02, 0.05, shape) if small_variances else random.uniform(0.5, 1.5, shape)
                )
            elif variable.name == "gamma":
                value = (
                    random.uniform(0.03, 0.07, shape) if small_variances else random.uniform(0.3, 0.7, shape)
                )
            elif len(shape) == 1:
                value = 0.1 * random.standard_normal(shape)
            else:
                value = np.sqrt(2 / np.prod(shape[:-1])) * random.standard_normal(shape)
            variable.assign(value)
    return model


def keras_1_name(layer):
    """conv2_block1_1_conv -> res2a_branch2a, in keras.applications of Keras 1 and 2."""
    if layer == "predictions":
        return "fc1000"
    if layer.startswith("conv1"):
        return "bn_conv1" if layer.endswith("bn") else "conv1"
    stage, block, number, kind = layer.split("_")
    branch = "1" if number == "0" else "2" + "abc"[int(number) - 1]
    letter = "abcdef"[int(block[5:]) - 1]
    return f"{'res' if kind == 'conv' else 'bn'}{stage[4:]}{letter}_branch{branch}"
