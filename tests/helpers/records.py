"""The parts of a finished run's record, for tests that need one without a training."""

import dataclasses

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.models.architectures import cifar_architecture
from keras_resnet.runs.config import TrainConfig
from keras_resnet.training.recipes import RECIPES


def make_settings(architecture=None, recipe="digits", spec=None, **dataset):
    """Settings of a run, nested as the package nests them."""
    return {
        "architecture": dataclasses.asdict(architecture or cifar_architecture(20)),
        "dataset": {
            "name": "digits",
            "train_split": "train",
            "validation_split": "test",
            "test_split": None,
            "train_images": 1442,
            "validation_images": 355,
            "test_images": None,
            "class_names": list("0123456789"),
            **dataset,
        },
        "input": {
            **(spec or InputSpec(8, 1)).as_dict(),
            "hflip": False,
            "augmentation": "paper",
            "crop_padding": 1,
        },
        "recipe": {"name": recipe, **RECIPES[recipe].settings()},
        "training": {
            "drop_path": 0.0,
            "gradient_accumulation_steps": 1,
            "sync_batch_norm": False,
            "mixed_precision": "none",
            "seed": 0,
            "precise_bn": None,
        },
        "initial_weights": None,
        "grow_from": None,
        "version": "0",
    }


def make_metadata(recipe="digits", **values):
    """Metadata of a run."""
    prose = {
        "reference": RECIPES[recipe].reference,
        "expected_accuracy": RECIPES[recipe].expected_accuracy,
    }
    return {"command": "keras-resnet train", "versions": {"Python": "3"}, "recipe": prose, **values}


CONFIG = TrainConfig().as_dict()
SETTINGS = make_settings()
METADATA = make_metadata()
RESULTS = {"accuracy": 0.5, "validation_error": 0.5, "seconds": 1.0}
