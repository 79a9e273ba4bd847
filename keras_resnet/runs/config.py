"""What can be said about a training, as one frozen dataclass: flags, `run.json` and notebooks all use it.

Imports neither Keras nor TensorFlow.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.dataset import Dataset
from keras_resnet.data.load import absolute_name
from keras_resnet.errors import UserError
from keras_resnet.export.config import ON_DECODE_ERROR, ExportConfig
from keras_resnet.models.architectures import Architecture
from keras_resnet.runs.architecture import ARCHITECTURE, ArchitectureOptions
from keras_resnet.runs.class_weight import BALANCED
from keras_resnet.runs.data_options import DATA, DataOptions, InputOptions, check_dataset
from keras_resnet.runs.options import option
from keras_resnet.training.recipes import DECAYS, RECIPES, SCHEDULES, Recipe

RECIPE = "Recipe, and the fields of it to change"
COMPUTATION = "Computation"
FILES = "Exported files"
RUN = "Run"

# What a training does with the checkpoints of its run.
RESUME = ("auto", "never", "must")
# Which weights a run exports.
BEST, LAST = EXPORT_EPOCHS = ("best", "last")


@dataclasses.dataclass(frozen=True)
class TrainConfig(InputOptions, DataOptions, ArchitectureOptions):
    """A training: architecture, dataset, input, recipe, computation, exported files and run folder.

    Every field is a flag of `keras-resnet train`, with the same name, meaning and default, and
    `keras-resnet train --help` prints what each field means. Three fields take objects from Python as well:
    `dataset` a `Dataset`, `recipe` a `Recipe`, and `architecture`, which has no flag, an `Architecture`.

    Raises:
        UserError: a field does not take its value; the error names the field.
    """

    drop_path: float = option(
        0.0,
        "Probability that a training image skips the last residual branch, growing linearly from 0 at the "
        "first (stochastic depth).",
        "float",
        minimum=0.0,
        below=1.0,
        group=ARCHITECTURE,
    )
    weights: str | os.PathLike | None = option(
        None,
        "Initial weights: a finished run, a file (.keras, .weights.h5, .h5, .safetensors, .pth), or a name "
        "that `keras-resnet weights` lists, with depth. The file decides architecture and normalization; a "
        "dataset with other classes gets a new classifier.",
        group=ARCHITECTURE,
    )
    grow_from: str | os.PathLike | None = option(
        None,
        "A finished run of a shallower network on the same dataset. Training starts from its weights, with "
        "identity blocks added up to depth.",
        group=ARCHITECTURE,
    )
    dataset: str | os.PathLike | Dataset = option(
        "digits",
        "Training data: digits (embedded), a folder (train/CLASS/*, val/CLASS/* and optionally test/CLASS/*, "
        "or CLASS/*), a table (.csv, .tsv, .parquet) with a path and a label in each row, or the name of an "
        "image classification dataset of TFDS.",
        group=DATA,
        objects=Dataset,
    )
    mean_subtraction: str = option(
        "auto",
        "What the model subtracts from pixels: the training images' mean of each channel or of each pixel. "
        "auto: of each pixel for small images, of each channel otherwise.",
        choices=("auto", "channel", "pixel"),
        group=DATA,
    )
    recipe: str | Recipe | None = option(
        None,
        "How the model is trained. Default: for a folder or table modern, or finetune with weights, with "
        "epochs by the number of images; digits for the digits dataset; plateau otherwise.",
        choices=tuple(RECIPES),
        group=RECIPE,
        objects=Recipe,
    )
    epochs: int | None = option(
        None, "Number of passes over the training images.", "int", minimum=1, group=RECIPE
    )
    iterations: int | None = option(
        None, "Number of training steps, instead of epochs.", "int", minimum=1, group=RECIPE
    )
    batch_size: int | None = option(
        None,
        "Number of images of one step over all devices. Default: the recipe's, fewer for few images.",
        "int",
        minimum=1,
        group=RECIPE,
    )
    learning_rate: float | None = option(None, "Peak learning rate.", "float", above=0, group=RECIPE)
    momentum: float | None = option(None, "Momentum of SGD.", "float", minimum=0.0, maximum=1.0, group=RECIPE)
    weight_decay: float | None = option(
        None, "L2 penalty, added to the gradient before the momentum.", "float", minimum=0.0, group=RECIPE
    )
    weight_decay_on: str | None = option(
        None,
        "Which weights decay: all, or kernels (not batch normalization and biases).",
        choices=tuple(DECAYS),
        group=RECIPE,
    )
    schedule: str | None = option(
        None,
        "Learning rate schedule. plateau: divided by 10 when the validation error stops falling; multistep: "
        "divided by 10 at milestones; cosine: half a cosine down to 0.",
        choices=tuple(SCHEDULES),
        group=RECIPE,
    )
    patience: int | None = option(
        None,
        "Epochs without a lower validation error before the plateau schedule divides the learning rate.",
        "int",
        minimum=1,
        group=RECIPE,
    )
    milestones: tuple[int, ...] | None = option(
        None,
        "Steps at which the multistep schedule divides the learning rate by 10, such as 32000,48000.",
        "ints",
        minimum=1,
        group=RECIPE,
    )
    warmup_epochs: float | None = option(
        None, "Epochs over which the learning rate grows from 0.", "float", minimum=0.0, group=RECIPE
    )
    warmup_error: float | None = option(
        None,
        "Train at a tenth of the learning rate until the training error (0 to 1) is below this; 0 turns it "
        "off.",
        "float",
        minimum=0.0,
        maximum=1.0,
        group=RECIPE,
    )
    ema_decay: float | None = option(
        None,
        "Decay per step of the moving average of the weights that is validated and exported; 0 turns it off.",
        "float",
        minimum=0.0,
        below=1.0,
        group=RECIPE,
    )
    label_smoothing: float | None = option(
        None,
        "Share of each label that is spread over all classes.",
        "float",
        minimum=0.0,
        maximum=1.0,
        group=RECIPE,
    )
    randaugment: float | None = option(
        None,
        "Strength (0 to 1) of the two RandAugment operations on each batch.",
        "float",
        minimum=0.0,
        maximum=1.0,
        group=RECIPE,
    )
    random_erasing: float | None = option(
        None,
        "Share of the training images that lose a rectangle.",
        "float",
        minimum=0.0,
        maximum=1.0,
        group=RECIPE,
    )
    teacher: str | os.PathLike | None = option(
        None,
        "A larger network of the same classes whose probabilities are learned besides the labels "
        "(distillation): a finished run, a file of weights, or a name that `keras-resnet weights` lists.",
        group=RECIPE,
    )
    teacher_depth: int | None = option(
        None, "Depth of a teacher that is named, such as 101.", "int", minimum=1, group=RECIPE
    )
    teacher_temperature: float | None = option(
        None,
        "What divides the logits of teacher and student: higher values tell more of improbable classes. "
        "Default: 4.",
        "float",
        above=0,
        group=RECIPE,
    )
    teacher_share: float | None = option(
        None,
        "Share of the teacher in the loss; the labels have the rest. Default: 0.9.",
        "float",
        above=0,
        maximum=1.0,
        group=RECIPE,
    )
    mixup: float | None = option(
        None, "Alpha of the beta distribution of MixUp; 0 turns it off.", "float", minimum=0.0, group=RECIPE
    )
    cutmix: float | None = option(
        None, "Alpha of CutMix; 0 turns it off.", "float", minimum=0.0, maximum=1.0, group=RECIPE
    )
    zero_gamma: bool | None = option(
        None,
        "Initialize gamma of the last batch normalization of each residual branch to 0.",
        "bool",
        group=RECIPE,
    )
    class_weight: str | Mapping[str, float] | None = option(
        None,
        "How often the loss of a training image of each class counts. balanced: in inverse proportion to the "
        "class's images; or pairs such as cat=2,dog=0.5, 1 for other classes. Default: each image once.",
        "mapping",
        choices=(BALANCED,),
        above=0,
        group=RECIPE,
    )
    export_epoch: str | None = option(
        None,
        "Which weights are measured and exported: best (those of the epoch with the lowest validation error) "
        "or last. Default: best, but last where the validation images are those of the test split: chosen "
        "by them, the figure they give would be too high.",
        choices=EXPORT_EPOCHS,
        group=RECIPE,
    )
    stop_after: int | None = option(
        None,
        "Stop training after this many epochs without a better one. Default: train all epochs.",
        "int",
        minimum=1,
        group=RECIPE,
    )
    calibrate: bool = option(
        True,
        "After training, divide the logits by the temperature that suits the validation images, so that "
        "probabilities are as high as they are right; never by images of a test split, or by fewer than 100.",
        "bool",
        group=RECIPE,
    )
    precise_bn: int | None = option(
        None,
        "After training, recompute the batch-norm statistics over this many training images. Default: keep "
        "the moving averages.",
        "int",
        minimum=1,
        group=RECIPE,
    )
    strategy: str = option(
        "auto",
        "Devices. none: one; mirrored: every GPU of this machine; multi_worker: the machines that TF_CONFIG "
        "or SLURM names; auto: what is available.",
        choices=("auto", "none", "mirrored", "multi_worker"),
        group=COMPUTATION,
    )
    gradient_accumulation_steps: int = option(
        1,
        "Number of parts in which a device computes its share of a batch, one after another: less memory; "
        "batch normalization sees one part.",
        "int",
        minimum=1,
        group=COMPUTATION,
    )
    sync_batch_norm: bool = option(
        False,
        "Compute batch-norm statistics over all devices instead of each one.",
        "bool",
        group=COMPUTATION,
    )
    mixed_precision: str = option(
        "none",
        "Type of activations and gradients. Weights, batch-norm statistics and exported files stay float32.",
        choices=("none", "bfloat16", "float16"),
        group=COMPUTATION,
    )
    jit_compile: bool = option(
        False, "Compile the training step with XLA (one device only).", "bool", group=COMPUTATION
    )
    rematerialize: tuple[str, ...] = option(
        (),
        "Stages, such as conv2,conv3, that recompute their inner activations for the gradients instead of "
        "keeping them: less memory, about 1.3 times the work. For JAX also batch_norm: all stages recompute "
        "batch norm and ReLU but no convolutions, as TensorFlow does in any case.",
        "strs",
        group=COMPUTATION,
    )
    seed: int = option(
        0,
        "Seed for all random numbers (weights, order, augmentation).",
        "int",
        minimum=0,
        maximum=2**31 - 1,
        group=COMPUTATION,
    )
    deterministic: bool = option(
        False,
        "Make the training repeatable to the last bit, at some cost in speed.",
        "bool",
        group=COMPUTATION,
    )
    on_nan: str = option(
        "stop",
        "What to do when the loss is NaN or infinite: stop, or rollback to the last checkpoint with a tenth "
        "of the learning rate.",
        choices=("stop", "rollback"),
        group=COMPUTATION,
    )
    max_rollbacks: int = option(3, "How often to roll back.", "int", minimum=1, group=COMPUTATION)
    export: tuple[str, ...] = option(
        ("saved_model", "tflite-float32"),
        "Files to export after training: saved_model; tflite-float32, tflite-float16, tflite-dynamic, "
        "tflite-int8 (the prefix may be left out); web.",
        "strs",
        group=FILES,
    )
    max_accuracy_drop: float | None = option(
        None,
        "Percentage points of accuracy that an exported file may lose against the model; a worse file is "
        "rejected.",
        "float",
        minimum=0.0,
        group=FILES,
    )
    on_decode_error: str = option(
        "error",
        "What the SavedModel's serve_bytes does with an image that cannot be decoded: fail the call, or "
        "answer NaN for that image.",
        choices=tuple(ON_DECODE_ERROR),
        group=FILES,
    )
    litertjs: str | os.PathLike = option(
        ".", "For the web page: the folder in which npm installed @litertjs/core.", group=FILES
    )
    output_dir: str | os.PathLike = option("saved_models", "Folder that holds all runs.", group=RUN)
    run_name: str | None = option(
        None, "Folder of this run inside output_dir. Default: ARCHITECTURE-SHORTCUT-DATASET.", group=RUN
    )
    checkpoint_minutes: float = option(
        10.0,
        "Minutes between checkpoints within an epoch; each epoch ends with one as well.",
        "float",
        minimum=0.0,
        group=RUN,
    )
    log: str = option(
        "bar",
        "Progress on the terminal: a bar, or a plain line a minute for batch systems.",
        choices=("bar", "plain"),
        group=RUN,
    )
    tensorboard: bool = option(False, "Write TensorBoard event files as well.", "bool", group=RUN)
    profile: bool = option(False, "Profile ten steps for TensorBoard.", "bool", group=RUN)

    def __post_init__(self):
        check_dataset(self.dataset)
        ArchitectureOptions.__post_init__(self)

    def exports(self) -> ExportConfig:
        """The files to export.

        Raises:
            UserError: there is no such kind.
        """
        return ExportConfig.from_kinds(
            self.export,
            parameter="export",
            litertjs=self.litertjs,
            max_accuracy_drop=self.max_accuracy_drop,
            on_decode_error=self.on_decode_error,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `run.json`; a `Dataset` object becomes None, for it cannot be written down."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, value in values.items():
            if isinstance(value, Dataset):
                values[name] = None
            elif isinstance(value, Recipe | Architecture):
                values[name] = dataclasses.asdict(value)
            elif isinstance(value, os.PathLike):
                values[name] = os.fspath(value)
        if values["dataset"] is not None:
            values["dataset"] = absolute_name(values["dataset"])
        if values["images_dir"] is not None:
            values["images_dir"] = str(pathlib.Path(values["images_dir"]).resolve())
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """From what `as_dict` gave.

        Raises:
            UserError: a field is unknown or does not take its value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError("is not a field of this version's TrainConfig.", parameter=unknown[0])
        made = dict(values)
        if made.get("dataset") is None:
            made["dataset"] = "digits"  # whoever needs the dataset asks `Run.dataset`, which refuses
        try:
            if isinstance(made.get("recipe"), dict):
                recipe = _with_tuples(made["recipe"])
                made["recipe"] = Recipe(
                    **{**recipe, "batch_augment": BatchAugment(**recipe["batch_augment"])}
                )
            if isinstance(made.get("architecture"), dict):
                made["architecture"] = Architecture(**_with_tuples(made["architecture"]))
        except (TypeError, KeyError) as error:
            raise UserError(f"is damaged ({error}).", parameter="config") from error
        return cls(**made)


def _with_tuples(value: Any) -> Any:
    """Tuples where JSON has lists."""
    if isinstance(value, list):
        return tuple(map(_with_tuples, value))
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value
