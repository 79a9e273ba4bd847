"""Training images from JPEG files of 12 megapixels: as they are, shrunk once, and by torchvision."""

import atexit
import pathlib
import shutil
import tempfile

import numpy as np
import PIL.Image
from compare import OURS, Benchmark, Side, main
from work import pulled_per_second

FILES, BATCH, SIZE = 16, 16, 224
WIDTH, HEIGHT, QUALITY = 4000, 3000, 90
# Batches of each measurement: a few seconds.
BATCHES = {"originals": 24, "shrunk": 160, "torchvision": 8}


def large_photos() -> pathlib.Path:
    """Writes scikit-learn's two photographs, enlarged from many crops, to train/CLASS and val/CLASS."""
    from sklearn.datasets import load_sample_images

    root = pathlib.Path(tempfile.mkdtemp(prefix="large-photos-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    random = np.random.default_rng(0)
    for label, photo in enumerate(load_sample_images().images):
        image = PIL.Image.fromarray(photo)
        for split, count in (("train", FILES // 2), ("val", 1)):
            below = root / "originals" / split / f"class{label}"
            below.mkdir(parents=True)
            for i in range(count):
                width = random.uniform(0.8, 1) * min(image.width, image.height * WIDTH / HEIGHT)
                height = width * HEIGHT / WIDTH
                left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
                box = (left, top, left + width, top + height)
                large = image.resize((WIDTH, HEIGHT), PIL.Image.Resampling.BICUBIC, box)
                # Enlarged pixels alone would be smoother than a camera's.
                noise = random.normal(0, 2, (HEIGHT, WIDTH, 1))
                pixels = np.clip(np.asarray(large) + noise, 0, 255).astype("uint8")
                PIL.Image.fromarray(pixels).save(below / f"{i:03}.jpg", quality=QUALITY)
    return root


def _ours(folder, batches):
    from keras_resnet.data.input_spec import InputSpec, InputTransform
    from keras_resnet.data.load import load_dataset
    from keras_resnet.data.pipeline import Pipeline

    images = Pipeline(load_dataset(str(folder)), InputTransform(InputSpec(SIZE, 3, "center"), hflip=True))
    mean = np.full(3, 128, "float32")
    return pulled_per_second(iter(images.train_batches(BATCH, 10**6, mean)), BATCH, batches, warm_up=4)


def shrunk(options):
    from keras_resnet.data import shrink

    root = large_photos()
    shrink(root / "originals", root / "shrunk")
    return _ours(root / "shrunk", BATCHES["shrunk"])


def originals(options):
    return _ours(large_photos() / "originals", BATCHES["originals"])


def torchvision(options):
    import torch
    import torchvision

    transforms = torchvision.transforms

    def scaled(image):
        return transforms.functional.resize(image, int(torch.randint(256, 481, ())))

    view = transforms.Compose(
        [scaled, transforms.RandomCrop(SIZE), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    )
    data = torchvision.datasets.ImageFolder(large_photos() / "originals" / "train", view)
    sampler = torch.utils.data.RandomSampler(data, replacement=True, num_samples=10**7)
    loader = torch.utils.data.DataLoader(data, BATCH, sampler=sampler, num_workers=2, drop_last=True)
    return pulled_per_second(iter(loader), BATCH, BATCHES["torchvision"], warm_up=2)


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
