"""Training images of CIFAR's size from memory, cropped and flipped, compared with a map over images."""

import numpy as np
from compare import OURS, Benchmark, Side, main
from work import pulled_per_second

IMAGES, BATCH, BATCHES = 50_000, 128, 200


def images_per_second(batches):
    return pulled_per_second(batches, BATCH, BATCHES, warm_up=20)


def noise():
    """Returns as many pixels as CIFAR has; their values do not matter."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype="uint8")
    return pixels, np.random.default_rng(1).integers(0, 10, IMAGES)


def pipeline():
    from keras_resnet.data.dataset import Dataset
    from keras_resnet.data.input_spec import InputSpec, InputTransform
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.data.sources.arrays import split_from_arrays

    split = split_from_arrays("noise", *noise())
    dataset = Dataset("noise", tuple("0123456789"), (32, 32, 3), split, split, hflip=True)
    return Pipeline(dataset, InputTransform(InputSpec(32), hflip=True))


def ours(options):
    images = pipeline()
    return images_per_second(iter(images.train_batches(BATCH, 10**6, images.mean(per_pixel=True))))


def map_over_images(options):
    import tensorflow as tf

    def view(image, label):
        image = tf.image.resize_with_crop_or_pad(image, 40, 40)
        return tf.image.random_flip_left_right(tf.image.random_crop(image, (32, 32, 3))), label

    images = tf.data.Dataset.from_tensor_slices(noise()).cache().repeat().shuffle(IMAGES)
    images = images.map(view, num_parallel_calls=tf.data.AUTOTUNE)
    return images_per_second(iter(images.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)))


BENCHMARK = Benchmark(
    name="images-cifar",
    work=f"images for training of 32x32 from memory, batch {BATCH}",
    unit="images/s",
    sides={OURS: Side(ours), "tf.data, a map over images": Side(map_over_images)},
    fresh=True,  # a waiting side would keep reading ahead
    needs={"tf.data, a map over images": 5},
)

if __name__ == "__main__":
    main(BENCHMARK)
