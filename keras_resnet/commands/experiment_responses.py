"""`keras-resnet experiment responses`: how much the layers of trained nets respond."""

import csv
import pathlib
import statistics
from typing import Any

from absl import flags

from keras_resnet.commands import model_arguments
from keras_resnet.errors import UserError
from keras_resnet.files import atomic, check_writable
from keras_resnet.training.runtime import prepare as prepare_runtime

ARGUMENT = "MODEL..."
FLAGS = flags.FlagValues()
model_arguments.define(FLAGS)
_RESULTS: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The responses"}
flags.DEFINE_integer("images", 1000, "Test images to take them over.", lower_bound=1, **_RESULTS)
flags.DEFINE_string(
    "output_dir", "saved_models/experiments/responses", "Folder of the figure and the numbers.", **_RESULTS
)

_BATCH = 100


def run(*models: str) -> None:
    """Measure, print and write."""
    paths = model_arguments.named(models)
    dataset, source = model_arguments.source(FLAGS, paths)
    check_writable(FLAGS.output_dir, f"--output_dir={FLAGS.output_dir}")

    prepare_runtime()
    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.data.view import View
    from keras_resnet.evaluation.answers import in_colour
    from keras_resnet.evaluation.opened import open_model
    from keras_resnet.evaluation.statistics import layer_responses
    from keras_resnet.experiments.figures import draw_responses

    folder = pathlib.Path(FLAGS.output_dir)
    bad_images, responses = BadImages(FLAGS.bad_images, FLAGS.max_bad_images), {}
    for name, path in paths.items():
        opened = open_model(path, prefer="model.keras")
        if opened.net is None:
            raise UserError(f"{path} has no layers to look into; give the Keras model, or the run.")
        model_arguments.check_classes(name, opened, dataset, source)
        images = Pipeline(source, View(opened.size, opened.whole, mirrored=False), bad_images)
        batches = images.drawn_batches(source.test, FLAGS.images, _BATCH).as_numpy_iterator()
        with bad_images.told():
            try:
                seen = (in_colour(batch, opened.channels) for batch, _ in batches)
                responses[name] = layer_responses(opened.net, seen)
            except ValueError as error:
                raise UserError(f"{path}: {error}") from error
        print(f"{name}: {len(responses[name])} layers of 3x3", flush=True)
    draw_responses(responses, folder / "responses.png")
    with (
        atomic(folder / "responses.csv") as written,
        open(written, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["model", "layer", "std"])
        writer.writerows(
            [name, layer.layer, f"{layer.deviation:.6g}"]
            for name, layers in responses.items()
            for layer in layers
        )
    print("\n| net | 3x3 layers | mean std | median std | least | largest |\n|---|---|---|---|---|---|")
    for name, layers in responses.items():
        values = [layer.deviation for layer in layers]
        figures = (statistics.fmean(values), statistics.median(values), min(values), max(values))
        print(f"| {name} | {len(values)} | {' | '.join(f'{value:.3f}' for value in figures)} |")
    print(f"\n{folder}/: responses.png, responses.csv.")
