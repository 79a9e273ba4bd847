"""`keras_resnet.evaluate`: trained models on a dataset, each and together, with their files of results."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.atomic import atomic_write, check_writable, files_in
from keras_resnet._utils.environment import prepare
from keras_resnet._utils.fingerprint import fingerprint
from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.data.input_spec import VIEWS
from keras_resnet.data.load import absolute_name
from keras_resnet.errors import UserError
from keras_resnet.runs.architecture import ArchitectureOptions
from keras_resnet.runs.checks import check_classes, describe_label_difference
from keras_resnet.runs.data_options import (
    DATA,
    DataOptions,
    changed_options,
    check_dataset,
    data_options,
    file_label,
)
from keras_resnet.runs.evaluate_multi_label import as_json, check_views, write_labels
from keras_resnet.runs.options import make_config, option
from keras_resnet.runs.record import RunRecord, read_record
from keras_resnet.runs.run import find_run

if TYPE_CHECKING:
    from keras_resnet.evaluation.evaluator import Evaluation
    from keras_resnet.evaluation.multi_label_evaluator import MultiLabelEvaluation
    from keras_resnet.inference.predictor import Predictor

# Minutes between two checkpoints of a long evaluation.
_MINUTES = 2.0
TEST = "Evaluation"
RESULTS = "Results"


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(DataOptions, ArchitectureOptions):
    """An evaluation: on which images, in which views, and where its files go.

    Raises:
        UserError: a field does not take its value.
    """

    dataset: str | os.PathLike | Dataset | None = option(
        None,
        "Images to test on. Default: those of the first run among the models.",
        group=DATA,
        objects=Dataset,
    )
    weights: str | None = option(
        None,
        "Evaluate public weights (a name that `keras-resnet weights` lists, with depth, or a file) with the "
        "preprocessing of their publisher.",
        group=TEST,
    )
    views: str = option(
        "center",
        "Views of each image. center: one, as in training's validation; ten_crop: corners and center, "
        "flipped too; multi_scale: the whole image at several scales, flipped too.",
        choices=tuple(VIEWS),
        group=TEST,
    )
    scales: tuple[int, ...] = option(
        (),
        "For views=multi_scale: shorter sides in pixels. Default: 224,256,384,480,640, in proportion to the "
        "model's input.",
        "ints",
        minimum=1,
        group=TEST,
    )
    hflip: bool | None = option(
        None,
        "Average over mirror images in those views. Default: on, except for characters and Fashion-MNIST.",
        "bool",
        group=TEST,
    )
    ensemble_weights: tuple[float, ...] = option(
        (),
        "Weights of the models in the ensemble, such as 2,1,1. Default: equal.",
        "floats",
        above=0,
        group=TEST,
    )
    output_dir: str | os.PathLike = option("evaluation", "Folder for the files of results.", group=RESULTS)

    def __post_init__(self):
        check_dataset(self.dataset)
        ArchitectureOptions.__post_init__(self)
        if self.scales and self.views != "multi_scale":
            raise UserError("applies to views=multi_scale.", parameter="scales", value=self.scales)


@dataclasses.dataclass(frozen=True)
class EvaluationResults:
    """What an evaluation found, and the files it wrote.

    Args:
        dataset: name of the dataset.
        split: name of the split.
        evaluations: by model, and "ensemble" for several models of one class an image.
        folder: of the files.
        json: the numbers as text.
    """

    dataset: str
    split: str
    evaluations: "Mapping[str, Evaluation] | Mapping[str, MultiLabelEvaluation]"
    folder: pathlib.Path
    json: str


def evaluate(
    models: Sequence[str | os.PathLike] = (), config: EvaluateConfig | None = None, **fields: Any
) -> EvaluationResults:
    """Tests models on labeled images, each and together, and writes the results as files.

    An evaluation that is interrupted is resumed by the same call.

    Args:
        models: runs, `.keras`, SavedModel and `.tflite` files.
        config, fields: of `EvaluateConfig`.

    Returns:
        Errors with 95% intervals, loss and calibration of each model and of their ensemble; of models of
        several labels an image mean average precision, and F1 of each label at its threshold.

    Raises:
        UserError: a model is missing; models, dataset and views do not fit each other; an image cannot be
            decoded.
    """
    config = make_config(EvaluateConfig, config, fields)
    paths = name_models(models, config.weights, config.architecture or config.depth)
    dataset, options = find_dataset(paths, config)
    folder = pathlib.Path(config.output_dir)
    check_writable(folder, "output_dir")
    if dataset.multi_label:
        check_views(config.views, config.ensemble_weights)
    prepare()
    if dataset.multi_label:
        return _evaluate_multi_label(paths, dataset, options, config)
    from keras_resnet.evaluation.evaluator import evaluate as evaluate_predictors
    from keras_resnet.evaluation.results import as_json as scores_as_json
    from keras_resnet.evaluation.results import write_results
    from keras_resnet.training.checkpoint import Checkpoints

    split = dataset.reported_split
    predictors = {name: open_predictor(name, path, dataset, config) for name, path in paths.items()}
    identity = fingerprint(_identity(paths, dataset, split, config))
    checkpoints = Checkpoints(folder / f"unfinished-{identity}", minutes=_MINUTES, keep=1)
    evaluations = evaluate_predictors(
        predictors,
        split,
        views=config.views,
        scales=config.scales,
        hflip=dataset.hflip if config.hflip is None else config.hflip,
        ensemble_weights=config.ensemble_weights,
        decode_errors=options.decode_errors(),
        checkpoints=checkpoints,
    )
    about = {"dataset": dataset.name, "split": split.name, "views": config.views}
    text = scores_as_json(evaluations, dataset.class_names, split.describe, about)
    with atomic_write(folder / "evaluation.json") as written:
        written.write_text(f"{text}\n", encoding="utf-8")
    for name, evaluation in evaluations.items():
        title = f"{name}: {evaluation.scores.images:,} images of {dataset.name}"
        write_results(evaluation.scores, dataset.class_names, folder / file_label(name), title)
    checkpoints.clear()
    return EvaluationResults(dataset.name, split.name, evaluations, folder, text)


def _evaluate_multi_label(
    paths: Mapping[str, str | os.PathLike], dataset: Dataset, options: DataOptions, config: EvaluateConfig
) -> EvaluationResults:
    from keras_resnet.evaluation.multi_label_evaluator import evaluate_multi_label

    split, folder = dataset.reported_split, pathlib.Path(config.output_dir)
    predictors = {name: open_predictor(name, path, dataset, config) for name, path in paths.items()}
    evaluations = {
        name: evaluate_multi_label(predictor, split, options.decode_errors())
        for name, predictor in predictors.items()
    }
    text = as_json(evaluations, dataset.class_names, {"dataset": dataset.name, "split": split.name})
    with atomic_write(folder / "evaluation.json") as written:
        written.write_text(f"{text}\n", encoding="utf-8")
    write_labels(evaluations, dataset.class_names, folder)
    return EvaluationResults(dataset.name, split.name, evaluations, folder, text)


def name_models(
    models: Sequence[str | os.PathLike], weights: str | None = None, network: object = None
) -> dict[str, str | os.PathLike]:
    """Path of each model by a name that is short where that is enough.

    Raises:
        UserError: there is none, one is missing, or one is given twice.
    """
    models = [models] if isinstance(models, str | os.PathLike) else models
    paths = [pathlib.Path(model) for model in models]
    for path in paths:
        if not path.exists():
            raise UserError(
                "there is no such file or folder; use a .tflite, a .keras, a SavedModel or a run.",
                parameter="models",
                value=path,
            )
    short = [_short_name(path.resolve()) for path in paths]
    counts = collections.Counter(short)
    names = [name if counts[name] == 1 else str(path) for name, path in zip(short, paths, strict=True)]
    found: dict[str, str | os.PathLike] = dict(zip(names, paths, strict=True))
    if weights is not None:
        name = f"{weights}-{network}" if network else pathlib.Path(weights).name
        names.append(name)
        found[name] = weights
    for label, count in collections.Counter(map(file_label, names)).items():
        if count > 1:
            raise UserError(
                "is given twice, or two models would have that name; leave one out.",
                parameter="models",
                value=label,
            )
    if not found:
        raise UserError(
            "There is no model to evaluate; give a run, a model file, or weights.", parameter="models"
        )
    return found


def _short_name(path: pathlib.Path) -> str:
    """The name of a run, or that of a file with its folder's."""
    is_run = path.is_dir() and not (path / "saved_model.pb").is_file()
    return path.name if is_run else f"{path.parent.name}/{path.name}"


def find_dataset(models: Mapping[str, str | os.PathLike], config: Any) -> tuple[Dataset, DataOptions]:
    """The dataset of a configuration, or that of the first run, and how it is loaded.

    Args:
        models: by name.
        config: data options and a `dataset`, which may be None.

    Raises:
        UserError: there is none.
    """
    options = data_options(config)
    if isinstance(config.dataset, Dataset):
        return config.dataset, options
    record = _first_record(models)
    recorded = None if record is None else record.config.get("dataset")
    dataset = recorded if config.dataset is None else config.dataset
    if dataset is None:
        raise UserError(
            f"is missing: {next(iter(models))} does not belong to a run that says its dataset.",
            parameter="dataset",
        )
    if record is not None and _is_same(dataset, recorded):
        options = changed_options(options, data_options(record.train_config))
    return options.load(dataset), options


def _first_record(models: Mapping[str, str | os.PathLike]) -> RunRecord | None:
    from keras_resnet.runs.predictor import is_weights

    folders = (find_run(path) for path in models.values() if not is_weights(path))
    return next(filter(None, (read_record(folder) for folder in folders if folder)), None)


def _is_same(dataset: str | os.PathLike, recorded: str | None) -> bool:
    return recorded is not None and absolute_name(os.fspath(dataset)) == recorded


def open_predictor(
    name: str, path: str | os.PathLike, dataset: Dataset, options: ArchitectureOptions | None = None
) -> "Predictor":
    """The model, with the dataset's class names where it came without any.

    Args:
        name: of the model, for messages.
        options: the architecture of public weights.

    Raises:
        UserError: it cannot be opened, or its classes are others than the dataset's.
    """
    from keras_resnet.runs.predictor import is_weights, load_predictor

    architecture = {}
    if options is not None and is_weights(path):
        architecture = {
            field.name: getattr(options, field.name) for field in dataclasses.fields(ArchitectureOptions)
        }
    predictor = load_predictor(path, prefer="model.keras", **architecture)
    if (predictor.thresholds is not None) != dataset.multi_label:
        raise UserError(
            describe_label_difference(not dataset.multi_label, dataset), parameter="models", value=name
        )
    if predictor.class_names == tuple(map(str, range(len(dataset.class_names)))):
        return dataclasses.replace(predictor, class_names=dataset.class_names)
    check_classes(dataset, predictor.class_names, name)
    return predictor


def _identity(
    paths: Mapping[str, str | os.PathLike], dataset: Dataset, split: Split, config: EvaluateConfig
) -> dict[str, Any]:
    """What makes this evaluation another one than its neighbors."""
    files = [
        file
        for path in paths.values()
        if pathlib.Path(path).exists()
        for file in files_in(pathlib.Path(path))
        if file.suffix != ".npz"
    ]
    return {
        "models": [[str(file), file.stat().st_mtime_ns] for file in files],
        "weights": [str(path) for path in paths.values()],
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "split": split.name,
            "images": split.size,
        },
        "config": {
            field.name: str(getattr(config, field.name))
            for field in dataclasses.fields(config)
            if field.name not in ("dataset", "output_dir")
        },
    }
