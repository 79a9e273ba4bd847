"""Training speed and memory against batch size, image size and depth, with a figure.

    python benchmarks/scaling.py --by=batch     # or --by=size, --by=depth

Each point in a process of its own. The figure of all stored points is drawn to docs/scaling.png.
"""

import argparse
import json
import pathlib
import sys

from compare import RESULTS, in_a_process, store
from work import images_per_second, our_steps, peak_memory

# (depth, image size, batch) of each point.
POINTS = {
    "batch": [(50, 224, batch) for batch in (1, 2, 4, 8, 16, 32, 64)],
    "size": [(50, size, 16) for size in (64, 96, 128, 160, 224, 288)],
    "depth": [(depth, 224, 16) for depth in (18, 34, 50, 101, 152)],
}
FIGURE = pathlib.Path(__file__).parents[1] / "docs" / "scaling.png"
LABELS = {
    "batch": "batch size, ResNet-50 at 224",
    "size": "image size, ResNet-50, batch 16",
    "depth": "depth, 224, batch 16",
}


def measure(depth: int, size: int, batch: int) -> dict:
    import keras_resnet

    model = getattr(keras_resnet, f"ResNet{depth}")(input_shape=(size, size, 3))
    steps = max(2, 16 // batch)
    speed = images_per_second(our_steps(model, batch, size, 1000), batch, steps, warm_up=1)()
    peak = peak_memory()
    return {"depth": depth, "size": size, "batch": batch, "images/s": speed, "peak GiB": peak}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--by", choices=POINTS, default="batch")
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print("VALUE", json.dumps(measure(*options.one)))
        return
    points = []
    for point in POINTS[options.by]:
        points.append(in_a_process(__file__, *point))
        print(points[-1], file=sys.stderr)
    store(f"scaling-{options.by}", {"points": points})
    draw()


def draw() -> None:
    """Draws speed above memory, with a column for each quantity that they depend on."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(POINTS), figsize=(12, 6), sharex="col")
    for column, by in enumerate(POINTS):
        file = RESULTS / f"scaling-{by}.json"
        if not file.exists():
            continue
        points = json.loads(file.read_text())["points"]
        for row, quantity in enumerate(("images/s", "peak GiB")):
            axis = axes[row][column]
            axis.plot([p[by] for p in points], [p[quantity] for p in points], "o-", color="black")
            axis.set_ylabel(quantity)
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
        axes[1][column].set_xlabel(LABELS[by])
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=100)


if __name__ == "__main__":
    main()
