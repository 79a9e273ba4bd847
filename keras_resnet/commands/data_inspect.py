"""`keras-resnet data inspect`: a dataset at a glance, before a run is spent on it."""

import pathlib

from absl import flags

from keras_resnet.commands import data_flags, net_flags, view_flags

ARGUMENT = "DATASET"
FLAGS = flags.FlagValues()
data_flags.define(FLAGS)
view_flags.define(FLAGS)
net_flags.define(FLAGS)
flags.DEFINE_integer("seed", 0, "Of the samples.", flag_values=FLAGS, module_name="The samples")
flags.DEFINE_string(
    "output",
    None,
    "PNG file of the samples; by default DATASET-samples.png here.",
    flag_values=FLAGS,
    module_name="The samples",
)

_SIZES_SHOWN = 8
_CLASSES_SHOWN = 20
_BAR = 40


def run(dataset: str) -> None:
    """Print and draw."""
    net = net_flags.architecture(FLAGS)
    source = data_flags.source(FLAGS, dataset, trains=True)
    view = view_flags.view(FLAGS, source, net)

    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.data.sheet import contact_sheet
    from keras_resnet.data.survey import images_per_second, samples, survey

    print(f"{source.name}: {len(source.class_names)} classes")
    for split in (source.train, source.test):
        print(f"  {split.size:,} images in {split.name}")
    found = survey(source.train)
    looked_at = f"{found.images:,} of {source.train.size:,} training images"
    print(f"\nClasses of {looked_at}:")
    _bars({source.class_names[label]: count for label, count in sorted(found.labels.items())}, _CLASSES_SHOWN)
    print(f"\nHeight x width of {looked_at}:")
    _bars({f"{height}x{width}": count for (height, width), count in found.sizes.most_common()}, _SIZES_SHOWN)
    if found.unreadable:
        print(
            f"  {found.unreadable:,} cannot be read; `keras-resnet data validate {dataset}` names those of a "
            "folder."
        )
    shorter = sorted(min(size) for size, count in found.sizes.items() for _ in range(count))
    if shorter:
        middle = shorter[len(shorter) // 2]
        print(f"  shorter side from {shorter[0]} to {shorter[-1]} pixels, median {middle}")

    images = Pipeline(source, view, BadImages(FLAGS.bad_images, FLAGS.max_bad_images), FLAGS.seed)
    output = pathlib.Path(FLAGS.output or f"{data_flags.file_name(dataset)}-samples.png")
    mean = images.mean(per_pixel=view.whole)
    contact_sheet(*samples(images, mean), output)
    seen = f"{view.size}x{view.size}x{source.channels}"
    print(f"\n{output}: training images as {net.name} sees them, {seen}.")
    print(f"{images_per_second(images, mean):,.0f} training images/s with nothing that uses them.")


def _bars(counts: dict[str, int], shown: int) -> None:
    """A histogram, the longest bar the largest count."""
    most, width = max(counts.values(), default=1), max(map(len, counts), default=0)
    for name, count in list(counts.items())[:shown]:
        print(f"  {name:{width}} {count:8,} {'#' * max(1, round(_BAR * count / most))}")
    rest = list(counts.values())[shown:]
    if rest:
        least, greatest = f"{min(rest):,}", f"{max(rest):,}"
        each = least if least == greatest else f"{least} to {greatest}"
        print(f"  and {len(rest)} more, with {each} image{'s' if max(rest) > 1 else ''} each")
