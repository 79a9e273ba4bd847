"""Residual networks as in the paper (He et al. 2015) for Keras 3."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet import evaluation, export, training, weights
    from keras_resnet.models.architectures import Architecture
    from keras_resnet.models.blocks import (
        basic_block,
        bottleneck_block,
        dense_block,
        identity_shortcut,
        projection_shortcut,
        shortcut_branch,
        zero_padding_shortcut,
    )
    from keras_resnet.models.complexity import complexity
    from keras_resnet.models.freezing import freeze
    from keras_resnet.models.growth import deepen
    from keras_resnet.models.layers import conv_bn, dense_bn
    from keras_resnet.models.preprocessing import Preprocessing, decode_predictions, preprocess_input
    from keras_resnet.models.pyramid import feature_pyramid
    from keras_resnet.models.resnet import (
        CifarPlainNet,
        CifarResNet,
        PlainNet18,
        PlainNet34,
        ResNet,
        ResNet18,
        ResNet34,
        ResNet50,
        ResNet101,
        ResNet152,
    )
    from keras_resnet.models.saving import load_model
    from keras_resnet.models.surgery import fold_batch_norm, fully_convolutional

__version__ = "0.1.0"

__all__ = [
    "Architecture",
    "CifarPlainNet",
    "CifarResNet",
    "PlainNet18",
    "PlainNet34",
    "Preprocessing",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "basic_block",
    "bottleneck_block",
    "complexity",
    "conv_bn",
    "decode_predictions",
    "deepen",
    "dense_block",
    "dense_bn",
    "evaluation",
    "export",
    "feature_pyramid",
    "fold_batch_norm",
    "freeze",
    "fully_convolutional",
    "identity_shortcut",
    "load_model",
    "preprocess_input",
    "projection_shortcut",
    "shortcut_branch",
    "training",
    "weights",
    "zero_padding_shortcut",
]

_BLOCKS = "keras_resnet.models.blocks"
_PREPROCESSING = "keras_resnet.models.preprocessing"
_RESNET = "keras_resnet.models.resnet"

# Type checkers, which read the imports above, would take any name for one that this gives.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Architecture": "keras_resnet.models.architectures",
            "complexity": "keras_resnet.models.complexity",
            "conv_bn": "keras_resnet.models.layers",
            "deepen": "keras_resnet.models.growth",
            "dense_bn": "keras_resnet.models.layers",
            "feature_pyramid": "keras_resnet.models.pyramid",
            "fold_batch_norm": "keras_resnet.models.surgery",
            "freeze": "keras_resnet.models.freezing",
            "fully_convolutional": "keras_resnet.models.surgery",
            "load_model": "keras_resnet.models.saving",
            "evaluation": "keras_resnet.evaluation",
            "export": "keras_resnet.export",
            "training": "keras_resnet.training",
            "weights": "keras_resnet.weights",
            "Preprocessing": _PREPROCESSING,
            "decode_predictions": _PREPROCESSING,
            "preprocess_input": _PREPROCESSING,
            "basic_block": _BLOCKS,
            "bottleneck_block": _BLOCKS,
            "dense_block": _BLOCKS,
            "identity_shortcut": _BLOCKS,
            "projection_shortcut": _BLOCKS,
            "shortcut_branch": _BLOCKS,
            "zero_padding_shortcut": _BLOCKS,
            "ResNet": _RESNET,
            "ResNet18": _RESNET,
            "ResNet34": _RESNET,
            "ResNet50": _RESNET,
            "ResNet101": _RESNET,
            "ResNet152": _RESNET,
            "PlainNet18": _RESNET,
            "PlainNet34": _RESNET,
            "CifarResNet": _RESNET,
            "CifarPlainNet": _RESNET,
        },
    )
