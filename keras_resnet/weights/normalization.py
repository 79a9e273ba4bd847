"""How pixels are normalized for networks with public weights."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Computes (pixels - mean) / std from pixels 0..255.

    Args:
        mean, std: one value per color, in RGB order.
        bgr: whether the network takes the channels in BGR order.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


def from_unit_range(values: Iterable[float]) -> tuple[float, float, float]:
    """Converts three values for pixels 0..1, as PyTorch states them, to pixels 0..255.

    Raises:
        ValueError: there are not exactly three values.
    """
    red, green, blue = (255 * float(value) for value in values)
    return red, green, blue


# Keyed by the name that keras.applications calls `mode`, or by the dataset whose mean it is.
NORMALIZATIONS = {
    "caffe": Normalization((123.68, 116.779, 103.939), bgr=True),
    "tf": Normalization(from_unit_range((0.5, 0.5, 0.5)), from_unit_range((0.5, 0.5, 0.5))),
    "torch": Normalization(from_unit_range((0.485, 0.456, 0.406)), from_unit_range((0.229, 0.224, 0.225))),
    "cifar10": Normalization(
        from_unit_range((0.4914, 0.4822, 0.4465)), from_unit_range((0.2023, 0.1994, 0.2010))
    ),
    "cifar100": Normalization(
        from_unit_range((0.5070, 0.4865, 0.4409)), from_unit_range((0.2673, 0.2564, 0.2761))
    ),
}
