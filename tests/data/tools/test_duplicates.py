"""Planted duplicates among real photographs: all are found, and nothing else is."""

import numpy as np
import PIL.Image
import pytest
from helpers.pictures import PHOTOS, encoded, lying

from keras_resnet.data.images.pixels import read_pixels
from keras_resnet.data.tools.duplicates import find_groups, near_pairs, sketch
from keras_resnet.data.tools.validate import validate_folder


def _scaled(pixels, factor, kind="JPEG", **options):
    picture = PIL.Image.fromarray(pixels)
    size = [max(1, round(side * factor)) for side in picture.size]
    return encoded(np.asarray(picture.resize(size, PIL.Image.Resampling.BICUBIC)), kind, **options)


# What was done to the same picture, at the quality 95 of its original.
SAME = {
    "copied": lambda pixels: encoded(pixels, quality=95),
    "as PNG": lambda pixels: encoded(pixels, "PNG"),
    "as WebP": lambda pixels: encoded(pixels, "WEBP", quality=80),
    "quality 90": lambda pixels: encoded(pixels, quality=90),
    "quality 75": lambda pixels: encoded(pixels, quality=75),
    "quality 50": lambda pixels: encoded(pixels, quality=50),
    "half": lambda pixels: _scaled(pixels, 0.5, quality=75),
    "two thirds": lambda pixels: _scaled(pixels, 2 / 3, quality=75),
    "enlarged": lambda pixels: _scaled(pixels, 2.0, quality=75),
    "lying": lambda pixels: lying(pixels, 6),
}
# What makes another picture of it.
OTHER = {
    "flipped": lambda pixels: encoded(pixels[:, ::-1], quality=95),
    "upside down": lambda pixels: encoded(pixels[::-1], quality=95),
    "cropped": lambda pixels: encoded(pixels[12:, 16:], quality=95),
    "darker": lambda pixels: encoded(pixels // 2, quality=95),
    "gray": lambda pixels: encoded(pixels, mode="L", quality=95),
    "negative": lambda pixels: encoded(255 - pixels, quality=95),
}


def _parts(count):
    """Different parts of the two photographs, 120x160, with more contrast than a clear sky."""
    random, found = np.random.default_rng(0), 0
    while found < count:
        photo = PHOTOS[found % 2]
        top, left = int(random.integers(0, 427 - 120)), int(random.integers(0, 640 - 160))
        part = photo[top : top + 120, left : left + 160]
        if part.std() > 20:
            found += 1
            yield part


def _write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_planted_duplicates_are_found_and_no_others(tmp_path):
    originals = list(_parts(len(SAME) + len(OTHER) + 20))
    for number, pixels in enumerate(originals):
        _write(
            tmp_path, f"train/{'cat' if number % 2 else 'dog'}/{number:02}.jpg", encoded(pixels, quality=95)
        )
    for number, (name, change) in enumerate({**SAME, **OTHER}.items()):
        _write(tmp_path, f"val/{'cat' if number % 3 else 'dog'}/{name}.jpg", change(originals[number]))
    report = validate_folder(tmp_path)
    found = {
        tuple(image.path.stem for image in group.images): group.is_identical for group in report.duplicates
    }
    assert found == {(f"{number:02}", name): name == "copied" for number, name in enumerate(SAME)}
    for number, group in enumerate(sorted(report.duplicates, key=lambda group: group.images[0].path.stem)):
        assert group.splits == ["train", "validation"]
        classes = {"cat" if number % 2 else "dog", "cat" if number % 3 else "dog"}
        assert group.classes == sorted(classes)
    # Of the copied one, 00, both are in dog.
    assert report.num_contradictory == 0


def test_identical_images_in_two_classes_contradict_each_other(tmp_path):
    first, second, third = _parts(3)
    for class_name in ("cat", "dog"):
        _write(tmp_path, f"{class_name}/same.png", encoded(first, "PNG"))
        _write(tmp_path, f"{class_name}/{class_name}.png", encoded(PHOTOS[class_name == "cat"], "PNG"))
    _write(tmp_path, "cat/near.png", encoded(second, "PNG"))
    _write(tmp_path, "dog/near.jpg", encoded(second, quality=80))
    _write(tmp_path, "dog/third.png", encoded(third, "PNG"))
    _write(tmp_path, "dog/third again.png", encoded(third, "PNG", compress_level=1))
    report = validate_folder(tmp_path)
    assert [(group.is_identical, group.is_contradictory) for group in report.duplicates] == [
        (False, False),
        (True, True),
        (True, False),
    ]
    assert report.num_contradictory == 1


def test_copies_of_copies_are_one_group():
    pixels = next(_parts(1))
    files = [encoded(pixels, "PNG"), encoded(pixels, quality=90), encoded(pixels, "PNG", compress_level=1)]
    sketches = [sketch(PIL.Image.fromarray(read_pixels(content))) for content in files]
    assert find_groups(sketches) == [[(0, 0), (1, 1), (2, 0)]]
    assert find_groups([]) == []
    assert find_groups(sketches[:1]) == []


def test_empty_pages_are_duplicates_only_with_equal_pixels():
    pages = [np.full((40, 30, 3), 255, "uint8") for _ in range(4)]
    pages[1][7, 8] = 0  # a dot
    pages[2][20, 3] = 250
    sketches = [sketch(PIL.Image.fromarray(page)) for page in pages]
    assert find_groups(sketches) == [[(0, 0), (3, 0)]]


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (1200, 1)])
def test_equal_bytes_of_another_shape_are_another_image(shape):
    one = sketch(PIL.Image.fromarray(np.zeros((20, 60, 3), "uint8")))
    assert one.digest != sketch(PIL.Image.fromarray(np.zeros((*shape, 3), "uint8"))).digest


def test_near_pairs_are_those_of_a_comparison_of_all_with_all():
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (400, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    base = base // random.integers(1, 40, (400, 1, 1, 1))  # of many contrasts
    noise = random.normal(size=(400, 16, 16, 3)) * random.uniform(0, 0.16, (400, 1, 1, 1))
    noisy = np.round(base + noise * base.std(axis=(1, 2, 3), keepdims=True))
    thumbnails = np.concatenate([base, np.clip(noisy, 0, 255)]).astype("uint8")
    pixels = thumbnails.astype("float64").reshape(800, -1)
    contrast = pixels.std(axis=1)
    expected = {
        (one, other)
        for one in range(800)
        for other in range(one)
        if min(contrast[one], contrast[other]) >= 2
        and np.sqrt(np.mean((pixels[one] - pixels[other]) ** 2)) <= 0.08 * min(contrast[one], contrast[other])
    }
    assert 100 < len(expected) < 300
    assert {tuple(sorted(pair, reverse=True)) for pair in near_pairs(thumbnails).tolist()} == expected
