"""How a net sees the images of a source; decided before TensorFlow is imported."""

import dataclasses

from keras_resnet.data.source import Source
from keras_resnet.errors import UserError

# Up to this side, images that are all of one size are shown whole.
SMALL = 64
# The paper's shorter side, in pixels, of an image whose 224x224 at the centre tests see (section 3.4).
SHORTER_SIDE = 256 / 224
# Where a JPEG decoder scales, it leaves so many pixels, down and across, for one of the view: then its filter
# changes no more than bicubic instead of bilinear would, 2 grey levels in the mean.
PIXELS_LEFT = 2


def shorter_side(size: int) -> int:
    """Shorter side, in pixels, of the scaled image whose centre tests see: 256 for 224."""
    return round(size * SHORTER_SIDE)


@dataclasses.dataclass(frozen=True)
class View:
    """How a net sees the images of a source.

    Args:
        size: side of the net's input in pixels.
        whole: True where all images are equally small and seen whole, shifted a little in training
            (the paper's CIFAR); False where a crop of them is seen (the paper's ImageNet).
        mirrored: whether training shows mirror images as well.
        augmentation: which crops training sees: "paper" or "inception".
        shift: pixels by which whole images are shifted at most, up and down, left and right; None: an
            eighth of their side, the paper's 4 for 32.
    """

    size: int
    whole: bool
    mirrored: bool
    augmentation: str = "paper"
    shift: int | None = None

    @property
    def padding(self) -> int:
        """Pixels of padding around whole images in training."""
        return -(-self.size // 8) if self.shift is None else self.shift


VIEWS = ("center", "ten_crop", "multi_scale")
# Shorter sides at which the paper's best results see an image whole, for nets made for 224 (section 3.4).
SCALES = (224, 256, 384, 480, 640)


@dataclasses.dataclass(frozen=True)
class Views:
    """Which views of an image a test shows (section 3.4).

    Args:
        kind: "center": one, as in the test after each epoch; "ten_crop": the four corners and the centre of
            the image scaled to a shorter side of 256 for a net of 224, to be seen mirrored as well;
            "multi_scale": all of the image at each of `sides`.
        size: side of the net's input in pixels.
        channels: of the net's input, as which files are decoded; pixels keep theirs.
        whole: for "center", as of `View`.
        sides: for "multi_scale", shorter sides in pixels, none less than `size`.

    Raises:
        UserError: a side is less than the net's.
    """

    kind: str
    size: int
    channels: int
    whole: bool = False
    sides: tuple[int, ...] = ()

    def __post_init__(self):
        small = [side for side in self.sides if side < self.size]
        if small:
            raise UserError(
                f"--sides={','.join(map(str, self.sides))}: {small[0]} is less than {self.size}, the side of "
                "the images that the net was made for."
            )


def default_sides(size: int) -> tuple[int, ...]:
    """The paper's shorter sides, in proportion, for a net of this size."""
    return tuple(round(side * size / SCALES[0]) for side in SCALES)


def choose_view(
    source: Source,
    *,
    default_size: int,
    smallest_size: int,
    image_size: int | None = None,
    mirrored: bool | None = None,
    augmentation: str = "paper",
    shift: int | None = None,
) -> View:
    """The view of these images for a net.

    Args:
        default_size: side of the images the net was made for; crops have it.
        smallest_size: side of the smallest image the net takes; smaller images are enlarged to it.
        image_size, mirrored: the user's own choice, or None.
        augmentation, shift: as of `View`.

    Raises:
        UserError: `image_size` is smaller than the net takes, or whole images are to be cropped.
    """
    sides = [side for side in source.image_shape[:2] if side is not None]
    whole = len(sides) == 2 and max(sides) <= SMALL
    if image_size is None:
        size = max(*sides, smallest_size) if whole else default_size
    elif image_size < smallest_size:
        raise UserError(
            f"--image_size={image_size} is too small for this net, which takes {smallest_size} or more."
        )
    else:
        size = image_size
    if whole and augmentation != "paper":
        raise UserError(
            f"--augmentation={augmentation} is for images larger than {SMALL}x{SMALL} or of several sizes; "
            f"those of {source.name} are seen whole, and take --augmentation=paper."
        )
    if shift is not None and not whole:
        raise UserError(
            f"--shift={shift} is for images up to {SMALL}x{SMALL}, all of one size; of {source.name} "
            "training sees crops."
        )
    if shift is not None and shift >= size:
        raise UserError(f"--shift={shift} must be less than the {size} pixels of an image's side.")
    return View(size, whole, source.mirrored if mirrored is None else mirrored, augmentation, shift)
