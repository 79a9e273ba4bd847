"""Residual networks as in the paper (He et al. 2015) for Keras 3: train, evaluate, ship."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names
from keras_resnet._registration import register_with_keras

if TYPE_CHECKING:
    from keras_resnet import data, evaluation, export, inference, training, weights
    from keras_resnet.data.dataset import Dataset
    from keras_resnet.data.load import load_dataset
    from keras_resnet.errors import UserError
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
    from keras_resnet.models.constructors import (
        CifarPlainNet,
        CifarResNet,
        PlainNet18,
        PlainNet34,
        ResNet18,
        ResNet18D,
        ResNet34,
        ResNet34D,
        ResNet50,
        ResNet50D,
        ResNet50V2,
        ResNet101,
        ResNet101D,
        ResNet101V2,
        ResNet152,
        ResNet152D,
        ResNet152V2,
        ResNeXt50_32x4d,
        ResNeXt101_32x8d,
        ResNeXt101_64x4d,
        WideResNet50_2,
        WideResNet101_2,
    )
    from keras_resnet.models.deepen import deepen
    from keras_resnet.models.freezing import freeze
    from keras_resnet.models.layers import conv_bn, dense_bn
    from keras_resnet.models.preprocessing import Preprocessing, decode_predictions, preprocess_input
    from keras_resnet.models.pyramid import feature_pyramid
    from keras_resnet.models.resnet import ResNet
    from keras_resnet.models.saving import load_model
    from keras_resnet.models.surgery import fold_batch_norm, fully_convolutional
    from keras_resnet.runs.config import TrainConfig
    from keras_resnet.runs.dry_run import Plan, dry_run
    from keras_resnet.runs.evaluate import EvaluateConfig, evaluate
    from keras_resnet.runs.explain import explain
    from keras_resnet.runs.predictor import load_predictor
    from keras_resnet.runs.run import Run
    from keras_resnet.runs.train import train
    from keras_resnet.training.recipes import Recipe
    from keras_resnet.training.signals import Interrupted

__version__ = "0.1.0"

# Module of each public name; a subpackage is its own module.
_MODULES = {
    "keras_resnet.data": ("data",),
    "keras_resnet.data.dataset": ("Dataset",),
    "keras_resnet.data.load": ("load_dataset",),
    "keras_resnet.errors": ("UserError",),
    "keras_resnet.evaluation": ("evaluation",),
    "keras_resnet.export": ("export",),
    "keras_resnet.inference": ("inference",),
    "keras_resnet.models.architectures": ("Architecture",),
    "keras_resnet.models.blocks": (
        "basic_block",
        "bottleneck_block",
        "dense_block",
        "identity_shortcut",
        "projection_shortcut",
        "shortcut_branch",
        "zero_padding_shortcut",
    ),
    "keras_resnet.models.complexity": ("complexity",),
    "keras_resnet.models.constructors": (
        "CifarPlainNet",
        "CifarResNet",
        "PlainNet18",
        "PlainNet34",
        "ResNet18",
        "ResNet34",
        "ResNet50",
        "ResNet101",
        "ResNet152",
        "ResNeXt50_32x4d",
        "ResNeXt101_32x8d",
        "ResNeXt101_64x4d",
        "ResNet18D",
        "ResNet34D",
        "ResNet50D",
        "ResNet50V2",
        "ResNet101D",
        "ResNet101V2",
        "ResNet152D",
        "ResNet152V2",
        "WideResNet50_2",
        "WideResNet101_2",
    ),
    "keras_resnet.models.deepen": ("deepen",),
    "keras_resnet.models.freezing": ("freeze",),
    "keras_resnet.models.layers": ("conv_bn", "dense_bn"),
    "keras_resnet.models.preprocessing": ("Preprocessing", "decode_predictions", "preprocess_input"),
    "keras_resnet.models.pyramid": ("feature_pyramid",),
    "keras_resnet.models.resnet": ("ResNet",),
    "keras_resnet.models.saving": ("load_model",),
    "keras_resnet.models.surgery": ("fold_batch_norm", "fully_convolutional"),
    "keras_resnet.runs.config": ("TrainConfig",),
    "keras_resnet.runs.dry_run": ("Plan", "dry_run"),
    "keras_resnet.runs.evaluate": ("EvaluateConfig", "evaluate"),
    "keras_resnet.runs.explain": ("explain",),
    "keras_resnet.runs.predictor": ("load_predictor",),
    "keras_resnet.runs.run": ("Run",),
    "keras_resnet.runs.train": ("train",),
    "keras_resnet.training": ("training",),
    "keras_resnet.training.recipes": ("Recipe",),
    "keras_resnet.training.signals": ("Interrupted",),
    "keras_resnet.weights": ("weights",),
}

__all__ = [
    "Architecture",
    "CifarPlainNet",
    "CifarResNet",
    "Dataset",
    "EvaluateConfig",
    "Interrupted",
    "PlainNet18",
    "PlainNet34",
    "Plan",
    "Preprocessing",
    "Recipe",
    "ResNeXt50_32x4d",
    "ResNeXt101_32x8d",
    "ResNeXt101_64x4d",
    "ResNet",
    "ResNet18",
    "ResNet18D",
    "ResNet34",
    "ResNet34D",
    "ResNet50",
    "ResNet50D",
    "ResNet50V2",
    "ResNet101",
    "ResNet101D",
    "ResNet101V2",
    "ResNet152",
    "ResNet152D",
    "ResNet152V2",
    "Run",
    "TrainConfig",
    "UserError",
    "WideResNet50_2",
    "WideResNet101_2",
    "basic_block",
    "bottleneck_block",
    "complexity",
    "conv_bn",
    "data",
    "decode_predictions",
    "deepen",
    "dense_block",
    "dense_bn",
    "dry_run",
    "evaluate",
    "evaluation",
    "explain",
    "export",
    "feature_pyramid",
    "fold_batch_norm",
    "freeze",
    "fully_convolutional",
    "identity_shortcut",
    "inference",
    "load_dataset",
    "load_model",
    "load_predictor",
    "preprocess_input",
    "projection_shortcut",
    "shortcut_branch",
    "train",
    "training",
    "weights",
    "zero_padding_shortcut",
]

# Type checkers, which read the imports above, would accept any name from a `__getattr__`.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__, {name: module for module, names in _MODULES.items() for name in names}
    )

register_with_keras()
