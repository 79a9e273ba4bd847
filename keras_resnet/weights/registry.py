"""The public weights as data: address, hash, license, normalization and evaluation settings of each."""

import dataclasses
import pathlib
from typing import Any, TypeGuard

from keras_resnet.errors import UserError
from keras_resnet.weights.download import fetch, keras_home
from keras_resnet.weights.eval_settings import EvalSettings
from keras_resnet.weights.normalization import NORMALIZATIONS, Normalization

# All of them classify ImageNet.
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
    """Published weights of a ResNet for ImageNet's 1000 classes.

    Args:
        name: of the collection.
        depth: of the network.
        file: with all weights.
        convention: whose names the arrays have, "keras" or "torch".
        variant: where a bottleneck has its stride, "v1" or "v1.5".
        mode: how pixels are normalized, a key of `NORMALIZATIONS`.
        eval: evaluation transform, and the accuracy that the publishers report under it.
        license: as the publishers state it.
        headless: the file without the classifier, where one is published.
    """

    name: str
    depth: int
    file: RemoteFile
    convention: str
    variant: str
    mode: str
    eval: EvalSettings
    license: str
    headless: RemoteFile | None = None

    @property
    def source(self) -> str:
        """The collection and the network, for messages."""
        return f"{self.name} for ResNet-{self.depth}"

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


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet"
_TORCHVISION = "https://download.pytorch.org/models/resnet"
_TIMM = "https://huggingface.co/timm/resnet"
_TIMM_PTH = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet"


def _keras(depth: int, md5: str, headless_md5: str, top1: float, top5: float) -> PublicWeights:
    url = f"{_KERAS}{depth}_weights_tf_dim_ordering_tf_kernels"
    return PublicWeights(
        name="keras-imagenet",
        depth=depth,
        file=RemoteFile(f"{url}.h5", md5=md5),
        convention="keras",
        variant="v1",
        mode="caffe",
        eval=EvalSettings(224, 256, "bilinear", top1, top5),
        license="MIT",
        headless=RemoteFile(f"{url}_notop.h5", md5=headless_md5),
    )


def _torchvision(
    version: int, depth: int, sha256: str, top1: float, top5: float, resize_size: int
) -> PublicWeights:
    return PublicWeights(
        name=f"torchvision-v{version}",
        depth=depth,
        file=RemoteFile(f"{_TORCHVISION}{depth}-{sha256}.pth", sha256),
        convention="torch",
        variant="v1.5",
        mode="torch",
        eval=EvalSettings(224, resize_size, "bilinear", top1, top5),
        license="BSD-3-Clause",
    )


def _timm(tag: str, depth: int, file: RemoteFile, top1: float, top5: float, size: int = 288) -> PublicWeights:
    return PublicWeights(
        name=f"timm-{tag}",
        depth=depth,
        file=file,
        convention="torch",
        variant="v1.5",
        mode="torch",
        eval=EvalSettings(size, size, "bicubic", top1, top5),
        license="Apache-2.0",
    )


def _timm_a1(depth: int, top1: float, top5: float, sha256: str) -> PublicWeights:
    url = f"{_TIMM}{depth}.a1_in1k/resolve/main/model.safetensors"
    file = RemoteFile(url, sha256, name=f"timm-resnet{depth}.a1_in1k.safetensors")
    return _timm("a1", depth, file, top1, top5)


def _timm_a1h(depth: int, name: str, sha256: str, top1: float, top5: float, size: int = 288) -> PublicWeights:
    return _timm("a1h", depth, RemoteFile(f"{_TIMM_PTH}{name}-{sha256}.pth", sha256), top1, top5, size)


_ALL = (
    # Kaiming He's weights, ported from Caffe. Accuracies: keras.io.
    _keras(50, "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626", 74.9, 92.1),
    _keras(101, "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21", 76.4, 92.8),
    _keras(152, "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c", 76.6, 93.1),
    # torchvision 0.29. The first eight digits of each SHA-256 are published, as part of the file's name.
    _torchvision(1, 18, "f37072fd", 69.758, 89.078, 256),
    _torchvision(1, 34, "b627a593", 73.314, 91.420, 256),
    _torchvision(1, 50, "0676ba61", 76.130, 92.862, 256),
    _torchvision(1, 101, "63fe2227", 77.374, 93.546, 256),
    _torchvision(1, 152, "394f9c45", 78.312, 94.046, 256),
    _torchvision(2, 50, "11ad3fa6", 80.858, 95.434, 232),
    _torchvision(2, 101, "cd907fc2", 81.886, 95.780, 232),
    _torchvision(2, 152, "f82ba261", 82.284, 96.002, 232),
    # timm, "ResNet strikes back" (Wightman et al. 2021). Accuracies: timm's results table, at its test size.
    _timm_a1(18, 73.158, 91.026, "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612"),
    _timm_a1(34, 77.918, 93.766, "829a220f9529d2b1ffdc8719d3273463001e0daf411eaf1916865d9db62c0ed2"),
    _timm_a1(50, 81.214, 95.102, "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb"),
    _timm_a1(101, 82.322, 95.632, "1ba5b660e7c175b3c27c557fc7dc8b2815be830c516815b0155f61b403f27380"),
    _timm_a1(152, 82.732, 95.720, "5a3518da3d35ee04e77a5e69289cff55c3a07a732d7287f6cab20bd4d330eda9"),
    _timm_a1h(50, "50_a1h2_176", "001a1197", 80.676, 95.306, size=224),
    _timm_a1h(101, "101_a1h", "36d3f2aa", 82.778, 96.310),
    _timm_a1h(152, "152_a1h", "dc400468", 83.450, 96.538),
)
# WordNet identifier and name of each ImageNet class, as published by Keras.
CLASS_INDEX = RemoteFile(
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    md5="c2c37ea517e94d9795004a39431a14cb",
)
_BY_NAME = {(weights.name, weights.depth): weights for weights in _ALL}
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


def get_weights(name: str, depth: int) -> PublicWeights:
    """Returns the public weights of this name for the ResNet of this depth.

    Args:
        name: of a collection, or "imagenet": `keras-imagenet` where it has the depth, else `torchvision-v1`.
        depth: 18, 34, 50, 101 or 152.

    Raises:
        UserError: there are none; the message lists those there are.
    """
    collection = name
    if name == IMAGENET:
        collection = "keras-imagenet" if ("keras-imagenet", depth) in _BY_NAME else "torchvision-v1"
    if collection not in NAMES:
        raise UserError(
            f"is not the name of public weights; use one of {', '.join((IMAGENET, *NAMES))}.",
            parameter="name",
            value=name,
        )
    if (collection, depth) not in _BY_NAME:
        depths = ", ".join(str(known) for known_name, known in _BY_NAME if known_name == collection)
        raise UserError(
            f"{name} has no weights of a ResNet of this depth; it has those of {depths}.",
            parameter="depth",
            value=depth,
        )
    return _BY_NAME[collection, depth]
