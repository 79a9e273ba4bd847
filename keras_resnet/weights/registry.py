"""The public weights as data: where they are, what they are, and how their pictures are prepared."""

import dataclasses
import pathlib
from typing import Any, TypeGuard

from keras_resnet.errors import UserError
from keras_resnet.weights.download import fetch, keras_home
from keras_resnet.weights.pixels import PIXELS, Pixels

# Of ImageNet, which all of them tell apart.
CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Test:
    """How the accuracy was measured: the centre of a scaled picture.

    Args:
        size: side of what the net sees, in pixels.
        shorter: shorter side of the scaled picture.
        interpolation: "bilinear" or "bicubic", both over all pixels that a new one covers (antialiasing).
        top1, top5: accuracy in percent on ImageNet's validation images.
    """

    size: int
    shorter: int
    interpolation: str
    top1: float
    top5: float


@dataclasses.dataclass(frozen=True)
class File:
    """A published file: its address; its SHA-256, or the digits of it that are published, or else its MD5.

    Args:
        name: of the file where it is kept; by default that in the address.
    """

    url: str
    sha256: str | None = None
    md5: str | None = None
    name: str = ""

    @property
    def path(self) -> pathlib.Path:
        """Where Keras keeps such files."""
        return keras_home() / "models" / (self.name or self.url.rpartition("/")[2])

    def fetch(self, what: str) -> pathlib.Path:
        """The path of the file, which is downloaded where it is not there.

        Args:
            what: it is, for messages.

        Raises:
            UserError: it cannot be downloaded, or is not the one that was published.
        """
        return fetch(self.url, self.path, sha256=self.sha256, md5=self.md5, what=what)


@dataclasses.dataclass(frozen=True)
class PublicWeights:
    """Weights that someone has published of a ResNet, with 1000 classes of ImageNet.

    Args:
        name: of the collection.
        depth: of the net.
        file: of all weights.
        layout: whose names the file has: "keras" or "torch".
        variant: where a bottleneck has its stride, "v1" or "v1.5".
        mode: how pictures are prepared, a name in `PIXELS`.
        test: how accurate they are, and how that was found.
        licence: as those who publish them say.
        headless: the file without the classifier, where there is one.
    """

    name: str
    depth: int
    file: File
    layout: str
    variant: str
    mode: str
    test: Test
    licence: str
    headless: File | None = None

    @property
    def source(self) -> str:
        """The name with the net's, for messages."""
        return f"{self.name} for ResNet-{self.depth}"

    @property
    def pixels(self) -> Pixels:
        """How pictures are prepared."""
        return PIXELS[self.mode]

    def fetch(self, headless: bool = False) -> pathlib.Path:
        """The path of the file, which is downloaded where it is not there.

        Args:
            headless: whether the classifier's weights are not needed.

        Raises:
            UserError: it cannot be downloaded, or is not the one that was published.
        """
        file = self.headless if headless and self.headless else self.file
        return file.fetch(self.source)


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet"
_TORCHVISION = "https://download.pytorch.org/models/resnet"
_TIMM = "https://huggingface.co/timm/resnet"
_TIMM_PTH = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/resnet"


def _keras(depth: int, top: str, headless: str, top1: float, top5: float) -> PublicWeights:
    url = f"{_KERAS}{depth}_weights_tf_dim_ordering_tf_kernels"
    return PublicWeights(
        "keras-imagenet",
        depth,
        File(f"{url}.h5", md5=top),
        "keras",
        "v1",
        "caffe",
        Test(224, 256, "bilinear", top1, top5),
        "MIT",
        File(f"{url}_notop.h5", md5=headless),
    )


def _torchvision(
    version: int, depth: int, sha256: str, top1: float, top5: float, shorter: int
) -> PublicWeights:
    return PublicWeights(
        f"torchvision-v{version}",
        depth,
        File(f"{_TORCHVISION}{depth}-{sha256}.pth", sha256),
        "torch",
        "v1.5",
        "torch",
        Test(224, shorter, "bilinear", top1, top5),
        "BSD-3-Clause",
    )


def _timm(tag: str, depth: int, file: File, top1: float, top5: float, size: int = 288) -> PublicWeights:
    test = Test(size, size, "bicubic", top1, top5)
    return PublicWeights(f"timm-{tag}", depth, file, "torch", "v1.5", "torch", test, "Apache-2.0")


def _timm_a1(depth: int, top1: float, top5: float, sha256: str) -> PublicWeights:
    url = f"{_TIMM}{depth}.a1_in1k/resolve/main/model.safetensors"
    return _timm("a1", depth, File(url, sha256, name=f"timm-resnet{depth}.a1_in1k.safetensors"), top1, top5)


_ALL = (
    # Kaiming He's weights, ported from Caffe. Accuracies: keras.io.
    _keras(50, "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626", 74.9, 92.1),
    _keras(101, "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21", 76.4, 92.8),
    _keras(152, "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c", 76.6, 93.1),
    # torchvision 0.29; eight digits of the SHA-256 are published, in the files' names.
    _torchvision(1, 18, "f37072fd", 69.758, 89.078, 256),
    _torchvision(1, 34, "b627a593", 73.314, 91.420, 256),
    _torchvision(1, 50, "0676ba61", 76.130, 92.862, 256),
    _torchvision(1, 101, "63fe2227", 77.374, 93.546, 256),
    _torchvision(1, 152, "394f9c45", 78.312, 94.046, 256),
    _torchvision(2, 50, "11ad3fa6", 80.858, 95.434, 232),
    _torchvision(2, 101, "cd907fc2", 81.886, 95.780, 232),
    _torchvision(2, 152, "f82ba261", 82.284, 96.002, 232),
    # timm, "ResNet strikes back" (Wightman et al. 2021); accuracies: its table of results at its test size.
    _timm_a1(18, 73.158, 91.026, "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612"),
    _timm_a1(34, 77.918, 93.766, "829a220f9529d2b1ffdc8719d3273463001e0daf411eaf1916865d9db62c0ed2"),
    _timm_a1(50, 81.214, 95.102, "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb"),
    _timm_a1(101, 82.322, 95.632, "1ba5b660e7c175b3c27c557fc7dc8b2815be830c516815b0155f61b403f27380"),
    _timm_a1(152, 82.732, 95.720, "5a3518da3d35ee04e77a5e69289cff55c3a07a732d7287f6cab20bd4d330eda9"),
    _timm("a1h", 50, File(f"{_TIMM_PTH}50_a1h2_176-001a1197.pth", "001a1197"), 80.676, 95.306, 224),
    _timm("a1h", 101, File(f"{_TIMM_PTH}101_a1h-36d3f2aa.pth", "36d3f2aa"), 82.778, 96.310),
    _timm("a1h", 152, File(f"{_TIMM_PTH}152_a1h-dc400468.pth", "dc400468"), 83.450, 96.538),
)
# WordNet number and name of each class of ImageNet; of Keras.
CLASS_INDEX = File(
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    md5="c2c37ea517e94d9795004a39431a14cb",
)
_BY_NAME = {(weights.name, weights.depth): weights for weights in _ALL}
NAMES = tuple(dict.fromkeys(weights.name for weights in _ALL))
# keras.applications' word for weights: its own, and for the nets it lacks, torchvision's first ones.
IMAGENET = "imagenet"


def list() -> tuple[PublicWeights, ...]:
    """Everything there is."""
    return _ALL


def as_dict(weights: PublicWeights) -> dict[str, Any]:
    """The entry as plain values, with what its preprocessing is."""
    return {**dataclasses.asdict(weights), "pixels": dataclasses.asdict(weights.pixels)}


def is_name(weights: object) -> TypeGuard[str]:
    """Whether this names public weights."""
    return weights == IMAGENET or weights in NAMES


def find(name: str, depth: int) -> PublicWeights:
    """The weights of this name for a ResNet of this depth.

    Args:
        name: of a collection, or "imagenet": `keras-imagenet` where there is one, else `torchvision-v1`.

    Raises:
        UserError: there are none; the message says which there are.
    """
    collection = name
    if name == IMAGENET:
        collection = "keras-imagenet" if ("keras-imagenet", depth) in _BY_NAME else "torchvision-v1"
    if collection not in NAMES:
        raise UserError(f"{name} names no public weights; there are {', '.join((IMAGENET, *NAMES))}.")
    if (collection, depth) not in _BY_NAME:
        depths = ", ".join(str(there) for there_name, there in _BY_NAME if there_name == collection)
        raise UserError(f"{name} has no weights of a ResNet-{depth}; it has those of {depths}.")
    return _BY_NAME[collection, depth]
