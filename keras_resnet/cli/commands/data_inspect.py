"""`keras-resnet data inspect`: flags -> inspect_data -> print."""

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define
from keras_resnet.runs.inspect_data import InspectDataConfig, inspect_data

ARGUMENT = "DATASET"
FLAGS = flags.FlagValues()
define(FLAGS, InspectDataConfig)

_MAX_SIZES = 8
_MAX_CLASSES = 20
_BAR = 40


def run(dataset: str) -> None:
    """Prints the summary."""
    summary = inspect_data(dataset, config_from_flags(FLAGS, InspectDataConfig))
    found, statistics, spec = summary.dataset, summary.statistics, summary.spec
    print(f"{found.name}: {len(found.class_names)} classes")
    for split in filter(None, (found.train, found.validation, found.test)):
        print(f"  {split.size:,} images in {split.name}")
    sample = f"{statistics.images:,} of {found.train.size:,} training images"
    print(f"\nClasses of {sample}:")
    labels = sorted(statistics.labels.items())
    _print_bars({found.class_names[label]: count for label, count in labels}, _MAX_CLASSES)
    print(f"\nHeight x width of {sample}:")
    sizes = statistics.sizes.most_common()
    _print_bars({f"{height}x{width}": count for (height, width), count in sizes}, _MAX_SIZES)
    if statistics.unreadable:
        print(
            f"  {statistics.unreadable:,} cannot be read; "
            f"`keras-resnet data validate {dataset}` names those of a folder or table."
        )
    shorter = sorted(min(size) for size, count in statistics.sizes.items() for _ in range(count))
    if shorter:
        median = shorter[len(shorter) // 2]
        print(f"  shorter side from {shorter[0]} to {shorter[-1]} pixels, median {median}")
    shape = f"{spec.size}x{spec.size}x{spec.channels}"
    print(f"\n{summary.output}: training images as {summary.architecture.name} takes them, {shape}.")
    print(f"{summary.images_per_second:,.0f} training images/s with nothing that consumes them.")


def _print_bars(counts: dict[str, int], limit: int) -> None:
    """Prints a histogram, the longest bar for the largest count."""
    most, width = max(counts.values(), default=1), max(map(len, counts), default=0)
    for name, count in list(counts.items())[:limit]:
        print(f"  {name:{width}} {count:8,} {'#' * max(1, round(_BAR * count / most))}")
    rest = list(counts.values())[limit:]
    if rest:
        least, greatest = f"{min(rest):,}", f"{max(rest):,}"
        each = least if least == greatest else f"{least} to {greatest}"
        print(f"  and {len(rest)} more, with {each} image{'s' if max(rest) > 1 else ''} each")
