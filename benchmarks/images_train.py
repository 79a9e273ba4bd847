"""Training images from JPEG files of 500x375: the paper's augmentation, compared with users' code."""

import photos
from compare import OURS, Benchmark, Side, main
from work import pulled_per_second

FILES, BATCH, BATCHES, SIZE = 512, 64, 48, 224


def batches_per_second(batches):
    return pulled_per_second(batches, BATCH, BATCHES, warm_up=16)


def ours(options):
    from keras_resnet.data.input_spec import InputSpec, InputTransform
    from keras_resnet.data.load import load_dataset
    from keras_resnet.data.pipeline import Pipeline

    images = Pipeline(
        load_dataset(str(photos.folder(FILES))), InputTransform(InputSpec(SIZE, 3, "center"), hflip=True)
    )
    return batches_per_second(iter(images.train_batches(BATCH, 10**6, images.mean(per_pixel=False))))


def _files():
    import tensorflow as tf

    paths = sorted(map(str, photos.folder(FILES).glob("train/*/*.jpg")))
    return tf.data.Dataset.from_tensor_slices(paths).repeat().shuffle(FILES)


def _batches(dataset, view):
    import tensorflow as tf

    dataset = dataset.map(lambda path: view(tf.io.read_file(path)), num_parallel_calls=tf.data.AUTOTUNE)
    return batches_per_second(iter(dataset.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)))


def tf_image(options):
    import tensorflow as tf

    def view(contents):
        image = tf.io.decode_jpeg(contents, channels=3)
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        shorter = tf.random.uniform([], 256, 481)
        image = tf.image.resize(image, tf.cast(shape * shorter / tf.reduce_min(shape), tf.int32))
        image = tf.image.random_crop(image, (SIZE, SIZE, 3))
        return tf.cast(tf.image.random_flip_left_right(image), tf.uint8)

    return _batches(_files(), view)


def decode_alone(options):
    import tensorflow as tf

    def view(contents):
        return tf.io.decode_jpeg(contents, channels=3)[:SIZE, :SIZE]

    return _batches(_files(), view)


def torchvision(options):
    return batches_per_second(photos.torchvision_batches(photos.folder(FILES) / "train", SIZE, BATCH))


BENCHMARK = Benchmark(
    name="images-train",
    work="images for training from JPEG files of 500x375, as in the paper",
    unit="images/s",
    sides={
        OURS: Side(ours),
        "decode, resize, crop in tf.image": Side(tf_image),
        "torchvision's transforms, two processes": Side(torchvision),
        "decoding alone": Side(decode_alone),
    },
    fresh=True,  # a waiting side would keep reading ahead
    needs={
        "decode, resize, crop in tf.image": 1.8,
        "torchvision's transforms, two processes": 3,
        "decoding alone": 0.85,
    },
)

if __name__ == "__main__":
    main(BENCHMARK)
