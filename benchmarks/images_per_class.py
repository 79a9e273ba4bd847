"""Accuracy against the number of training images of each class, from scratch and fine-tuned.

    python benchmarks/images_per_class.py --cifar=CIFAR --output_dir=FOLDER

CIFAR holds CIFAR-10 as JPEG files, in train/CLASS/ and test/CLASS/. A ResNet-20 that is trained on five of
its classes stands for public weights; the other five are somebody's own images. Each training gets their
folder alone, or the folder and these weights: recipe, batch and epochs are what the package chooses. Finished
runs are not repeated.
"""

import argparse
import pathlib
import shutil
from typing import Any

import numpy as np
from compare import store

PRETRAINED = ("airplane", "automobile", "bird", "cat", "deer")
OWN = ("dog", "frog", "horse", "ship", "truck")
# Of each class.
COUNTS = (10, 30, 100, 300)
PRETRAINING_IMAGES, VALIDATION_IMAGES, TEST_IMAGES = 1500, 10, 200
PRETRAINING = {"depth": 20, "recipe": "modern", "epochs": 8}
COMMON: dict[str, Any] = {"mixed_precision": "bfloat16", "log": "plain", "export": ()}
FROM_SCRATCH, FINE_TUNED = "from scratch", "fine-tuned"


def images_of(
    cifar: pathlib.Path, folder: pathlib.Path, classes: tuple[str, ...], count: int, seed: int
) -> pathlib.Path:
    """Returns a folder with `count` training images of each class, and images for validation and test.

    Args:
        seed: chooses them. Fewer images are some of more, and validation and test are the same.
    """
    if folder.exists():
        return folder
    started = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(started, ignore_errors=True)
    for name in classes:
        files = sorted((cifar / "train" / name).glob("*.jpg"))
        files = [files[index] for index in np.random.default_rng(seed).permutation(len(files))]
        splits = {
            "val": files[:VALIDATION_IMAGES],
            "train": files[VALIDATION_IMAGES : VALIDATION_IMAGES + count],
            "test": sorted((cifar / "test" / name).glob("*.jpg"))[:TEST_IMAGES],
        }
        for split, chosen in splits.items():
            (started / split / name).mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, started / split / name)
    started.rename(folder)
    return folder


def measure(cifar: pathlib.Path, output_dir: pathlib.Path, seed: int) -> dict[str, Any]:
    """Trains what is not trained yet, and returns what was trained and its accuracy on the test images."""
    import keras_resnet

    output_dir.mkdir(parents=True, exist_ok=True)
    common = keras_resnet.TrainConfig(**COMMON, output_dir=output_dir / "runs", seed=seed)
    first = images_of(cifar, output_dir / "first", PRETRAINED, PRETRAINING_IMAGES, seed)
    pretrained = keras_resnet.train(common, dataset=first, run_name="pretrained", **PRETRAINING)
    rows = []
    for count in COUNTS:
        folder = images_of(cifar, output_dir / f"own{count}", OWN, count, seed)
        for way, fields in ((FROM_SCRATCH, {}), (FINE_TUNED, {"weights": pretrained.path})):
            name = f"{way.replace(' ', '-')}-{count}"
            run = keras_resnet.train(common, dataset=folder, run_name=name, **fields)
            recipe = run.record.settings["recipe"]
            rows.append(
                {
                    "images": count,
                    "way": way,
                    "accuracy": round(100 * run.metrics["accuracy"], 2),
                    **{name: recipe[name] for name in ("name", "epochs", "batch_size")},
                }
            )
    return {"pretrained_accuracy": round(100 * pretrained.metrics["accuracy"], 2), "rows": rows}


def markdown(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: images of each class, accuracy and recipe of each way."""
    lines = ["| images per class | from scratch | fine-tuned |", "|---|---|---|"]
    for count in COUNTS:
        ways = {row["way"]: row for row in rows if row["images"] == count}
        cells = [
            f"{row['accuracy']:.1f}% (`{row['name']}`, {row['epochs']} epochs, batch {row['batch_size']})"
            for row in (ways[FROM_SCRATCH], ways[FINE_TUNED])
        ]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", type=pathlib.Path, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, default=pathlib.Path("saved_models/own"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    measured = measure(arguments.cifar, arguments.output_dir, arguments.seed)
    contents = {
        "work": f"accuracy on {TEST_IMAGES} test images of each of {', '.join(OWN)} (CIFAR-10), ResNet-20, "
        f"seed {arguments.seed}; fine-tuned from a training on {', '.join(PRETRAINED)}",
        "unit": "%",
        **measured,
    }
    store("images-per-class", contents)
    print(markdown(measured["rows"]))


if __name__ == "__main__":
    main()
