"""As which numbers nets with public weights see the pixels of a picture."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What a net with certain weights sees: (pixels - mean) / deviation, of pixels 0..255.

    Args:
        mean, deviation: of each colour, in the order of RGB.
        reverse: whether the net sees blue first (BGR).
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    reverse: bool = False


def of_unit(values: Iterable[float]) -> tuple[float, float, float]:
    """The same for pixels 0..255, as PyTorch's numbers are for 0..1.

    Raises:
        ValueError: they are not three.
    """
    red, green, blue = (255 * float(value) for value in values)
    return red, green, blue


# By the word that keras.applications has for each, its `mode`.
PIXELS = {
    "caffe": Pixels((123.68, 116.779, 103.939), reverse=True),
    "torch": Pixels(of_unit((0.485, 0.456, 0.406)), of_unit((0.229, 0.224, 0.225))),
}
