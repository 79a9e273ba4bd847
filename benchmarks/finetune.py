"""Fine-tuning against training from scratch on few pictures: the two halves of Fashion-MNIST's classes.

    python benchmarks/finetune.py --seeds=3 --output_dir=FOLDER

A ResNet-20 is trained on all pictures of the first five classes. Then nets are to tell the other five apart,
from 100 pictures of each: one that begins with those weights, and ones that begin with random numbers. Each
seed draws other pictures. Runs that are done are not done again.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

CLASSES = 10
PRETRAINING = ("--recipe=modern", "--epochs=4", "--batch_size=64", "--shift=1", "--nozero_gamma")
WAYS = {
    "fine-tuned (finetune, 20 epochs)": ("--recipe=finetune", "--weights={pretrained}"),
    "fine-tuned, all at once (modern, 20 epochs, learning rate 0.01)": (
        "--recipe=modern",
        "--epochs=20",
        "--batch_size=32",
        "--learning_rate=0.01",
        "--weights={pretrained}",
    ),
    "from scratch (modern, 20 epochs)": ("--recipe=modern", "--epochs=20", "--batch_size=32"),
    "from scratch (modern, 60 epochs)": ("--recipe=modern", "--epochs=60", "--batch_size=32"),
}
_COMMON = ("--depth=20", "--nomirror", "--mixed_precision=bfloat16", "--export=", "--log=plain")


def write_pictures(folder: pathlib.Path, first: int, per_class: int | None, seed: int = 0) -> None:
    """train/CLASS/ and val/CLASS/ of the five classes from `first` on, as PNG files."""
    if folder.is_dir():
        return
    data, info = tfds.load("fashion_mnist", batch_size=-1, with_info=True)
    names = [name.replace("/", "-") for name in info.features["label"].names]
    for split, place in (("train", "train"), ("test", "val")):
        images, labels = (np.asarray(data[split][key]) for key in ("image", "label"))
        for label in range(first, first + CLASSES // 2):
            found = np.flatnonzero(labels == label)
            if split == "train" and per_class:
                found = np.random.default_rng(seed).permutation(found)[:per_class]
            target = folder / place / names[label]
            target.mkdir(parents=True)
            for number in found:
                PIL.Image.fromarray(images[number, :, :, 0]).save(target / f"{number}.png")


def train(dataset: pathlib.Path, folder: pathlib.Path, name: str, *flags: str) -> float:
    """Test error in percent of a run, which is done unless it is there."""
    command = [
        sys.executable,
        "-m",
        "keras_resnet",
        "train",
        f"--dataset={dataset}",
        f"--output_dir={folder}",
    ]
    subprocess.run([*command, f"--run_name={name}", *_COMMON, *flags], check=True)
    return 100 * json.loads((folder / name / "run.json").read_text())["results"]["test_error"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output_dir", type=pathlib.Path, default=pathlib.Path("saved_models/finetune"))
    arguments = parser.parse_args()
    folder = arguments.output_dir
    write_pictures(folder / "first-half", 0, None)
    pretrained = folder / "pretrained"
    error = train(folder / "first-half", folder, pretrained.name, *PRETRAINING)
    print(f"First five classes: {error:.2f}% test error.")
    errors = {way: [] for way in WAYS}
    for seed in range(arguments.seeds):
        pictures = folder / f"second-half-{seed}"
        write_pictures(pictures, CLASSES // 2, 100, seed)
        for number, (way, flags) in enumerate(WAYS.items()):
            flags = [flag.format(pretrained=pretrained) for flag in flags]
            errors[way].append(train(pictures, folder, f"way{number}-{seed}", *flags, f"--seed={seed}"))
    print("| | test error | each seed |\n|---|---|---|")
    for way, values in errors.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0
        each = ", ".join(f"{value:.2f}" for value in values)
        print(f"| {way} | {statistics.mean(values):.2f} +- {spread:.2f}% | {each} |")


if __name__ == "__main__":
    main()
