"""How strongly the 3x3 layers of trained models respond (section 4.2, Fig. 7)."""

import csv
import dataclasses
import logging
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.atomic import atomic_write, check_writable
from keras_resnet._utils.environment import prepare
from keras_resnet.data.dataset import Dataset
from keras_resnet.errors import UserError
from keras_resnet.runs.data_options import DATA, DataOptions
from keras_resnet.runs.evaluate import find_dataset, name_models, open_predictor
from keras_resnet.runs.options import check_options, make_config, option

if TYPE_CHECKING:
    from keras_resnet.evaluation.responses import Response

_LOG = logging.getLogger(__name__)
_GROUP = "Responses"
_BATCH = 100


@dataclasses.dataclass(frozen=True)
class ResponsesConfig(DataOptions):
    """Which images the responses are measured on, and where they go."""

    dataset: str | os.PathLike | Dataset | None = option(
        None,
        "Images to measure on. Default: those of the first run among the models.",
        group=DATA,
        objects=Dataset,
    )
    num_images: int = option(
        1000, "Number of images used to measure the responses.", "int", minimum=1, group=_GROUP
    )
    output_dir: str | os.PathLike = option(
        "saved_models/experiments/responses", "Folder of the figure and the numbers.", group=_GROUP
    )

    def __post_init__(self):
        check_options(self)


@dataclasses.dataclass(frozen=True)
class ResponsesResult:
    """What was measured.

    Args:
        responses: of each 3x3 layer, in order, by model.
        folder: of the figure and the numbers.
    """

    responses: "Mapping[str, Sequence[Response]]"
    folder: pathlib.Path

    @property
    def table(self) -> str:
        """Mean, median, least and largest response of each model, as Markdown."""
        lines = [
            "| model | 3x3 layers | mean std | median std | least | largest |",
            "|---|---|---|---|---|---|",
        ]
        for name, layers in self.responses.items():
            values = [layer.std for layer in layers]
            figures = (statistics.fmean(values), statistics.median(values), min(values), max(values))
            lines.append(f"| {name} | {len(values)} | {' | '.join(f'{value:.3f}' for value in figures)} |")
        return "\n".join(lines)


def run(
    models: Sequence[str | os.PathLike], config: ResponsesConfig | None = None, **fields: Any
) -> ResponsesResult:
    """Measures the responses of trained models, and writes figure and numbers.

    Args:
        models: runs and `.keras` files.
        config, fields: of `ResponsesConfig`.

    Raises:
        UserError: a model has no layers to look into, or does not fit the dataset.
    """
    config = make_config(ResponsesConfig, config, fields)
    paths = name_models(models)
    dataset, options = find_dataset(paths, config)
    check_writable(config.output_dir, "output_dir")
    prepare()
    from keras_resnet.data.input_spec import InputTransform
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.evaluation.checks import check_models
    from keras_resnet.evaluation.responses import layer_responses
    from keras_resnet.experiments.figures import draw_responses
    from keras_resnet.inference.images import to_channels

    folder, decode_errors, responses = pathlib.Path(config.output_dir), options.decode_errors(), {}
    for name, path in paths.items():
        predictor = open_predictor(name, path, dataset)
        if predictor.model is None:
            raise UserError(
                "has no layers to look into; use the Keras model, or the run.",
                parameter="models",
                value=path,
            )
        split = dataset.reported_split
        check_models({name: predictor}, split)
        # Gray pixels are repeated by `to_channels`; files are decoded to what a gray model takes.
        channels = min(dataset.channels, predictor.spec.channels)
        spec = dataclasses.replace(predictor.spec, channels=channels)
        decoded = dataclasses.replace(dataset, image_shape=(*dataset.image_shape[:2], channels))
        pipeline = Pipeline(decoded, InputTransform(spec, hflip=False), decode_errors)
        batches = pipeline.sample_batches(split, config.num_images, _BATCH).as_numpy_iterator()
        with decode_errors.translate():
            try:
                images = (to_channels(batch, predictor.spec.channels) for batch, _ in batches)
                responses[name] = layer_responses(predictor.model, images)
            except UserError as error:
                if error.parameter != "model":
                    raise
                raise UserError(error.reason, parameter="models", value=path) from error
            except ValueError as error:
                raise UserError(str(error), parameter="models", value=path) from error
        _LOG.info("%s: %s layers of 3x3", name, len(responses[name]))
    draw_responses(responses, folder / "responses.png")
    _write_csv(responses, folder / "responses.csv")
    return ResponsesResult(responses, folder)


def _write_csv(responses: "Mapping[str, Sequence[Response]]", path: pathlib.Path) -> None:
    with atomic_write(path) as written, open(written, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "layer", "std"])
        writer.writerows(
            [name, layer.layer, f"{layer.std:.6g}"] for name, layers in responses.items() for layer in layers
        )
