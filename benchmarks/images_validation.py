"""Validation images from JPEG files of 500x375, compared with Keras' own way."""

import shutil
import time

import photos
from compare import OURS, Benchmark, Side, main

FILES, BATCH, SIZE = 1024, 64, 224


def passes_per_second(batches):
    """Returns a measurement of a pass over all files, in images/s."""

    def one_pass():
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in batches)
        return count / (time.perf_counter() - start)

    one_pass()
    return one_pass


def _folder():
    root = photos.folder(FILES)
    shutil.rmtree(root / "val")
    (root / "train").rename(root / "val")
    return root


def ours(options):
    from keras_resnet.data.input_spec import InputSpec, InputTransform
    from keras_resnet.data.load import load_dataset
    from keras_resnet.data.pipeline import Pipeline

    root = _folder()
    shutil.copytree(root / "val", root / "train")
    images = Pipeline(load_dataset(str(root)), InputTransform(InputSpec(SIZE, 3, "center"), hflip=True))
    return passes_per_second(images.validation_batches(BATCH))


def keras_layers(options):
    import keras
    import tensorflow as tf

    files = keras.utils.image_dataset_from_directory(
        _folder() / "val", image_size=(375, 500), batch_size=BATCH, shuffle=False, verbose=False
    )
    view = keras.Sequential(
        [keras.layers.Resizing(256, 341, antialias=True), keras.layers.CenterCrop(SIZE, SIZE)]
    )
    return passes_per_second(
        files.map(lambda x, y: (view(x), y), num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    )


BENCHMARK = Benchmark(
    name="images-validation",
    work="images for validation from JPEG files of 500x375",
    unit="images/s",
    sides={OURS: Side(ours), "image_dataset_from_directory, Resizing, CenterCrop": Side(keras_layers)},
    fresh=True,  # a waiting side would keep reading ahead
    needs={"image_dataset_from_directory, Resizing, CenterCrop": 1.5},
)

if __name__ == "__main__":
    main(BENCHMARK)
