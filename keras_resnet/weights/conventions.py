"""Translates the names that other packages give to a ResNet's arrays. Pure renaming: opens no file."""

import dataclasses
import re
from collections.abc import Mapping

from keras_resnet.errors import UserError
from keras_resnet.weights.eval_settings import CIFAR, STANDARD, EvalSettings
from keras_resnet.weights.formats.torch_names import find_network
from keras_resnet.weights.lazy_array import LazyArray
from keras_resnet.weights.names import (
    HEAD,
    POST,
    block_name,
    layer_name,
    parse_layer_name,
    stage_name,
    stem_name,
)
from keras_resnet.weights.normalization import NORMALIZATIONS, Normalization

# Keras' names of PyTorch's variables.
_TORCH_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_TORCH_OTHERS = {"weight": "kernel", "bias": "bias"}
_TORCH_BLOCK = re.compile(
    r"layer([1-9])\.(0|[1-9][0-9]{0,3})\.(?:(conv|bn)([1-9])|(?:downsample|shortcut)\.([012]))\.(\w+)"
)
_TORCH_STEM = re.compile(r"(conv|bn)1\.(\w+)")
# A deeper stem is a sequence of convolutions, batch norms and ReLUs; the last batch norm is bn1.
_TORCH_DEEP_STEM = re.compile(r"conv1\.([01346])\.(\w+)")
_TORCH_DEEP_LAYERS = {
    "0": "conv1_conv",
    "1": "conv1_bn",
    "3": "conv1_2_conv",
    "4": "conv1_2_bn",
    "6": "conv1_3_conv",
}
# Where a projection is a pool, a convolution and a batch norm.
_TORCH_AVERAGE = re.compile(r"layer[1-9]\.0\.(?:downsample|shortcut)\.2\.weight")
_TORCH_HEAD = re.compile(r"(?:fc|linear)\.(\w+)")
# KerasHub counts from 0, and the convolutions of a stem as if they were stages.
_KERAS_HUB_BLOCK = re.compile(r"stack([0-3])_block(0|[1-9][0-9]{0,2})_(\w+)")
_KERAS_HUB_STEM = re.compile(r"conv([123])_(conv|bn)")
# A step counter, which has no part in what a network computes.
_TORCH_COUNTER = "num_batches_tracked"

# Names that a message lists, and characters of each.
_MAX_LISTED, _MAX_NAME = 5, 80

_KERAS_1_BLOCK = re.compile(r"(res|bn)([2-5])([a-z])_branch(1|2[abc])")
_KERAS_1 = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": HEAD}
# Keras' names of the variables of Keras 1.
_KERAS_1_VARIABLES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # a variance, in spite of its name
}


@dataclasses.dataclass(frozen=True)
class Convention:
    """What is known of a file's network by the names of its arrays, or by what else the file says.

    Args:
        name: of those who write such files.
        variant: of a bottleneck with these weights, "v1" or "v1.5"; None: not known.
        epsilon: of batch normalization.
        normalization: how pixels are normalized for these weights; None: not known.
        eval: how images are prepared for evaluation; None: not known.
        plain: whether the network has no shortcuts; None: not known.
        projection: as for `Architecture`; None: not known.
    """

    name: str
    variant: str | None
    epsilon: float
    normalization: Normalization | None
    eval: EvalSettings | None
    plain: bool | None = False
    projection: str | None = "strided"


TORCH = Convention("torchvision and timm", "v1.5", 1e-5, NORMALIZATIONS["torch"], STANDARD)
KERAS = Convention("keras.applications", "v1", 1.001e-5, NORMALIZATIONS["caffe"], STANDARD)
KERAS_1 = Convention("keras.applications of Keras 1 and 2", "v1", 1e-3, NORMALIZATIONS["caffe"], STANDARD)
KERAS_V2 = Convention("keras.applications", "v2", 1.001e-5, NORMALIZATIONS["tf"], STANDARD)
KERAS_HUB = Convention("KerasHub", "v1.5", 1e-5, NORMALIZATIONS["torch"], STANDARD)
AKAMASTER = Convention("akamaster/pytorch_resnet_cifar10", None, 1e-5, NORMALIZATIONS["torch"], CIFAR)
OWN = Convention("this package", None, 1e-5, None, None, plain=None, projection=None)


@dataclasses.dataclass(frozen=True)
class NamedArrays:
    """The arrays of a network under this package's names, "layer/variable".

    Args:
        convention: whose names they had, with everything that the file itself says filled in.
        arrays: by name.
        size: side of the network's input in pixels; None: not known.
    """

    convention: Convention
    arrays: Mapping[str, LazyArray]
    size: int | None = None

    @property
    def eval(self) -> EvalSettings | None:
        """How images are prepared for evaluation; None: not known."""
        return self.convention.eval


def rename_arrays(stored: Mapping[str, LazyArray], path: object, *, torch: bool, own: bool) -> NamedArrays:
    """Returns the arrays under this package's names, with their axes in Keras' order.

    The convolutions of keras.applications have biases. They go into batch normalization, which subtracts them
    again: its mean becomes smaller by the bias. Arrays with names that no plain ResNet has keep them.

    Args:
        stored: by their names in the file.
        path: of the file, for messages.
        torch: whether the file has PyTorch's names.
        own: whether it has the format in which this package saves.

    Raises:
        UserError: the names belong to another kind of network.
    """
    if torch:
        return _from_torch(stored, path)
    layers = {key.partition("/")[0] for key in stored}
    if "stack0_block0_1_conv" in layers:
        averages = "average" if "conv3_conv" in layers else "strided"
        convention = dataclasses.replace(KERAS_HUB, projection=averages)
        return NamedArrays(convention, {_from_keras_hub(key): array for key, array in stored.items()})
    if f"{POST}_bn" in layers:
        # The biases stay: the shortcuts add them up, and no batch norm subtracts them.
        variant = "v2" if "conv1_conv/bias" in stored else None
        return NamedArrays(dataclasses.replace(OWN, variant=variant) if own else KERAS_V2, stored)
    # keras.applications saved by Keras 3 have biases, and models of this package have none.
    if own and "conv1_conv/bias" not in stored:
        return NamedArrays(OWN, stored)
    if "bn_conv1" in layers:
        renamed = {_from_keras_1(key): array for key, array in stored.items()}
        return NamedArrays(KERAS_1, _fold_biases(renamed))
    if "conv1_bn" in layers:
        # Models of this package that were saved in the older format have no biases.
        if "conv1_conv/bias" in stored:
            return NamedArrays(KERAS, _fold_biases(stored))
        return NamedArrays(OWN, stored)
    raise UserError(
        "has neither a layer conv1_bn nor bn_conv1 nor post_bn, as the ResNets of keras.applications have.",
        value=path,
    )


def _from_torch(stored: Mapping[str, LazyArray], path: object) -> NamedArrays:
    network = find_network(stored, path)
    if "conv1.weight" not in network and "conv1.0.weight" not in network:
        some = ", ".join(key[:_MAX_NAME] for key in list(stored)[:_MAX_LISTED])
        raise UserError(
            "has no conv1.weight, as the ResNets of torchvision and timm have, with or without something in "
            f"front of all names; it has {some}.",
            value=path,
        )
    deep, average = "conv1.0.weight" in network, any(map(_TORCH_AVERAGE.fullmatch, network))
    arrays: dict[str, LazyArray] = {}
    for key, array in network.items():
        if key.endswith(f".{_TORCH_COUNTER}"):
            continue
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(len(array.shape))
        name = _torch_name(key, deep, average)
        if name in arrays:
            raise UserError(f"has {name} twice; save it again with one of them.", value=path)
        arrays[name] = array.transposed(*axes) if axes and name != key else array
    if _pads_both_sides(network):
        return NamedArrays(AKAMASTER, _pad_behind(arrays, path))
    convention = dataclasses.replace(TORCH, projection="average") if average else TORCH
    return NamedArrays(convention, arrays)


def _pads_both_sides(network: Mapping[str, LazyArray]) -> bool:
    """Whether this is the CIFAR network of option A in PyTorch that most repositories have."""
    projections = ("downsample.0.weight", "shortcut.0.weight")
    return (
        "linear.weight" in network
        and "layer4.0.conv1.weight" not in network
        and not any(f"layer2.0.{projection}" in network for projection in projections)
    )


def _pad_behind(arrays: Mapping[str, LazyArray], path: object) -> dict[str, LazyArray]:
    """Returns the weights of the network that computes the same with all new zero channels behind the others.

    Theirs puts half of a stage's new channels in front of those of the stage before, and half behind. The
    order of channels is no part of what a network computes: those of each stage's sums are put into ours.
    """
    orders: dict[int, list[int]] = {}  # our order of the channels behind each stage, as their places
    for stage in (2, 3, 4):
        kernel = arrays.get(f"{layer_name(stage_name(stage), 1, 2, 'conv')}/kernel")
        before = orders.get(stage - 1, [])
        width = kernel.shape[-1] if kernel is not None and len(kernel.shape) == 4 else 0
        if not width or width < len(before) or (width - len(before)) % 2:
            raise UserError(
                "has the names of akamaster/pytorch_resnet_cifar10, but not its three stages.", value=path
            )
        front = (width - len(before)) // 2 if before else 0
        old = {front + place for place in before}
        new = [place for place in range(width) if place not in old] if before else list(range(width))
        orders[stage] = [*(front + place for place in before), *new]
    return {key: _reorder(key, array, orders) for key, array in arrays.items()}


def _reorder(key: str, array: LazyArray, orders: Mapping[int, list[int]]) -> LazyArray:
    layer, _, variable = key.partition("/")
    name = parse_layer_name(layer)
    inputs = outputs = None
    if layer == HEAD and variable == "kernel":
        inputs = orders[4]
    elif name and name.block:
        first = name.block == 1 and name.stage_number > 2
        if name.index == 1 and name.kind == "conv":
            inputs = orders[name.stage_number - first]
        elif name.index == 2:
            outputs = orders[name.stage_number]
    for order, axis in ((inputs, -2), (outputs, -1)):
        # Others have no place in a network of this kind, which loading says.
        if order is not None and len(array.shape) >= -axis and array.shape[axis] == len(order):
            array = array.reordered(order, axis)
    return array


def _torch_name(key: str, deep: bool, average: bool) -> str:
    """layer1.0.bn2.running_var -> conv2_block1_2_bn/moving_variance.

    Args:
        deep: whether the stem has three convolutions.
        average: whether a pool is the first of the modules of a projection.
    """
    if found := _TORCH_BLOCK.fullmatch(key):
        stage, block, kind, number, projection, variable = found.groups()
        if projection:
            module = int(projection) - average
            if module not in (0, 1):
                return key
            kind, number = ("conv", "bn")[module], "0"
        layer = layer_name(stage_name(int(stage) + 1), int(block) + 1, int(number), kind)
    elif found := _TORCH_STEM.fullmatch(key):
        kind, variable = found.groups()
        layer = f"conv1_3_{kind}" if deep else f"conv1_{kind}"
    elif found := _TORCH_DEEP_STEM.fullmatch(key):
        place, variable = found.groups()
        layer = _TORCH_DEEP_LAYERS[place]
        kind = layer.rpartition("_")[2]
    elif found := _TORCH_HEAD.fullmatch(key):
        kind, variable, layer = "fc", found[1], HEAD
    else:
        return key
    names = _TORCH_BATCH_NORM if kind == "bn" else _TORCH_OTHERS
    return f"{layer}/{names[variable]}" if variable in names else key


def _from_keras_hub(key: str) -> str:
    """stack0_block0_pre_activation_bn/gamma -> conv2_block1_preact_bn/gamma, conv3_bn/beta -> conv1_3_bn."""
    layer, _, variable = key.partition("/")
    if found := _KERAS_HUB_BLOCK.fullmatch(layer):
        stage, block, rest = found.groups()
        prefix = block_name(stage_name(int(stage) + 2), int(block) + 1)
        layer = f"{prefix}_{rest.replace('pre_activation', 'preact')}"
    elif found := _KERAS_HUB_STEM.fullmatch(layer):
        layer = f"{stem_name(int(found[1]))}_{found[2]}"
    return f"{layer}/{variable}"


def _from_keras_1(key: str) -> str:
    """res2a_branch2a/res2a_branch2a_W -> conv2_block1_1_conv/kernel."""
    layer, _, variable = key.partition("/")
    variable = variable.removeprefix(f"{layer}_")
    if found := _KERAS_1_BLOCK.fullmatch(layer):
        kind, stage, block, branch = found.groups()
        index = 0 if branch == "1" else "1abc".index(branch[1])
        block_number = ord(block) - ord("a") + 1
        layer = layer_name(stage_name(int(stage)), block_number, index, "conv" if kind == "res" else "bn")
    return f"{_KERAS_1.get(layer, layer)}/{_KERAS_1_VARIABLES.get(variable, variable)}"


def _fold_biases(stored: Mapping[str, LazyArray]) -> dict[str, LazyArray]:
    arrays = dict(stored)
    for key in stored:
        layer, _, variable = key.partition("/")
        mean = f"{layer.removesuffix('conv')}bn/moving_mean"
        if layer.endswith("_conv") and variable == "bias" and mean in stored:
            if stored[key].shape != stored[mean].shape:
                continue  # stays, so that loading reports it as a weight without a place
            arrays[mean] = _difference(stored[mean], arrays.pop(key))
    return arrays


def _difference(one: LazyArray, other: LazyArray) -> LazyArray:
    # In float64: a half type would lose digits of the larger number.
    return LazyArray(one.shape, lambda: one.read().astype("float64") - other.read())
