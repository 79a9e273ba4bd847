"""A folder of images as a dataset: a subfolder for each class. Imports no TensorFlow."""

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.sources.folder_listing import list_folder, log_unread
from keras_resnet.data.sources.labeled_files import common_shape, split_of_files


def folder_dataset(name: str, validation_fraction: float, *, require_disjoint: bool = False) -> Dataset:
    """Describes the images of a folder: train/CLASS/*, val/CLASS/* and test/CLASS/*, or CLASS/* alone.

    Without `val`, `test` is the validation split. Without any subfolder `train`, a part of each class is held
    out for validation. Files that are not read are counted in a warning.

    Args:
        name: path of the folder.
        validation_fraction: fraction of each class that is held out where the folder is not divided; which
            images depends on their names alone.
        require_disjoint: whether to refuse splits that share a file.

    Raises:
        UserError: the folder is not such a folder.
    """
    listing = list_folder(name, validation_fraction, require_disjoint=require_disjoint)
    log_unread(listing, name)
    splits = {
        role: split_of_files(listing.split_names[role], files) for role, files in listing.splits.items()
    }
    return Dataset(
        name=name,
        class_names=listing.class_names,
        image_shape=common_shape([*listing.splits["train"], *listing.splits["validation"]]),
        train=splits["train"],
        validation=splits["validation"],
        hflip=True,
        test=splits.get("test"),
    )
