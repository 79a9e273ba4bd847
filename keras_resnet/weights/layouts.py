"""Whose names the arrays of a file have, and what they are called here. Pure renaming: no file, no net."""

import dataclasses
import re
from collections.abc import Mapping

from keras_resnet.errors import UserError
from keras_resnet.weights.pixels import PIXELS, Pixels
from keras_resnet.weights.stored import Stored

# PyTorch's names of what Keras calls otherwise.
_TORCH_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_TORCH_OTHERS = {"weight": "kernel", "bias": "bias"}
_TORCH_BLOCK = re.compile(
    r"layer([1-9])\.(0|[1-9][0-9]{0,3})\.(?:(conv|bn)([1-9])|downsample\.([01]))\.(\w+)"
)
_TORCH_STEM = re.compile(r"(conv|bn)1\.(\w+)")
_TORCH_HEAD = re.compile(r"fc\.(\w+)")
# A counter of steps, which takes no part in what a net computes.
_TORCH_COUNTER = "num_batches_tracked"

_KERAS_1_BLOCK = re.compile(r"(res|bn)([2-5])([a-z])_branch(1|2[abc])")
_KERAS_1 = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}
# What Keras 1 called the variables of a layer.
_KERAS_1_VARIABLES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # a variance, whatever its name says
}


# What nets trained here have in front of them, beside their weights.
MEAN_LAYER = "mean_subtraction"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Whose files these are.

    Args:
        name: of it.
        variant: of a bottleneck with these weights, "v1" or "v1.5"; None: the names do not tell.
        epsilon: of BN.
        pixels: how pictures are prepared by those who publish such files; None: the names do not tell.
        plain: whether nets with these weights have no shortcuts; None: the names do not tell.
    """

    name: str
    variant: str | None
    epsilon: float
    pixels: Pixels | None
    plain: bool | None = False


TORCH = Layout("torchvision and timm", "v1.5", 1e-5, PIXELS["torch"])
KERAS = Layout("keras.applications", "v1", 1.001e-5, PIXELS["caffe"])
KERAS_1 = Layout("keras.applications of Keras 1 and 2", "v1", 1e-3, PIXELS["caffe"])
OWN = Layout("this package", None, 1e-5, None, plain=None)


@dataclasses.dataclass(frozen=True)
class Named:
    """The arrays of a net as this package calls them, "layer/variable".

    Args:
        layout: whose they were, with what else is known of them.
        arrays: by name.
        size: side of the images that the net takes, where that is known.
    """

    layout: Layout
    arrays: Mapping[str, Stored]
    size: int | None = None


def named(stored: Mapping[str, Stored], path: object, *, torch: bool, own: bool) -> Named:
    """The arrays under the names and in the order of axes that they have here.

    The biases of keras.applications' convolutions go into BN, which takes them away again: the mean is the
    less by them. What has a name that no plain ResNet knows keeps it.

    Args:
        stored: by their names in the file.
        path: of it, for messages.
        torch: whether the file is one of PyTorch's.
        own: whether it has the format in which this package saves.

    Raises:
        UserError: the names are those of another kind of net.
    """
    if torch:
        return Named(TORCH, _from_torch(stored, path))
    if own:
        return Named(OWN, stored)
    layers = {key.partition("/")[0] for key in stored}
    if "bn_conv1" in layers:
        renamed = {_from_keras_1(key): array for key, array in stored.items()}
        return Named(KERAS_1, _biases_folded(renamed))
    if "conv1_bn" in layers:
        # Nets of this package, saved in the older format, have no biases.
        is_theirs = "conv1_conv/bias" in stored
        return Named(KERAS, _biases_folded(stored)) if is_theirs else Named(OWN, stored)
    raise UserError(
        f"{path} has no layer conv1_bn or bn_conv1, as the ResNets of keras.applications have; their second "
        "version (ResNet50V2 and so on) is another net."
    )


def _from_torch(stored: Mapping[str, Stored], path: object) -> dict[str, Stored]:
    if "conv1.weight" not in stored:
        raise UserError(
            f"{path} has no conv1.weight, as the plain ResNets of torchvision and timm have; those with a "
            "deeper stem (names that end in c, d, s or t) are other nets."
        )
    arrays = {}
    for key, array in stored.items():
        if key.endswith(f".{_TORCH_COUNTER}"):
            continue
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(len(array.shape))
        name = _torch_name(key)
        if name in arrays:
            raise UserError(f"{path} has {name} twice; save it again with one of them.")
        arrays[name] = array.transposed(*axes) if axes and name != key else array
    return arrays


def _torch_name(key: str) -> str:
    """layer1.0.bn2.running_var -> conv2_block1_2_bn/moving_variance."""
    if found := _TORCH_BLOCK.fullmatch(key):
        stage, block, kind, number, projection, variable = found.groups()
        kind, number = (kind, number) if kind else (("conv", "bn")[int(projection)], "0")
        layer = f"conv{int(stage) + 1}_block{int(block) + 1}_{number}_{kind}"
    elif found := _TORCH_STEM.fullmatch(key):
        kind, variable = found.groups()
        layer = f"conv1_{kind}"
    elif found := _TORCH_HEAD.fullmatch(key):
        kind, variable, layer = "fc", found[1], "predictions"
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
        number = "0" if branch == "1" else "1abc".index(branch[1])
        layer = f"conv{stage}_block{ord(block) - ord('a') + 1}_{number}_{'conv' if kind == 'res' else 'bn'}"
    return f"{_KERAS_1.get(layer, layer)}/{_KERAS_1_VARIABLES.get(variable, variable)}"


def _biases_folded(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    arrays = dict(stored)
    for key in stored:
        layer, _, variable = key.partition("/")
        mean = f"{layer.removesuffix('conv')}bn/moving_mean"
        if layer.endswith("_conv") and variable == "bias" and mean in stored:
            if stored[key].shape != stored[mean].shape:
                continue  # stays, and is told of as what does not fit
            arrays[mean] = _difference(stored[mean], arrays.pop(key))
    return arrays


def _difference(one: Stored, other: Stored) -> Stored:
    # In float64: the numbers of a half type would lose what the other has.
    return Stored(one.shape, lambda: one.read().astype("float64") - other.read())
