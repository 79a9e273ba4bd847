"""Counts the parameters and multiply-adds of a model, by layer and by stage."""

import dataclasses
import math

import keras

from keras_resnet.errors import UserError
from keras_resnet.models.copying import Copier
from keras_resnet.weights.names import stage_of

# Layers with one multiply-add per kernel weight and output position.
_COUNTED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
_FREE = (keras.layers.BatchNormalization,)


@dataclasses.dataclass(frozen=True)
class LayerComplexity:
    """The size of one layer or stage.

    Args:
        name: of the layer or stage.
        output_shape: for one image.
        parameters: trainable ones.
        macs: multiply-adds for one image.
    """

    name: str
    output_shape: tuple[int | None, ...]
    parameters: int
    macs: int


@dataclasses.dataclass(frozen=True)
class Complexity:
    """The size of a model. The paper's FLOPs are `macs`; `flops` counts a multiply-add as two operations."""

    layers: tuple[LayerComplexity, ...]

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image, in convolutions and fully connected layers, as the paper counts."""
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        """Floating-point operations for one image: two per multiply-add."""
        return 2 * self.macs

    def stages(self) -> tuple[LayerComplexity, ...]:
        """Sums the layers by stage, as in Table 1: conv1, conv2 (with the stem's max pool), ..., head."""
        stages: dict[str, list[LayerComplexity]] = {}
        for layer in self.layers:
            stage = stage_of(layer.name) or "head"
            if stage != "head" or stages:  # layers before conv1 belong to no stage
                stages.setdefault(stage, []).append(layer)
        return tuple(
            LayerComplexity(
                stage,
                layers[-1].output_shape,
                sum(layer.parameters for layer in layers),
                sum(layer.macs for layer in layers),
            )
            for stage, layers in stages.items()
        )


def complexity(model: keras.Model, input_shape: tuple[int, int, int] | None = None) -> Complexity:
    """Counts the trainable parameters and multiply-adds of a flat Functional model.

    Batch normalization, activations, additions and pools take no multiply-adds, as in the paper.

    Args:
        input_shape: of one image; required if the model takes images of any size.

    Raises:
        UserError: the size of the images is not known, or the multiply-adds of a layer with weights are not.
    """
    if input_shape is not None:
        inputs = keras.tree.map_structure(lambda _: keras.Input(input_shape), model.input)
        model = Copier().copy(model, inputs)
    return Complexity(tuple(_count(layer) for layer in model.layers))


def _count(layer: keras.layers.Layer) -> LayerComplexity:
    shape = tuple(layer.output.shape[1:])
    parameters = sum(math.prod(w.shape) for w in layer.trainable_weights)
    macs = 0
    if isinstance(layer, _COUNTED):
        positions = shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]
        if None in positions:
            raise UserError(
                f"the model takes images of any size, so the output of {layer.name} has no fixed size; give "
                "the shape of one image.",
                parameter="input_shape",
            )
        macs = math.prod(positions) * math.prod(layer.kernel.shape)
    elif parameters and not isinstance(layer, _FREE):
        raise UserError(
            f"the multiply-adds of its layer {layer.name} ({type(layer).__name__}) are not known; use a "
            "model without such a layer.",
            parameter="model",
        )
    return LayerComplexity(layer.name, shape, parameters, macs)
