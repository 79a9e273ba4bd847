"""`keras-resnet evaluate`: what trained nets are worth on a dataset, each and together."""

import contextlib
import hashlib
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from keras_resnet.commands import data_flags, model_arguments
from keras_resnet.data.source import Source
from keras_resnet.data.view import VIEWS
from keras_resnet.errors import UserError
from keras_resnet.files import atomic, check_writable, files_in
from keras_resnet.training.runtime import prepare as prepare_runtime

if TYPE_CHECKING:
    from keras_resnet.evaluation.evaluator import Evaluation

ARGUMENT = "MODEL..."
FLAGS = flags.FlagValues()
model_arguments.define(FLAGS)
_TEST: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The test"}
flags.DEFINE_enum(
    "views",
    "center",
    list(VIEWS),
    "center: one view, as after each epoch; ten_crop: corners and centre, mirrored too; multi_scale: the net "
    "over whole images at several scales, mirrored too.",
    **_TEST,
)
flags.DEFINE_list(
    "sides",
    None,
    "For --views=multi_scale: shorter sides in pixels; by default 224,256,384,480,640, in proportion to the "
    "net's size.",
    **_TEST,
)
flags.DEFINE_boolean(
    "mirror",
    None,
    "Show mirror images in those views; by default not of characters and Fashion-MNIST.",
    **_TEST,
)
flags.DEFINE_list("weights", [], "Of the models in the ensemble, as 2,1,1; by default all alike.", **_TEST)
_ANSWERS: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The results"}
flags.DEFINE_string("output_dir", "evaluation", "Folder of the files with the results.", **_ANSWERS)
flags.DEFINE_boolean("json", False, "Print JSON instead of a table.", **_ANSWERS)

# Between two checkpoints of a long test.
_MINUTES = 2.0


def run(*models: str) -> None:
    """Test, print and write."""
    paths = model_arguments.named(models)
    sides = _numbers("sides", FLAGS.sides or (), int)
    weights = _numbers("weights", FLAGS.weights, float)
    if sides and FLAGS.views != "multi_scale":
        raise UserError(
            f"--sides={','.join(FLAGS.sides)} is for --views=multi_scale; give both, or leave it out."
        )
    dataset, source = model_arguments.source(FLAGS, paths)
    check_writable(FLAGS.output_dir, f"--output_dir={FLAGS.output_dir}")

    prepare_runtime()
    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.evaluation.evaluator import evaluate
    from keras_resnet.evaluation.opened import open_model
    from keras_resnet.evaluation.results import as_json, write_results
    from keras_resnet.training.checkpoint import Checkpoints

    opened = {
        name: model_arguments.check_classes(name, open_model(path, prefer="model.keras"), dataset, source)
        for name, path in paths.items()
    }
    folder = pathlib.Path(FLAGS.output_dir)
    checkpoints = Checkpoints(folder / f"unfinished-{_identity(paths, source)}", minutes=_MINUTES, keep=1)
    # Warnings as well: what is printed here is the result, which a machine may read.
    with contextlib.redirect_stdout(sys.stderr):
        evaluations = evaluate(
            opened,
            source.test,
            views=FLAGS.views,
            sides=sides,
            mirrored=source.mirrored if FLAGS.mirror is None else FLAGS.mirror,
            weights=weights,
            bad_images=BadImages(FLAGS.bad_images, FLAGS.max_bad_images),
            checkpoints=checkpoints,
            tell=lambda line: print(line, flush=True),
        )
    about = {"dataset": source.name, "split": source.test.name, "views": FLAGS.views}
    told = as_json(evaluations, source.class_names, source.test.describe, about)
    with atomic(folder / "evaluation.json") as written:
        written.write_text(f"{told}\n", encoding="utf-8")
    for name, evaluation in evaluations.items():
        title = f"{name}: {evaluation.scores.images:,} images of {source.name}"
        write_results(evaluation.scores, source.class_names, folder / data_flags.file_name(name), title)
    checkpoints.clear()
    if FLAGS.json:
        print(told)
        return
    print(f"{source.name}, split {source.test.name}, --views={FLAGS.views}:")
    _tell(evaluations)
    print(f"\n{folder}/: evaluation.json; of each, its classes, its confusion matrix and its worst mistakes.")


def _numbers(flag: str, given: Sequence[str], kind: type) -> list:
    try:
        return [kind(one) for one in given]
    except ValueError as error:
        raise UserError(f"--{flag}={','.join(given)} must be numbers with commas between them.") from error


def _identity(paths: Mapping[str, pathlib.Path], source: Source) -> str:
    """A hash of what makes this test another one than its neighbours."""
    files = [file for path in paths.values() for file in files_in(path) if file.suffix != ".npz"]
    identity = {
        "models": [[str(file), file.stat().st_mtime_ns] for file in files],
        "dataset": source.name,
        "images": [source.test.name, source.test.size],
        **data_flags.recorded(FLAGS),
        **{name: FLAGS[name].value for name in ("views", "sides", "mirror", "weights")},
    }
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def _tell(evaluations: "Mapping[str, Evaluation]") -> None:
    width = max(map(len, evaluations))
    print(
        f"  {'':{width}}{'top-1 error':>13}{'95% interval':>18}{'top-5 error':>13}{'loss':>8}"
        f"{'calibration':>13}{'images/s':>10}"
    )
    for name, evaluation in evaluations.items():
        scores = evaluation.scores
        low, high = (f"{100 * bound:.2f}%" for bound in scores.top1_interval)
        top5 = "" if scores.top5_error is None else f"{100 * scores.top5_error:.2f}%"
        print(
            f"  {name:{width}}{100 * scores.top1_error:12.2f}%{f'{low} to {high}':>18}{top5:>13}"
            f"{scores.loss:8.4f}{100 * scores.calibration_error:12.2f}%{evaluation.images_per_second:10,.0f}"
        )
