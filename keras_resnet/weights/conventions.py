"""Translates the names that other packages give to a ResNet's arrays. Pure renaming: opens no file."""

import dataclasses
import re
from collections.abc import Mapping

from keras_resnet.errors import UserError
from keras_resnet.weights.eval_settings import STANDARD, EvalSettings
from keras_resnet.weights.formats.torch_names import find_network
from keras_resnet.weights.lazy_array import LazyArray
from keras_resnet.weights.names import HEAD, layer_name, stage_name
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
    r"layer([1-9])\.(0|[1-9][0-9]{0,3})\.(?:(conv|bn)([1-9])|(?:downsample|shortcut)\.([01]))\.(\w+)"
)
_TORCH_STEM = re.compile(r"(conv|bn)1\.(\w+)")
_TORCH_HEAD = re.compile(r"(?:fc|linear)\.(\w+)")
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
    """

    name: str
    variant: str | None
    epsilon: float
    normalization: Normalization | None
    eval: EvalSettings | None
    plain: bool | None = False


TORCH = Convention("torchvision and timm", "v1.5", 1e-5, NORMALIZATIONS["torch"], STANDARD)
KERAS = Convention("keras.applications", "v1", 1.001e-5, NORMALIZATIONS["caffe"], STANDARD)
KERAS_1 = Convention("keras.applications of Keras 1 and 2", "v1", 1e-3, NORMALIZATIONS["caffe"], STANDARD)
OWN = Convention("this package", None, 1e-5, None, None, plain=None)


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
        return NamedArrays(TORCH, _from_torch(stored, path))
    # keras.applications saved by Keras 3 have biases, and models of this package have none.
    if own and "conv1_conv/bias" not in stored:
        return NamedArrays(OWN, stored)
    layers = {key.partition("/")[0] for key in stored}
    if "bn_conv1" in layers:
        renamed = {_from_keras_1(key): array for key, array in stored.items()}
        return NamedArrays(KERAS_1, _fold_biases(renamed))
    if "conv1_bn" in layers:
        # Models of this package that were saved in the older format have no biases.
        if "conv1_conv/bias" in stored:
            return NamedArrays(KERAS, _fold_biases(stored))
        return NamedArrays(OWN, stored)
    raise UserError(
        "has neither a layer conv1_bn nor bn_conv1, as the ResNets of keras.applications have; their second "
        "version (ResNet50V2 and so on) is a different network.",
        value=path,
    )


def _from_torch(stored: Mapping[str, LazyArray], path: object) -> dict[str, LazyArray]:
    network = find_network(stored, path)
    if "conv1.weight" not in network:
        if any(key.endswith("conv1.0.weight") for key in stored):
            reason = (
                "has conv1.0.weight and no conv1.weight: a ResNet with a deeper stem (in timm, names that "
                "end in c, d, s or t), which is a different network; use a plain one of torchvision or timm."
            )
        else:
            some = ", ".join(key[:_MAX_NAME] for key in list(stored)[:_MAX_LISTED])
            reason = (
                "has no conv1.weight, as the plain ResNets of torchvision and timm have, with or without "
                f"something in front of all names; it has {some}."
            )
        raise UserError(reason, value=path)
    if _pads_both_sides(network):
        raise UserError(
            "has the names of akamaster/pytorch_resnet_cifar10 and no projections: its shortcuts put zero "
            "channels on both sides of the others, those of this package behind them; use one with "
            "projections (option B).",
            value=path,
        )
    arrays = {}
    for key, array in network.items():
        if key.endswith(f".{_TORCH_COUNTER}"):
            continue
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(len(array.shape))
        name = _torch_name(key)
        if name in arrays:
            raise UserError(f"has {name} twice; save it again with one of them.", value=path)
        arrays[name] = array.transposed(*axes) if axes and name != key else array
    return arrays


def _pads_both_sides(network: Mapping[str, LazyArray]) -> bool:
    """Whether this is the CIFAR network of option A in PyTorch that most repositories have."""
    projections = ("downsample.0.weight", "shortcut.0.weight")
    return (
        "linear.weight" in network
        and "layer4.0.conv1.weight" not in network
        and not any(f"layer2.0.{projection}" in network for projection in projections)
    )


def _torch_name(key: str) -> str:
    """layer1.0.bn2.running_var -> conv2_block1_2_bn/moving_variance."""
    if found := _TORCH_BLOCK.fullmatch(key):
        stage, block, kind, number, projection, variable = found.groups()
        kind, number = (kind, number) if kind else (("conv", "bn")[int(projection)], "0")
        layer = layer_name(stage_name(int(stage) + 1), int(block) + 1, int(number), kind)
    elif found := _TORCH_STEM.fullmatch(key):
        kind, variable = found.groups()
        layer = f"conv1_{kind}"
    elif found := _TORCH_HEAD.fullmatch(key):
        kind, variable, layer = "fc", found[1], HEAD
    else:
        return key
    names = _TORCH_BATCH_NORM if kind == "bn" else _TORCH_OTHERS
    return f"{layer}/{names[variable]}" if variable in names else key


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
