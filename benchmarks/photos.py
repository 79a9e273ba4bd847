"""Real photographs in the sizes of ImageNet's, as files: scikit-learn's two, cut and scaled many ways."""

import atexit
import pathlib
import shutil
import tempfile

import numpy as np
import PIL.Image

WIDTH, HEIGHT, QUALITY = 500, 375, 90
_SHARE = 0.8  # of the photograph that a picture shows, at least


def folder(count: int) -> pathlib.Path:
    """`count` JPEG files of 500x375 pixels below train/CLASS and 2 below val/CLASS, removed at exit."""
    from sklearn.datasets import load_sample_images

    root = pathlib.Path(tempfile.mkdtemp(prefix="photos-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    random = np.random.default_rng(0)
    for label, photo in enumerate(load_sample_images().images):
        picture = PIL.Image.fromarray(photo)
        for split, files in (("train", count // 2), ("val", 1)):
            below = root / split / f"class{label}"
            below.mkdir(parents=True)
            for i in range(files):
                share = random.uniform(_SHARE, 1)
                width = share * min(picture.width, picture.height * WIDTH / HEIGHT)
                left = random.uniform(0, picture.width - width)
                top = random.uniform(0, picture.height - width * HEIGHT / WIDTH)
                box = (left, top, left + width, top + width * HEIGHT / WIDTH)
                small = picture.resize((WIDTH, HEIGHT), PIL.Image.Resampling.BICUBIC, box)
                small.save(below / f"{i:05}.jpg", quality=QUALITY)
    return root
