"""Fine-tuning against training from scratch on few images: the two halves of Fashion-MNIST's classes.

    python benchmarks/finetune.py --seeds=3 --output_dir=FOLDER

A ResNet-20 is trained on all images of the first five classes. Then models learn the other five classes,
from 100 images of each: one that starts from those weights, and others that start from random weights. Each
seed draws other images. Finished runs are not repeated.
"""

import argparse
import pathlib
import statistics

import numpy as np

CLASSES = 10
COMMON = {"depth": 20, "mixed_precision": "bfloat16", "log": "plain", "export": ("float32",)}
PRETRAINING = {"recipe": "modern", "epochs": 4, "batch_size": 64, "crop_padding": 1, "zero_gamma": False}
# Fields of `TrainConfig`; None stands for the pretrained run.
WAYS = {
    "fine-tuned (finetune, 20 epochs)": {"recipe": "finetune", "weights": None},
    "fine-tuned, all layers at once (modern, 20 epochs, learning rate 0.01)": {
        "recipe": "modern",
        "epochs": 20,
        "batch_size": 32,
        "learning_rate": 0.01,
        "weights": None,
    },
    "from scratch (modern, 20 epochs)": {"recipe": "modern", "epochs": 20, "batch_size": 32},
    "from scratch (modern, 60 epochs)": {"recipe": "modern", "epochs": 60, "batch_size": 32},
}


def half(first: int, per_class: int | None = None, seed: int = 0):
    """Returns the five classes from `first` on as a dataset, all or some of their training images."""
    import tensorflow_datasets as tfds

    import keras_resnet

    data, info = tfds.load("fashion_mnist", batch_size=-1, with_info=True)
    splits = {}
    for split in ("train", "test"):
        images, labels = (np.asarray(data[split][key]) for key in ("image", "label"))
        chosen = []
        for label in range(first, first + CLASSES // 2):
            indices = np.flatnonzero(labels == label)
            if split == "train" and per_class:
                indices = np.random.default_rng(seed).permutation(indices)[:per_class]
            chosen.append(indices)
        chosen = np.concatenate(chosen)
        splits[split] = images[chosen], labels[chosen] - first
    return keras_resnet.data.from_arrays(
        splits["train"],
        splits["test"],
        class_names=info.features["label"].names[first : first + CLASSES // 2],
        name=f"fashion_mnist, classes {first} to {first + 4}, seed {seed}",
        hflip=False,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output_dir", type=pathlib.Path, default=pathlib.Path("saved_models/finetune"))
    arguments = parser.parse_args()
    errors = measure(arguments.output_dir, arguments.seeds)
    print("| | test error | each seed |\n|---|---|---|")
    for way, values in errors.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0
        each = ", ".join(f"{value:.2f}" for value in values)
        print(f"| {way} | {statistics.mean(values):.2f} +- {spread:.2f}% | {each} |")


def measure(folder: pathlib.Path, seeds: int, **fields) -> dict[str, list[float]]:
    """Trains what is not trained yet, and returns the held-out error of each seed, in percent, by way.

    Args:
        folder: of the runs.
        seeds: number of them.
        fields: of `TrainConfig`, for all trainings.
    """
    import keras_resnet

    common = keras_resnet.TrainConfig(**COMMON, output_dir=folder)
    pretrained = keras_resnet.train(
        common, dataset=half(0), run_name="pretrained", **{**PRETRAINING, **fields}
    )
    print(f"First five classes: {100 * pretrained.metrics['validation_error']:.2f}% error.")
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        dataset = half(CLASSES // 2, 100, seed)
        for number, (way, settings) in enumerate(WAYS.items()):
            settings = {**settings, **fields}
            if "weights" in settings:
                settings["weights"] = pretrained.path
            run = keras_resnet.train(
                common, dataset=dataset, seed=seed, run_name=f"way{number}-{seed}", **settings
            )
            errors[way].append(100 * run.metrics["validation_error"])
    return errors


if __name__ == "__main__":
    main()
