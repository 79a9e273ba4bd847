"""Photographs in the size of ImageNet's, as files: scikit-learn's two, cropped and scaled in many ways."""

import atexit
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np
import PIL.Image

WIDTH, HEIGHT, QUALITY = 500, 375, 90
_SHARE = 0.8  # smallest share of the photograph that a crop covers


def folder(count: int, width: int = WIDTH, height: int = HEIGHT, noise: float = 0.0) -> pathlib.Path:
    """Writes `count` JPEG files, of 500x375 pixels, to train/CLASS and 2 to val/CLASS, removed at exit.

    Args:
        noise: standard deviation in gray levels: enlarged pixels alone are smoother than a camera's.
    """
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
                across = share * min(image.width, image.height * width / height)
                left = random.uniform(0, image.width - across)
                top = random.uniform(0, image.height - across * height / width)
                box = (left, top, left + across, top + across * height / width)
                made = image.resize((width, height), PIL.Image.Resampling.BICUBIC, box)
                if noise:
                    pixels = np.asarray(made) + random.normal(0, noise, (height, width, 1))
                    made = PIL.Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))
                made.save(below / f"{i:05}.jpg", quality=QUALITY)
    return root


def torchvision_batches(files: pathlib.Path, size: int, batch: int) -> Iterator:
    """The paper's training crops as a user of torchvision writes them: batches of a folder, without end."""
    import torch
    import torchvision

    transforms = torchvision.transforms

    def scaled(image):
        return transforms.functional.resize(image, int(torch.randint(256, 481, ())))

    view = transforms.Compose(
        [scaled, transforms.RandomCrop(size), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    )
    data = torchvision.datasets.ImageFolder(files, view)
    sampler = torch.utils.data.RandomSampler(data, replacement=True, num_samples=10**7)
    return iter(torch.utils.data.DataLoader(data, batch, sampler=sampler, num_workers=2, drop_last=True))
