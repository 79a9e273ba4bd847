"""Training images from JPEG files of 12 megapixels: as they are, shrunk once, and by torchvision."""

import atexit
import pathlib
import shutil

import numpy as np
import photos
from compare import OURS, Benchmark, Side, main
from work import pulled_per_second

FILES, BATCH, SIZE = 16, 16, 224
WIDTH, HEIGHT = 4000, 3000
# Batches of each measurement: a few seconds.
BATCHES = {"originals": 24, "shrunk": 160, "torchvision": 8}


def large_photos() -> pathlib.Path:
    return photos.folder(FILES, WIDTH, HEIGHT, noise=2)


def _ours(folder, batches):
    from keras_resnet.data.input_spec import InputSpec, InputTransform
    from keras_resnet.data.load import load_dataset
    from keras_resnet.data.pipeline import Pipeline

    images = Pipeline(load_dataset(str(folder)), InputTransform(InputSpec(SIZE, 3, "center"), hflip=True))
    mean = np.full(3, 128, "float32")
    return pulled_per_second(iter(images.train_batches(BATCH, 10**6, mean)), BATCH, batches, warm_up=4)


def shrunk(options):
    from keras_resnet.data import shrink

    originals = large_photos()
    copy = originals.with_name(f"{originals.name}-shrunk")
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shrink(originals, copy)
    return _ours(copy, BATCHES["shrunk"])


def originals(options):
    return _ours(large_photos(), BATCHES["originals"])


def torchvision(options):
    batches = photos.torchvision_batches(large_photos() / "train", SIZE, BATCH)
    return pulled_per_second(batches, BATCH, BATCHES["torchvision"], warm_up=2)


BENCHMARK = Benchmark(
    name="images-large",
    work="images for training from JPEG files of 4000x3000, as in the paper",
    unit="images/s",
    sides={
        OURS: Side(shrunk),
        "keras_resnet from the originals, without data shrink": Side(originals),
        "torchvision's transforms from the originals, two processes": Side(torchvision),
    },
    fresh=True,  # a waiting side would keep reading ahead
    needs={"keras_resnet from the originals, without data shrink": 8},
)

if __name__ == "__main__":
    main(BENCHMARK)
