"""The public weights as data: address, hash, license, normalization and evaluation settings of each."""

import dataclasses
import itertools
import pathlib
from typing import Any, TypeGuard

from keras_resnet.errors import UserError
from keras_resnet.weights.download import fetch, keras_home
from keras_resnet.weights.eval_settings import EvalSettings
from keras_resnet.weights.normalization import NORMALIZATIONS, Normalization

# ImageNet's.
CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A published file: its address and its SHA-256, or as many digits of it as are published, or its MD5.

    Args:
        url: https address.
        sha256: hexadecimal digits, all 64 or the first ones.
        md5: 32 hexadecimal digits.
        name: of the file in the cache; by default the last part of the address.
    """

    url: str
    sha256: str | None = None
    md5: str | None = None
    name: str = ""

    @property
    def path(self) -> pathlib.Path:
        """Where the file is cached: with the other models of Keras."""
        return keras_home() / "models" / (self.name or self.url.rpartition("/")[2])

    def fetch(self, what: str) -> pathlib.Path:
        """Returns the path of the file, and downloads it first if it is not cached.

        Args:
            what: name of the content, for messages.

        Raises:
            UserError: the download failed, or the file is not the published one.
        """
        return fetch(self.url, self.path, sha256=self.sha256, md5=self.md5, what=what)


@dataclasses.dataclass(frozen=True)
class PublicWeights:
    """Published weights of a network.

    Args:
        name: of the collection.
        architecture: name of the network's architecture.
        file: with all weights.
        convention: whose names the arrays have, "keras" or "torch".
        variant: where a bottleneck has its stride, as for `Architecture`.
        mode: how pixels are normalized, a key of `NORMALIZATIONS`.
        eval: evaluation transform, and the accuracy that the publishers report under it.
        license: as the publishers state it.
        headless: the file without the classifier, where one is published.
        shortcut: option of the network's shortcuts.
        classes: 1000: ImageNet's, 10 or 100: CIFAR's.
    """

    name: str
    architecture: str
    file: RemoteFile
    convention: str
    variant: str
    mode: str
    eval: EvalSettings
    license: str
    headless: RemoteFile | None = None
    shortcut: str = "B"
    classes: int = CLASSES

    @property
    def source(self) -> str:
        """The collection and the network, for messages."""
        return f"{self.name} for {self.architecture}"

    @property
    def normalization(self) -> Normalization:
        """How pixels are normalized."""
        return NORMALIZATIONS[self.mode]

    def fetch(self, headless: bool = False) -> pathlib.Path:
        """Returns the path of the file, and downloads it first if it is not cached.

        Args:
            headless: whether the classifier's weights are not needed.

        Raises:
            UserError: the download failed, or the file is not the published one.
        """
        file = self.headless if headless and self.headless else self.file
        return file.fetch(self.source)


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
_TORCHVISION = "https://download.pytorch.org/models/"
_TIMM = "https://huggingface.co/timm/resnet"
_TIMM_RELEASES = "https://github.com/huggingface/pytorch-image-models/releases/download/"
_RSB, _V01 = "v0.1-rsb-weights/", "v0.1-weights/"
_AKAMASTER = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
_CHENYAOFO = "https://github.com/chenyaofo/pytorch-cifar-models/releases/download/resnet/"


def _keras(
    architecture: str, md5: str, headless_md5: str, top1: float, top5: float, mode: str = "caffe"
) -> PublicWeights:
    url = f"{_KERAS}{architecture}_weights_tf_dim_ordering_tf_kernels"
    return PublicWeights(
        name="keras-imagenet",
        architecture=architecture,
        file=RemoteFile(f"{url}.h5", md5=md5),
        convention="keras",
        variant="v1" if mode == "caffe" else "v2",
        mode=mode,
        eval=EvalSettings(224, 256, "bilinear", top1, top5),
        license="MIT",
        headless=RemoteFile(f"{url}_notop.h5", md5=headless_md5),
    )


def _torchvision(
    version: int, architecture: str, sha256: str, top1: float, top5: float, resize_size: int
) -> PublicWeights:
    return PublicWeights(
        name=f"torchvision-v{version}",
        architecture=architecture,
        file=RemoteFile(f"{_TORCHVISION}{architecture}-{sha256}.pth", sha256),
        convention="torch",
        variant="v1.5",
        mode="torch",
        eval=EvalSettings(224, resize_size, "bilinear", top1, top5),
        license="BSD-3-Clause",
    )


def _timm(
    tag: str, architecture: str, file: RemoteFile, top1: float, top5: float, crop: int = 288, resize: int = 0
) -> PublicWeights:
    return PublicWeights(
        name=f"timm-{tag}",
        architecture=architecture,
        file=file,
        convention="torch",
        variant="v1.5",
        mode="torch",
        eval=EvalSettings(crop, resize or crop, "bicubic", top1, top5),
        license="Apache-2.0",
    )


def _timm_a1(depth: int, top1: float, top5: float, sha256: str) -> PublicWeights:
    url = f"{_TIMM}{depth}.a1_in1k/resolve/main/model.safetensors"
    file = RemoteFile(url, sha256, name=f"timm-resnet{depth}.a1_in1k.safetensors")
    return _timm("a1", f"resnet{depth}", file, top1, top5)


def _timm_release(
    tag: str,
    architecture: str,
    path: str,
    sha256: str,
    top1: float,
    top5: float,
    crop: int = 288,
    resize: int = 0,
) -> PublicWeights:
    file = RemoteFile(f"{_TIMM_RELEASES}{path}-{sha256}.pth", sha256)
    return _timm(tag, architecture, file, top1, top5, crop, resize)


def _cifar(
    name: str, depth: int, file: RemoteFile, top1: float, mode: str, classes: int, shortcut: str, license: str
) -> PublicWeights:
    return PublicWeights(
        name=name,
        architecture=f"cifar_resnet{depth}",
        file=file,
        convention="torch",
        variant="v1",
        mode=mode,
        eval=EvalSettings(32, 32, "bilinear", top1),
        license=license,
        shortcut=shortcut,
        classes=classes,
    )


def _akamaster(depth: int, sha256: str, error: float) -> PublicWeights:
    file = RemoteFile(f"{_AKAMASTER}resnet{depth}-{sha256}.th", sha256)
    top1 = round(100 - error, 2)
    return _cifar("akamaster-cifar10", depth, file, top1, "torch", 10, "A", "BSD-2-Clause")


def _chenyaofo(classes: int, depth: int, sha256: str, top1: float) -> PublicWeights:
    mode = f"cifar{classes}"
    file = RemoteFile(f"{_CHENYAOFO}{mode}_resnet{depth}-{sha256}.pt", sha256)
    return _cifar(f"chenyaofo-{mode}", depth, file, top1, mode, classes, "B", "BSD-3-Clause")


_ALL = (
    # Kaiming He's weights, ported from Caffe, and those of TF-slim. Accuracies: keras.io.
    _keras("resnet50", "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626", 74.9, 92.1),
    _keras("resnet101", "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21", 76.4, 92.8),
    _keras("resnet152", "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c", 76.6, 93.1),
    _keras(
        "resnet50v2", "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917", 76, 93, "tf"
    ),
    _keras(
        "resnet101v2",
        "6343647c601c52e1368623803854d971",
        "c0ed64b8031c3730f411d2eb4eea35b5",
        77.2,
        93.8,
        "tf",
    ),
    _keras(
        "resnet152v2", "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33", 78, 94.2, "tf"
    ),
    # torchvision 0.29. The first eight digits of each SHA-256 are published, as part of the file's name.
    _torchvision(1, "resnet18", "f37072fd", 69.758, 89.078, 256),
    _torchvision(1, "resnet34", "b627a593", 73.314, 91.420, 256),
    _torchvision(1, "resnet50", "0676ba61", 76.130, 92.862, 256),
    _torchvision(1, "resnet101", "63fe2227", 77.374, 93.546, 256),
    _torchvision(1, "resnet152", "394f9c45", 78.312, 94.046, 256),
    _torchvision(1, "resnext50_32x4d", "7cdf4587", 77.618, 93.698, 256),
    _torchvision(1, "resnext101_32x8d", "8ba56ff5", 79.312, 94.526, 256),
    _torchvision(1, "resnext101_64x4d", "173b62eb", 83.246, 96.454, 232),
    _torchvision(1, "wide_resnet50_2", "95faca4d", 78.468, 94.086, 256),
    _torchvision(1, "wide_resnet101_2", "32ee1156", 78.848, 94.284, 256),
    _torchvision(2, "resnet50", "11ad3fa6", 80.858, 95.434, 232),
    _torchvision(2, "resnet101", "cd907fc2", 81.886, 95.780, 232),
    _torchvision(2, "resnet152", "f82ba261", 82.284, 96.002, 232),
    _torchvision(2, "resnext50_32x4d", "1a0047aa", 81.198, 95.340, 232),
    _torchvision(2, "resnext101_32x8d", "110c445d", 82.834, 96.228, 232),
    _torchvision(2, "wide_resnet50_2", "9ba9bcbe", 81.602, 95.758, 232),
    _torchvision(2, "wide_resnet101_2", "d733dc28", 82.510, 96.020, 232),
    # timm, "ResNet strikes back" (Wightman et al. 2021). Accuracies: timm's results table, at its test size.
    _timm_a1(18, 73.158, 91.026, "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612"),
    _timm_a1(34, 77.918, 93.766, "829a220f9529d2b1ffdc8719d3273463001e0daf411eaf1916865d9db62c0ed2"),
    _timm_a1(50, 81.214, 95.102, "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb"),
    _timm_a1(101, 82.322, 95.632, "1ba5b660e7c175b3c27c557fc7dc8b2815be830c516815b0155f61b403f27380"),
    _timm_a1(152, 82.732, 95.720, "5a3518da3d35ee04e77a5e69289cff55c3a07a732d7287f6cab20bd4d330eda9"),
    _timm_release("a1h", "resnet50", f"{_RSB}resnet50_a1h2_176", "001a1197", 80.676, 95.306, 224),
    _timm_release("a1h", "resnet101", f"{_RSB}resnet101_a1h", "36d3f2aa", 82.778, 96.310),
    _timm_release("a1h", "resnet152", f"{_RSB}resnet152_a1h", "dc400468", 83.450, 96.538),
    _timm_release("a1", "resnet50d", f"{_RSB}resnet50d_a1_0", "e20cff14", 81.450, 95.218),
    _timm_release("a1", "resnext50_32x4d", f"{_RSB}resnext50_32x4d_a1_0", "b5a91a1d", 81.466, 95.174),
    _timm_release("a1h", "resnext50_32x4d", f"{_RSB}resnext50_32x4d_a1h", "0146ab0a", 82.014, 95.934),
    _timm_release("ra2", "resnet18d", f"{_V01}resnet18d_ra2", "48a79e06", 73.794, 91.838, 288, 303),
    _timm_release("ra2", "resnet34d", f"{_V01}resnet34d_ra2", "f8dcfcaf", 78.436, 94.344, 288, 303),
    _timm_release("ra2", "resnet50d", f"{_V01}resnet50d_ra2", "464e36ba", 81.356, 95.738, 288, 303),
    _timm_release("ra2", "resnet101d", f"{_V01}resnet101d_ra2", "2803ffab", 83.016, 96.452, 320),
    _timm_release("ra2", "resnet152d", f"{_V01}resnet152d_ra2", "5cac0439", 83.684, 96.740, 320),
    _timm_release(
        "racm", "wide_resnet50_2", f"{_V01}wide_resnet50_racm", "8234f177", 82.280, 96.064, 288, 303
    ),
    # For CIFAR-10 and -100; accuracies: their README files. The nets of the paper: option A.
    _akamaster(20, "12fca82f", 8.27),
    _akamaster(32, "d509ac18", 7.37),
    _akamaster(44, "014dd654", 6.90),
    _akamaster(56, "4bfd9763", 6.61),
    _akamaster(110, "1d1ed7c2", 6.32),
    _akamaster(1202, "f3b1deed", 6.18),
    _chenyaofo(10, 20, "4118986f", 92.60),
    _chenyaofo(10, 32, "ef93fc4d", 93.53),
    _chenyaofo(10, 44, "2a3cabcb", 94.01),
    _chenyaofo(10, 56, "187c023a", 94.37),
    _chenyaofo(100, 20, "23dac2f1", 68.83),
    _chenyaofo(100, 32, "84213ce6", 70.16),
    _chenyaofo(100, 44, "ffe32858", 71.63),
    _chenyaofo(100, 56, "f2eff4c8", 72.63),
)
# WordNet identifier and name of each ImageNet class, as published by Keras.
CLASS_INDEX = RemoteFile(
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    md5="c2c37ea517e94d9795004a39431a14cb",
)
_BY_NAME = {(weights.name, weights.architecture): weights for weights in _ALL}
NAMES = tuple(dict.fromkeys(weights.name for weights in _ALL))
# keras.applications' name for its own weights; here also for torchvision's first ones, where Keras has none.
IMAGENET = "imagenet"


def list_weights() -> tuple[PublicWeights, ...]:
    """Returns all public weights that can be loaded by name."""
    return _ALL


def as_dict(weights: PublicWeights) -> dict[str, Any]:
    """Returns an entry as plain values, with its normalization in numbers."""
    return {**dataclasses.asdict(weights), "normalization": dataclasses.asdict(weights.normalization)}


def is_name(weights: object) -> TypeGuard[str]:
    """Whether a value is the name of public weights."""
    return weights == IMAGENET or weights in NAMES


def get_weights(name: str, architecture: int | str) -> PublicWeights:
    """Returns the public weights of this name for an architecture.

    Args:
        name: of a collection, or "imagenet": `keras-imagenet` where it has the architecture, else
            `torchvision-v1`.
        architecture: "resnet50", "resnext50_32x4d", "cifar_resnet20", ..., or the depth of a ResNet: 50.

    Raises:
        UserError: there are none; the message lists those there are.
    """
    networks: tuple[str, ...]
    if isinstance(architecture, int):
        networks = (f"resnet{architecture}", f"cifar_resnet{architecture}")
    else:
        networks = (architecture,)
    collections = ("keras-imagenet", "torchvision-v1") if name == IMAGENET else (name,)
    if not set(collections) <= set(NAMES):
        raise UserError(
            f"is not the name of public weights; use one of {', '.join((IMAGENET, *NAMES))}.",
            parameter="name",
            value=name,
        )
    for key in itertools.product(collections, networks):
        if key in _BY_NAME:
            return _BY_NAME[key]
    known = ", ".join(dict.fromkeys(network for name, network in _BY_NAME if name in collections))
    raise UserError(
        f"{name} has no weights of {networks[0]}; it has those of {known}.",
        parameter="depth" if isinstance(architecture, int) else "architecture",
        value=architecture,
    )
