"""How images become the input of a model: size, crop, augmentation and test views. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_resnet.data.dataset import Dataset
from keras_resnet.errors import UserError

# What the command line and the configuration may choose from.
AUGMENTATIONS = ("paper", "random_resized_crop")
OPTIONAL_AUGMENTATIONS = ("vflip", "rotate90", "trivial_augment")
VIEWS = ("center", "ten_crop", "multi_scale")
CROP_MODES = ("squash", "center")
INTERPOLATIONS = ("bilinear", "bicubic")
NORMALIZATION_KINDS = ("per_pixel_mean", "per_channel_mean", "published")

# Up to this side in pixels, images that are all of one size are squashed rather than cropped.
MAX_SQUASH_SIZE = 64
# Shorter side of a resized image over the side of its center crop: the paper's 256 and 224 (section 3.4).
RESIZE_RATIO = 256 / 224
# A JPEG decoder may scale an image down as long as it leaves this many pixels, in each direction, for each
# pixel of the output: its filter then changes no more than bicubic instead of bilinear would, 2 gray levels
# on average.
MIN_DECODED_PIXELS = 2
# Shorter sides of the paper's best multi-scale results, for a model trained at 224 (section 3.4).
_SCALES = (224, 256, 384, 480, 640)


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """Describes the input of a model, and how an image is prepared for it.

    Args:
        size: side of the model's input in pixels.
        channels: 1 (gray) or 3 (RGB).
        crop_mode: "squash": the whole image is resized to a square (the paper's CIFAR); "center": the image
            is resized to a shorter side of `resize_size`, and its center is cropped (the paper's ImageNet).
        normalization: what the model itself does with plain pixels, 0..255: it subtracts a "per_pixel_mean"
            or a "per_channel_mean", or normalizes as the publishers of its weights did ("published").
        resize_size: shorter side in pixels for "center"; None: 256 for a size of 224, and in proportion.
        interpolation: "bilinear", or "bicubic" as some published weights ask for; antialiased.

    Raises:
        UserError: a field has a value that is not accepted.
    """

    size: int
    channels: int = 3
    crop_mode: str = "squash"
    normalization: str = "per_pixel_mean"
    resize_size: int | None = None
    interpolation: str = "bilinear"

    def __post_init__(self):
        for field, accepted in (
            ("crop_mode", CROP_MODES),
            ("interpolation", INTERPOLATIONS),
            ("normalization", NORMALIZATION_KINDS),
            ("channels", (1, 3)),
        ):
            value = getattr(self, field)
            if value not in accepted:
                raise UserError(
                    f"must be one of {', '.join(map(str, accepted))}.", parameter=field, value=value
                )
        if self.size < 1:
            raise UserError("must be at least 1 pixel.", parameter="size", value=self.size)
        if self.resize_size is not None and self.resize_size < self.size:
            raise UserError(
                f"must be at least the size of the crop, {self.size}.",
                parameter="resize_size",
                value=self.resize_size,
            )

    @property
    def is_published(self) -> bool:
        """Whether images are prepared exactly as by the publishers of the model's weights (by Pillow)."""
        return self.resize_size is not None or self.interpolation != "bilinear"

    @property
    def shorter_side(self) -> int:
        """Shorter side in pixels of the resized image that "center" crops."""
        return self.resize_size or resize_size(self.size)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, as exported files hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputSpec":
        """Builds a spec from the values of `as_dict`.

        Raises:
            UserError: a field is missing or unknown, or has a value that is not accepted.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise UserError(
                f"The description of a model's input is damaged ({error}); export it again."
            ) from error


def resize_size(size: int) -> int:
    """Returns the shorter side, in pixels, to which an image is resized before a center crop: 256 for 224."""
    return round(size * RESIZE_RATIO)


def default_scales(size: int) -> tuple[int, ...]:
    """Returns the paper's five shorter sides, in pixels, in proportion to a model's input of this size."""
    return tuple(round(side * size / _SCALES[0]) for side in _SCALES)


@dataclasses.dataclass(frozen=True)
class InputTransform:
    """Describes how the images of a dataset become training and validation images.

    Args:
        spec: input of the model.
        hflip: whether training images are flipped at random, left to right.
        augmentation: crops of the training images: "paper" (scale jitter, or padded crops where `spec`
            squashes images), or "random_resized_crop" (Szegedy et al. 2014).
        crop_padding: pixels of padding on each side before a random crop, for squashed images; None: an
            eighth of the image's side, the paper's 4 for 32.
        train_size: side in pixels of the training crops, where it is not that of `spec` (Touvron et al. 2019,
            "Fixing the train-test resolution discrepancy").
        vflip: whether training images are flipped at random, top to bottom.
        rotate90: whether training images are turned at random by 0, 90, 180 or 270 degrees.
        trivial_augment: whether one operation of a random strength is applied to each training image after
            these (Müller & Hutter 2021).

    Raises:
        UserError: there is no such augmentation, or `train_size` cannot be used.
    """

    spec: InputSpec
    hflip: bool
    augmentation: str = "paper"
    crop_padding: int | None = None
    train_size: int | None = None
    vflip: bool = False
    rotate90: bool = False
    trivial_augment: bool = False

    def __post_init__(self):
        if self.augmentation not in AUGMENTATIONS:
            raise UserError(
                f"must be one of {', '.join(AUGMENTATIONS)}.",
                parameter="augmentation",
                value=self.augmentation,
            )
        if self.train_size is not None and self.spec.crop_mode == "squash":
            raise UserError(
                f"applies to images that are cropped, not to those of one size up to {MAX_SQUASH_SIZE}.",
                parameter="train_size",
                value=self.train_size,
            )

    @property
    def padding(self) -> int:
        """Pixels of padding on each side of squashed training images."""
        return -(-self.spec.size // 8) if self.crop_padding is None else self.crop_padding

    @property
    def optional(self) -> dict[str, bool]:
        """The augmentations that no training has unless it names them, and that this one has."""
        return {name: True for name in OPTIONAL_AUGMENTATIONS if getattr(self, name)}


@dataclasses.dataclass(frozen=True)
class TestViews:
    """Describes the views of an image that a test averages over (section 3.4).

    Args:
        kind: "center": one view, as validation during training uses; "ten_crop": the four corners and the
            center of the image resized to a shorter side of 256 (for an input of 224), each flipped as well;
            "multi_scale": the uncropped image at each of `scales`.
        spec: input of the model. Images that are files are decoded to its channels; pixels keep theirs.
        scales: for "multi_scale", shorter sides in pixels, none less than `spec.size`.

    Raises:
        UserError: there is no such kind, or a scale is smaller than the model's input.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    kind: str
    spec: InputSpec
    scales: tuple[int, ...] = ()

    def __post_init__(self):
        if self.kind not in VIEWS:
            raise UserError(f"must be one of {', '.join(VIEWS)}.", parameter="views", value=self.kind)
        if any(scale < self.spec.size for scale in self.scales):
            raise UserError(
                f"{min(self.scales)} is smaller than the model's input of {self.spec.size} pixels; use "
                "scales of at least that.",
                parameter="scales",
                value=self.scales,
            )


def is_squashed(dataset: Dataset) -> bool:
    """Returns whether images are of one size, up to 64x64, and so resized as a whole instead of cropped."""
    height, width, _ = dataset.image_shape
    return height is not None and width is not None and max(height, width) <= MAX_SQUASH_SIZE


def choose_transform(
    dataset: Dataset,
    *,
    default_size: int,
    smallest_size: int,
    normalization: str | None = None,
    image_size: int | None = None,
    hflip: bool | None = None,
    augmentation: str = "paper",
    crop_padding: int | None = None,
    train_size: int | None = None,
    vflip: bool = False,
    rotate90: bool = False,
    trivial_augment: bool = False,
) -> InputTransform:
    """Returns the transform that suits these images and this architecture.

    Images that are all of one size, up to 64x64, are squashed (the paper's CIFAR); others are cropped (the
    paper's ImageNet).

    Args:
        default_size: side in pixels of the images the architecture was made for; crops have it.
        smallest_size: smallest input in pixels that the architecture takes; smaller images are enlarged to
            it.
        normalization: as of `InputSpec`; None: "per_pixel_mean" for squashed images, else "per_channel_mean".
        image_size: side of the input in pixels, or None for what suits the images.
        hflip: as of `InputTransform`; None: as the dataset says.
        augmentation: as of `InputTransform`.
        crop_padding, train_size, vflip, rotate90, trivial_augment: as of `InputTransform`.

    Raises:
        UserError: `image_size` is smaller than the architecture takes, or an option does not apply to images
            that are squashed, or cropped.
    """
    squash = is_squashed(dataset)
    if image_size is None:
        sides = [side for side in dataset.image_shape[:2] if side is not None]
        size = max(*sides, smallest_size) if squash else default_size
    elif image_size < smallest_size:
        raise UserError(
            f"is too small for this architecture, which takes {smallest_size} pixels or more.",
            parameter="image_size",
            value=image_size,
        )
    else:
        size = image_size
    small = f"{MAX_SQUASH_SIZE}x{MAX_SQUASH_SIZE}"
    if squash and augmentation != "paper":
        raise UserError(
            f"needs images larger than {small} or of several sizes; the images of {dataset.name} are smaller "
            "and are not cropped to rectangles. Use augmentation=paper.",
            parameter="augmentation",
            value=augmentation,
        )
    if crop_padding is not None and not squash:
        raise UserError(
            f"applies to images of one size up to {small}; training images of {dataset.name} are random "
            "crops without padding.",
            parameter="crop_padding",
            value=crop_padding,
        )
    if crop_padding is not None and not 0 <= crop_padding < size:
        raise UserError(
            f"must be at least 0 and less than the image's side, {size} pixels.",
            parameter="crop_padding",
            value=crop_padding,
        )
    if train_size is not None and not squash:
        _check_train_size(train_size, size, smallest_size)
    crop_mode = "squash" if squash else "center"
    spec = InputSpec(
        size,
        dataset.channels,
        crop_mode,
        normalization or ("per_pixel_mean" if squash else "per_channel_mean"),
    )
    differs = squash or train_size != size
    return InputTransform(
        spec,
        dataset.hflip if hflip is None else hflip,
        augmentation,
        crop_padding,
        train_size if differs else None,
        vflip,
        rotate90,
        trivial_augment,
    )


def _check_train_size(train_size: int, size: int, smallest_size: int) -> None:
    if not smallest_size <= train_size <= size:
        raise UserError(
            f"must be at least the {smallest_size} pixels that this architecture takes, and at most the "
            f"{size} of image_size.",
            parameter="train_size",
            value=train_size,
        )
