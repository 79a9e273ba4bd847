"""`keras-resnet predict`: the most probable classes of images, or their labels."""

import json
import pathlib
import sys
from collections.abc import Iterator

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define, define_flag
from keras_resnet.data.sources.image_files import describe_unread, find_images, no_images
from keras_resnet.errors import UserError, format_value
from keras_resnet.runs.architecture import ArchitectureOptions
from keras_resnet.runs.options import Option, check_value

ARGUMENT = "MODEL IMAGE..."
LOG_TO_STDERR = True
FLAGS = flags.FlagValues()
_ANSWERS = "Answers"
_DEFAULT_TOP = 5
_TOP = Option(
    "Number of classes to print for each image. Default of a model of several labels an image: those that "
    "reach their threshold.",
    "int",
    minimum=1,
    group=_ANSWERS,
)
define_flag(FLAGS, "top", _TOP, _DEFAULT_TOP)
define_flag(FLAGS, "json", Option("Print one line of JSON per image.", "bool", group=_ANSWERS))
define(FLAGS, ArchitectureOptions)

_BAR = 30


def run(model: str, *images: str) -> int:
    """Prints the most probable classes of each image, or its labels; 1 if one of several cannot be read."""
    from keras_resnet.data.images.pillow import preprocess_image
    from keras_resnet.runs.predictor import load_predictor

    top = None if FLAGS["top"].using_default_value else check_value("top", FLAGS.top, _TOP)
    options = config_from_flags(FLAGS, ArchitectureOptions)
    named = list(_images(images))
    predictor = load_predictor(
        model, **{name: getattr(options, name) for name in options.__dataclass_fields__}
    )
    failed = 0
    for name, image in named:
        try:
            pixels = preprocess_image(image, predictor.spec, name=name)
        except UserError as error:
            if len(named) == 1:
                raise
            failed += 1
            print(f"keras-resnet predict: {error}", file=sys.stderr)
            continue
        if top is None and predictor.thresholds is not None:
            (answers,) = predictor.labels(pixels)
        else:
            (answers,) = predictor.top(pixels, top or _DEFAULT_TOP)
        label = format_value(name)  # a path may not be UTF-8
        print(_as_json(label, answers) if FLAGS.json else _as_text(label, answers), flush=True)
    return 1 if failed else 0


def _images(arguments: tuple[str, ...]) -> Iterator[tuple[str, pathlib.Path | bytes]]:
    """(name, file or bytes) of each image.

    Raises:
        UserError: there is none.
    """
    for name in arguments:
        if name == "-":
            contents = sys.stdin.buffer.read() if sys.stdin else b""
            if not contents:
                raise UserError(
                    "- reads an image from standard input, which is empty; give it one: < photo.jpg."
                )
            yield "standard input", contents
        elif pathlib.Path(name).is_dir():
            found = find_images(pathlib.Path(name))
            if not found.images:
                raise UserError(no_images(found.unread), value=name)
            if found.unread:
                unread = f"{format_value(name)}: not read: {describe_unread(found.unread)}."
                print(f"keras-resnet predict: {unread}", file=sys.stderr)
            yield from ((str(image.path), image.path) for image in found.images)
        elif pathlib.Path(name).exists():
            yield name, pathlib.Path(name)
        else:
            raise UserError(
                "there is no such file or folder; use images, folders of images, or - for standard input.",
                value=name,
            )


def _as_json(name: str, answers: list[tuple[str, float]]) -> str:
    classes = [{"class": class_name, "probability": probability} for class_name, probability in answers]
    return json.dumps({"image": name, "classes": classes}, ensure_ascii=False)


def _as_text(name: str, answers: list[tuple[str, float]]) -> str:
    if not answers:
        return f"{name}\n  none of the labels"
    width = max(len(class_name) for class_name, _ in answers)
    lines = [
        f"  {class_name:{width}} {100 * probability:6.2f}% {'#' * round(_BAR * probability)}".rstrip()
        for class_name, probability in answers
    ]
    return "\n".join([name, *lines])
