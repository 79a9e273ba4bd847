"""`keras-resnet weights`: the public weights that nets can begin with."""

import json

from absl import flags

FLAGS = flags.FlagValues()
flags.DEFINE_boolean(
    "json", False, "Print JSON instead of a table.", flag_values=FLAGS, module_name="The list"
)


def run() -> None:
    """Print the table."""
    from keras_resnet.weights import registry

    entries = registry.list()
    if FLAGS.json:
        print(json.dumps([registry.as_dict(entry) for entry in entries], indent=2))
        return
    row = "{:16}{:>6}  {:8}{:>7}{:>7}  {:24}{:8}{:14}{}".format
    print(row("name", "depth", "variant", "top-1", "top-5", "measured on", "pixels", "licence", "file"))
    for entry in entries:
        test = entry.test
        print(
            row(
                entry.name,
                entry.depth,
                entry.variant,
                f"{test.top1:.2f}",
                f"{test.top5:.2f}",
                f"{test.size} of {test.shorter}, {test.interpolation}",
                entry.mode,
                entry.licence,
                f"{entry.file.path.name}{', here' if entry.file.path.is_file() else ''}",
            )
        )
    print(
        '\nResNet50(weights="torchvision-v2") in code, train.py --weights=torchvision-v2 --depth=50. '
        '"imagenet" is keras-imagenet, or torchvision-v1 for 18 and 34.\n'
        f"Files are kept in {entries[0].file.path.parent}."
    )
