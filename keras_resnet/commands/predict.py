"""`keras-resnet predict`: what a net sees in pictures."""

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from absl import flags

from keras_resnet.data.folder import SUFFIXES, pictures
from keras_resnet.errors import UserError

ARGUMENT = "MODEL IMAGE..."
FLAGS = flags.FlagValues()
_ANSWERS: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The answers"}
flags.DEFINE_integer("top", 5, "Classes to name for each picture.", lower_bound=1, **_ANSWERS)
flags.DEFINE_boolean("json", False, "A line of JSON for each picture.", **_ANSWERS)

_BAR = 30


def run(model: str, *images: str) -> int:
    """Print the likeliest classes of each picture; 1 if one of several could not be read."""
    from keras_resnet.data.picture import seen_picture
    from keras_resnet.evaluation.opened import open_model

    named = list(_pictures(images))
    opened = open_model(model)
    failed = 0
    for name, picture in named:
        try:
            pixels = seen_picture(picture, opened.size, opened.channels, whole=opened.whole, name=name)
        except UserError as error:
            if len(named) == 1:
                raise
            failed += 1
            print(f"keras-resnet predict: {error}", file=sys.stderr)
            continue
        probabilities = opened.probabilities(pixels[None])[0]
        best = (-probabilities).argsort(kind="stable")[: FLAGS.top]
        answers = [(opened.class_names[index], float(probabilities[index])) for index in best]
        shown = name.encode(errors="backslashreplace").decode()  # of bytes that are no UTF-8
        print(_as_json(shown, answers) if FLAGS.json else _as_text(shown, answers), flush=True)
    return 1 if failed else 0


def _pictures(given: tuple[str, ...]) -> Iterator[tuple[str, pathlib.Path | bytes]]:
    """(name, file or bytes) of each picture.

    Raises:
        UserError: there is none.
    """
    for name in given:
        if name == "-":
            contents = sys.stdin.buffer.read() if sys.stdin else b""
            if not contents:
                raise UserError(
                    "- is for a picture on standard input, which is empty; give it one, as by < photo.jpg."
                )
            yield "standard input", contents
        elif pathlib.Path(name).is_dir():
            inside = pictures(pathlib.Path(name))
            if not inside:
                raise UserError(f"{name} holds no pictures; they end in {', '.join(SUFFIXES)}.")
            yield from ((str(path), path) for path in inside)
        elif pathlib.Path(name).exists():
            yield name, pathlib.Path(name)
        else:
            raise UserError(
                f"{name}: there is no such file or folder; give pictures, folders of them, or - for one on "
                "standard input."
            )


def _as_json(name: str, answers: list[tuple[str, float]]) -> str:
    classes = [{"class": class_name, "probability": score} for class_name, score in answers]
    return json.dumps({"image": name, "classes": classes}, ensure_ascii=False)


def _as_text(name: str, answers: list[tuple[str, float]]) -> str:
    width = max(len(class_name) for class_name, _ in answers)
    lines = [
        f"  {class_name:{width}} {100 * score:6.2f}% {'#' * round(_BAR * score)}".rstrip()
        for class_name, score in answers
    ]
    return "\n".join([name, *lines])
