"""`keras-resnet weights`: the public weights that models can start from."""

import json

from absl import flags

from keras_resnet.cli.flags import define_flag
from keras_resnet.runs.options import Option

FLAGS = flags.FlagValues()
define_flag(FLAGS, "json", Option("Print JSON instead of a table.", "bool", group="List"))


def run() -> None:
    """Prints the table."""
    from keras_resnet.weights import registry

    entries = registry.list_weights()
    if FLAGS.json:
        print(json.dumps([registry.as_dict(entry) for entry in entries], indent=2))
        return
    row = "{:20}{:18}{:9}{:>7}{:>7}  {:24}{:9}{:14}{}".format
    print(row("name", "network", "variant", "top-1", "top-5", "measured at", "mode", "license", "file"))
    for entry in entries:
        settings, path = entry.eval, entry.file.path
        print(
            row(
                entry.name,
                entry.architecture,
                entry.variant,
                f"{settings.top1:.2f}",
                "" if settings.top5 is None else f"{settings.top5:.2f}",
                f"{settings.crop_size} of {settings.resize_size}, {settings.interpolation}",
                entry.mode,
                entry.license,
                f"{path.name}{', downloaded' if path.is_file() else ''}",
            )
        )
    print(
        '\nUse them as ResNet50(weights="torchvision-v2") or train.py --weights=torchvision-v2 --depth=50, '
        "those of other networks by --architecture=resnext50_32x4d. "
        '"imagenet" is keras-imagenet, or torchvision-v1 where that has none.\n'
        f"Files are kept in {entries[0].file.path.parent}."
    )
