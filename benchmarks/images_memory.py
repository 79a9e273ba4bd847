"""Resident memory while a model trains from 2 GB of JPEG files, compared with one repeated batch.

python benchmarks/images_memory.py
"""

import json
import os
import pathlib
import sys

import photos
from compare import in_a_process, store
from work import our_steps_on, peak_memory

_STEPS_ON_ONE = 100  # after which one batch takes no more memory
GIGABYTES, FILES, BATCH, SIZE, LIMIT = 2.0, 512, 64, 64, 1.5


def files() -> pathlib.Path:
    """Links images repeatedly until they are 2 GB; each link is read as a file of its own."""
    root = photos.folder(FILES)
    for below in root.glob("train/*"):
        paths = sorted(below.iterdir())
        copies = round(GIGABYTES * 1e9 / (2 * sum(path.stat().st_size for path in paths)))
        for copy in range(copies - 1):
            for path in paths:
                os.link(path, below / f"{copy}-{path.name}")
    return root


def measure(fed: int) -> dict:
    """Returns the peak of resident memory after an epoch over the files, or as many steps on one batch."""
    import tensorflow as tf

    from keras_resnet.data.input_spec import InputSpec, InputTransform
    from keras_resnet.data.load import load_dataset
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.models import architectures
    from keras_resnet.models.classifier import build_classifier

    images = Pipeline(load_dataset(str(files())), InputTransform(InputSpec(SIZE, 3, "center"), hflip=True))
    mean = images.mean(per_pixel=False)
    batches, steps = images.train_batches(BATCH, 1, mean), images.steps_per_epoch(BATCH)
    if not fed:
        steps = min(steps, _STEPS_ON_ONE)
        batches = tf.data.Dataset.from_tensors(next(iter(batches))).repeat()
    our_steps_on(build_classifier(architectures.cifar_architecture(8), (SIZE, SIZE, 3), 2, mean), batches)(
        steps - 1
    )
    return {"fed": bool(fed), "steps": steps, "peak GiB": peak_memory()}


def main():
    if sys.argv[1:2] == ["--one"]:
        print("VALUE", json.dumps(measure(int(sys.argv[2]))))
        return
    constant, fed = (in_a_process(__file__, fed)["peak GiB"] for fed in (0, 1))
    record = store("images-memory", {"gigabytes": GIGABYTES, "peak GiB": {"fed": fed, "one batch": constant}})
    print(f"{record['machine']}: {fed:.2f} GiB fed from {GIGABYTES} GB of files, {constant:.2f} GiB without")
    if fed - constant > LIMIT:
        raise SystemExit(f"More than {LIMIT} GiB for the files.")


if __name__ == "__main__":
    main()
