"""What training does to images, at random but from a seed."""

import tensorflow as tf

# The paper's ImageNet images for a crop of 224: shorter side from 256 to 480 pixels, and 256 for tests.
_SHORTER_SIDE = 256 / 224
_LONGEST_SHORTER_SIDE = 480 / 224


def pad_crop_mirror(
    images: tf.Tensor, padding: int, fill: tf.Tensor, seed: tf.Tensor, *, mirror: bool
) -> tf.Tensor:
    """A random crop of each padded image, or of its mirror image (section 4.2).

    Shapes: (N, H, W, C) -> (N, H, W, C).

    Args:
        padding: pixels on each side: 4 for 32x32.
        fill: what the padding shows, (H, W, C): the mean image, so that it is 0 in the net.
        seed: two integers.
        mirror: whether half of the images are mirrored.
    """
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    shift = tf.random.stateless_uniform([2, batch, 1], seed, -padding, padding + 1, tf.int32)
    rows = tf.range(height) + shift[0]
    columns = tf.range(width) + shift[1]
    if mirror:
        mirrored = tf.random.stateless_uniform([batch, 1], seed + 1, 0, 2, tf.int32) == 1
        columns = tf.where(mirrored, tf.reverse(columns, [1]), columns)
    # Gathering rows, then columns, moves the whole batch at once.
    crops = tf.gather(images, tf.clip_by_value(rows, 0, height - 1), axis=1, batch_dims=1)
    crops = tf.gather(crops, tf.clip_by_value(columns, 0, width - 1), axis=2, batch_dims=1)
    inside_rows = (rows >= 0) & (rows < height)
    inside_columns = (columns >= 0) & (columns < width)
    inside = inside_rows[:, :, tf.newaxis, tf.newaxis] & inside_columns[:, tf.newaxis, :, tf.newaxis]
    return tf.where(inside, crops, fill)


def scale_crop_mirror(image: tf.Tensor, size: int, seed: tf.Tensor, *, mirror: bool) -> tf.Tensor:
    """A random crop of one image at a random scale, or its mirror image (section 3.4).

    Shapes: (H, W, C) -> (size, size, C). For size 224 the shorter side is between 256 and 480 pixels, and
    in proportion for others.
    """
    draws = tf.random.stateless_uniform([4], seed)
    shorter = tf.cast(size, tf.float32) * (_SHORTER_SIDE + draws[0] * (_LONGEST_SHORTER_SIDE - _SHORTER_SIDE))
    image = _resize_shorter_side(image, tf.cast(tf.round(shorter), tf.int32))
    room = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    top, left = tf.unstack(tf.cast(draws[1:3] * room, tf.int32))
    image = image[top : top + size, left : left + size]
    if mirror:
        image = tf.cond(draws[3] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.ensure_shape(image, (size, size, image.shape[-1]))


def centre_crop(image: tf.Tensor, size: int) -> tf.Tensor:
    """The centre of one image whose shorter side is 256 pixels for size 224 (section 3.4).

    Shapes: (H, W, C) -> (size, size, C).
    """
    image = _resize_shorter_side(image, round(size * _SHORTER_SIDE))
    top, left = tf.unstack((tf.shape(image)[:2] - size) // 2)
    return tf.ensure_shape(image[top : top + size, left : left + size], (size, size, image.shape[-1]))


def resize(image: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
    """An image or a batch of them at another size, bilinear with antialiasing, uint8 as before."""
    resized = tf.image.resize(image, (height, width), antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _resize_shorter_side(image: tf.Tensor, shorter: int | tf.Tensor) -> tf.Tensor:
    shape = tf.shape(image)[:2]
    scale = tf.cast(shorter, tf.float32) / tf.cast(tf.reduce_min(shape), tf.float32)
    height, width = tf.unstack(
        tf.maximum(tf.cast(tf.round(tf.cast(shape, tf.float32) * scale), tf.int32), shorter)
    )
    return resize(image, height, width)
