"""Parameters and multiply-adds of a net, layer by layer and stage by stage."""

import dataclasses
import math

import keras

from keras_resnet.models.deep import room_to_recurse

# The layers that do one multiply-add for each kernel weight at each output position.
_COUNTED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
_FREE = (keras.layers.BatchNormalization,)


@dataclasses.dataclass(frozen=True)
class LayerComplexity:
    """One layer or stage: shape of its output, trainable parameters, multiply-adds of one image."""

    name: str
    output_shape: tuple[int | None, ...]
    parameters: int
    macs: int


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Size of a net. The paper's FLOPs are `macs`; `flops` counts a multiply-add as two."""

    layers: tuple[LayerComplexity, ...]

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of one image, in convolutions and fully connected layers, as the paper counts."""
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        """Floating-point operations of one image: two a multiply-add."""
        return 2 * self.macs

    def stages(self) -> tuple[LayerComplexity, ...]:
        """The same by stage, as Table 1 has it: conv1, conv2 (with the max pool before it), ..., head."""
        stages: dict[str, list[LayerComplexity]] = {}
        for layer in self.layers:
            stage = _stage_of(layer)
            if stage != "head" or stages:  # what stands before conv1 belongs to no stage
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
    """Count a flat Functional model's trainable parameters and multiply-adds.

    Batch normalisation, activations, additions and pools are not counted, as in the paper.

    Args:
        input_shape: shape of one image; needed where the model was built for any size.

    Raises:
        ValueError: the size of the images is not known, or the model has a layer with weights whose work
            is not known here.
    """
    if input_shape is not None:
        with room_to_recurse():
            model = keras.models.clone_model(model, input_tensors=keras.Input(input_shape))
    return Complexity(tuple(_count(layer) for layer in model.layers))


def _count(layer: keras.layers.Layer) -> LayerComplexity:
    shape = tuple(layer.output.shape[1:])
    parameters = sum(math.prod(w.shape) for w in layer.trainable_weights)
    macs = 0
    if isinstance(layer, _COUNTED):
        positions = shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]
        if None in positions:
            raise ValueError(
                f"The output of {layer.name} has no fixed size: {shape}; give complexity() an input_shape."
            )
        macs = math.prod(positions) * math.prod(layer.kernel.shape)
    elif parameters and not isinstance(layer, _FREE):
        raise ValueError(
            f"The multiply-adds of {layer.name} ({type(layer).__name__}) are not known; give a net without "
            "such a layer."
        )
    return LayerComplexity(layer.name, shape, parameters, macs)


def _stage_of(layer: LayerComplexity) -> str:
    prefix = layer.name.partition("_")[0]
    if prefix == "pool1":
        return "conv2"
    return prefix if prefix[:4] == "conv" and prefix[4:].isdigit() else "head"
