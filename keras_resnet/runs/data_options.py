"""Which images a command or call uses: the options that training, evaluation and experiments share."""

import dataclasses
import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import InputTransform, choose_transform
from keras_resnet.data.load import absolute_name, is_table, load_dataset
from keras_resnet.data.sources.table_columns import TableColumns
from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.runs.options import check_options, option

if TYPE_CHECKING:
    from keras_resnet.data.decode_errors import DecodeErrors

DATA = "Data"


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """How a dataset is found and split, and what happens to images that cannot be decoded.

    Raises:
        UserError: a field does not take its value.
    """

    data_dir: str | os.PathLike | None = option(
        None, "Folder of TFDS datasets. Default: TFDS's own.", group=DATA
    )
    download: bool = option(
        False, "Download and prepare a TFDS dataset that is not prepared yet.", "bool", group=DATA
    )
    train_split: str | None = option(
        None, "TFDS split to train on, such as train[:80%]. Default: train.", group=DATA
    )
    validation_split: str | None = option(
        None,
        "TFDS split that chooses learning rate and best epoch. Default: validation, or test where there is "
        "none.",
        group=DATA,
    )
    test_split: str | None = option(
        None,
        "TFDS split that is only reported at the end. Default: test, where it is not the validation split.",
        group=DATA,
    )
    validation_fraction: float = option(
        0.1,
        "Share of each class held out for validation where the dataset holds out nothing.",
        "float",
        above=0,
        below=1,
        group=DATA,
    )
    images_dir: str | os.PathLike | None = option(
        None, "Folder that the paths of a table start from. Default: the table's own.", group=DATA
    )
    path_column: str | None = option(
        None,
        "Column of a table with the paths of images, or their names without suffix. Default: recognized by "
        "its name, such as path, file, image or id.",
        group=DATA,
    )
    label_column: str | None = option(
        None,
        "Column of a table with the classes. Default: recognized by its name, such as label or class.",
        group=DATA,
    )
    split_column: str | None = option(
        None,
        "Column of a table that says train, validation or test; empty for none. Default: recognized by its "
        "name, such as split or set.",
        group=DATA,
    )
    group_column: str | None = option(
        None,
        "Column of a table with groups that are never divided between splits; empty for none. Default: "
        "recognized by its name, such as group, patient or video.",
        group=DATA,
    )
    label_columns: tuple[str, ...] = option(
        (),
        "Columns of a table that hold 0 or 1, one for each label, where an image may have several labels: "
        "multi-label classification. Default: recognized where all other columns are such.",
        "strs",
        group=DATA,
    )
    label_separator: str | None = option(
        None,
        "What separates several labels of an image in a cell of label_column (multi-label classification), "
        "such as ';'; empty: each cell is one class. Default: | and ; are recognized.",
        group=DATA,
    )
    bad_images: str = option(
        "raise",
        "What to do with an image that cannot be decoded, or a row of a table that cannot be used: raise "
        "(stop), or skip it with a warning.",
        choices=("raise", "skip"),
        group=DATA,
    )
    max_bad_images: float = option(
        0.01,
        "Share of a split, and of a table's rows, that may be skipped.",
        "float",
        minimum=0.0,
        maximum=1.0,
        group=DATA,
    )

    def __post_init__(self):
        check_options(self)

    def load(self, dataset: "str | os.PathLike | Dataset", *, require_disjoint: bool = False) -> Dataset:
        """Loads the dataset of a name, folder or table; a `Dataset` is returned as it is.

        Args:
            require_disjoint: whether no image may be in two splits, as a training needs.

        Raises:
            UserError: there is no such dataset, or an option does not apply to it.
        """
        if isinstance(dataset, Dataset):
            return dataset
        return load_dataset(
            os.fspath(dataset),
            None if self.data_dir is None else os.fspath(self.data_dir),
            download=self.download,
            train_split=self.train_split,
            validation_split=self.validation_split,
            test_split=self.test_split,
            validation_fraction=self.validation_fraction,
            images_dir=None if self.images_dir is None else os.fspath(self.images_dir),
            path_column=self.path_column,
            label_column=self.label_column,
            split_column=self.split_column,
            group_column=self.group_column,
            label_columns=self.label_columns,
            label_separator=self.label_separator,
            bad_images=self.bad_images,
            max_bad_images=self.max_bad_images,
            require_disjoint=require_disjoint,
        )

    def columns(self) -> TableColumns:
        """Names of a table's columns, as far as they are given."""
        return TableColumns(
            self.path_column,
            self.label_column,
            self.split_column,
            self.group_column,
            self.label_columns,
            self.label_separator,
        )

    def decode_errors(self) -> "DecodeErrors":
        """What happens to images that cannot be decoded; imports TensorFlow."""
        from keras_resnet.data.decode_errors import DecodeErrors

        return DecodeErrors(self.bad_images, self.max_bad_images)


@dataclasses.dataclass(frozen=True)
class InputOptions:
    """How training images become a model's input.

    Raises:
        UserError: a field does not take its value.
    """

    image_size: int | None = option(
        None,
        "Side of the model's input in pixels. Default: the architecture's own, or the images' where they "
        "are small.",
        "int",
        minimum=1,
        group=DATA,
    )
    train_size: int | None = option(
        None,
        "Side of the training crops in pixels, at most image_size: the training takes less time, about in "
        "proportion to the area, and validation and exported files keep image_size.",
        "int",
        minimum=1,
        group=DATA,
    )
    augmentation: str = option(
        "paper",
        "Training crops of images that are not small. paper: a square at a random scale, with color "
        "lighting; random_resized_crop: a rectangle of 8% to 100% of the area.",
        choices=("paper", "random_resized_crop"),
        group=DATA,
    )
    crop_padding: int | None = option(
        None,
        "Padding in pixels around small training images before a random crop. Default: an eighth of the "
        "side, 4 for 32.",
        "int",
        minimum=0,
        group=DATA,
    )
    hflip: bool | None = option(
        None,
        "Flip half of the training images horizontally. Default: on, except for characters and "
        "Fashion-MNIST.",
        "bool",
        group=DATA,
    )
    vflip: bool = option(
        False,
        "Flip half of the training images vertically: for things that have no up, as seen from above or "
        "through a microscope.",
        "bool",
        group=DATA,
    )
    rotate90: bool = option(
        False,
        "Turn each training image by 0, 90, 180 or 270 degrees at random: for things that have no up.",
        "bool",
        group=DATA,
    )
    trivial_augment: bool = option(
        False,
        "Apply one operation of a random strength to each training image (TrivialAugment): rotation, shear, "
        "translation, or a change of colors, contrast or sharpness.",
        "bool",
        group=DATA,
    )

    def __post_init__(self):
        check_options(self)

    def choose(self, dataset: Dataset, architecture: Architecture) -> InputTransform:
        """The input transform of these images for an architecture.

        Raises:
            UserError: a field does not apply to the images.
        """
        return choose_transform(
            dataset,
            default_size=architecture.default_size,
            smallest_size=architecture.total_stride,
            image_size=self.image_size,
            hflip=self.hflip,
            augmentation=self.augmentation,
            crop_padding=self.crop_padding,
            train_size=self.train_size,
            vflip=self.vflip,
            rotate90=self.rotate90,
            trivial_augment=self.trivial_augment,
        )


def check_dataset(value: Any) -> None:
    """Refuses what neither names a dataset nor is one.

    Raises:
        UserError: with what makes a dataset of arrays.
    """
    if value is not None and not isinstance(value, str | os.PathLike | Dataset):
        raise UserError(
            f"must be a name, a folder, a table or a Dataset; got a {type(value).__name__}. "
            "keras_resnet.data.from_arrays((images, labels)) makes a Dataset of arrays.",
            parameter="dataset",
        )


def data_options(options: DataOptions) -> DataOptions:
    """The data options alone of a configuration that has more fields."""
    return DataOptions(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(DataOptions)}
    )


def changed_options(options: DataOptions, base: DataOptions) -> DataOptions:
    """The options of `base`, but for those of `options` that are not the defaults."""
    defaults = DataOptions()
    changes = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(DataOptions)
        if getattr(options, field.name) != getattr(defaults, field.name)
    }
    return dataclasses.replace(base, **changes)


def dataset_label(dataset: "str | os.PathLike | Dataset") -> str:
    """A dataset's name as part of a file name: `photos` for `./photos/`, `mnist-3.0.1` for `mnist:3.0.1`, and
    `photos-labels` for `photos/labels.csv`.
    """
    name = dataset.name if isinstance(dataset, Dataset) else os.fspath(dataset)
    title = name if name == "digits" else dataset_title(name)
    return file_label(os.path.splitext(title)[0] if is_table(name) else title)


def dataset_title(name: str) -> str:
    """A dataset's name for readers elsewhere: of a folder its last part, of a table its last two."""
    path = pathlib.Path(absolute_name(name))
    if not path.is_absolute():
        return name
    return f"{path.parent.name}/{path.name}".lstrip("/") if is_table(name) else path.name


def file_label(name: str) -> str:
    """A name as part of a file name, without separators and spaces."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")
