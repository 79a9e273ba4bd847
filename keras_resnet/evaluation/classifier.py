"""What every file of a net says of it, and what a net has to be for that."""

import dataclasses

import keras


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A net from plain pixels to probabilities, with the names of its classes.

    Args:
        net: (N, size, size, channels), pixels 0..255 -> (N, classes).
        class_names: in the order of the outputs; none given: "0", "1", ...
        whole: whether it was trained on whole images or on their centres.

    Raises:
        ValueError: the net takes or gives something else, or the names do not fit.
    """

    net: keras.Model
    class_names: tuple[str, ...] = ()
    whole: bool = True

    def __post_init__(self):
        net = self.net
        shapes = [tuple(tensor.shape[1:]) for tensor in (*net.inputs, *net.outputs)]
        if len(shapes) != 2 or len(shapes[0]) != 3 or len(shapes[1]) != 1:
            raise ValueError(
                f"{net.name} is no net from one image to probabilities: its shapes are {shapes}."
            )
        height, width, channels = shapes[0]
        if None in shapes[0]:
            raise ValueError(f"{net.name} takes images of any size {shapes[0]}; a file needs a fixed one.")
        if height != width or channels not in (1, 3):
            raise ValueError(
                f"{net.name} takes images of {shapes[0]}; files are for squares of 1 or 3 channels."
            )
        names = tuple(self.class_names) or tuple(map(str, range(shapes[1][0])))
        if len(names) != shapes[1][0]:
            raise ValueError(f"{net.name} has {shapes[1][0]} classes; got {len(names)} names for them.")
        broken = [name for name in names if not name.strip() or set("\r\n") & set(name)]
        if broken:
            raise ValueError(f"A class name must be one line that is not empty; got {broken[0]!r}.")
        object.__setattr__(self, "class_names", names)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.net.inputs[0].shape[1]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.net.inputs[0].shape[3]

    @property
    def preprocessing(self) -> dict[str, int | bool]:
        """How its images are prepared, as it is written beside or into the files."""
        return {"channels": self.channels, "size": self.size, "whole": self.whole}
