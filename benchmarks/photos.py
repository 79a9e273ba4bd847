"""Photographs in the size of ImageNet's, as files: scikit-learn's two, cropped and scaled in many ways."""

import atexit
import pathlib
import shutil
import tempfile

import numpy as np
import PIL.Image

WIDTH, HEIGHT, QUALITY = 500, 375, 90
_SHARE = 0.8  # smallest share of the photograph that a crop covers


def folder(count: int) -> pathlib.Path:
    """Writes `count` JPEG files of 500x375 pixels to train/CLASS and 2 to val/CLASS, removed at exit."""
    from sklearn.datasets import load_sample_images

    root = pathlib.Path(tempfile.mkdtemp(prefix="photos-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    random = np.random.default_rng(0)
    for label, photo in enumerate(load_sample_images().images):
        image = PIL.Image.fromarray(photo)
        for split, files in (("train", count // 2), ("val", 1)):
            below = root / split / f"class{label}"
            below.mkdir(parents=True)
            for i in range(files):
                share = random.uniform(_SHARE, 1)
                width = share * min(image.width, image.height * WIDTH / HEIGHT)
                left = random.uniform(0, image.width - width)
                top = random.uniform(0, image.height - width * HEIGHT / WIDTH)
                box = (left, top, left + width, top + width * HEIGHT / WIDTH)
                small = image.resize((WIDTH, HEIGHT), PIL.Image.Resampling.BICUBIC, box)
                small.save(below / f"{i:05}.jpg", quality=QUALITY)
    return root
