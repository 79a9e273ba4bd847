"""Draws the validation error of several runs against epochs.

python benchmarks/recipes.py OUTPUT.png RUN...
"""

import sys

from matplotlib.figure import Figure

from keras_resnet import Run

# Distinguished by dashes and marks as well as by brightness.
STYLES = [("o", "-", "0.0"), ("s", "--", "0.35"), ("^", ":", "0.55"), ("D", "-.", "0.2")]


def main():
    output, *folders = sys.argv[1:]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for run, (mark, line, color) in zip(map(Run.open, folders), STYLES, strict=False):
        errors = [100 * error for error in run.history["val_error"]]
        epochs = range(1, len(errors) + 1)
        axes.plot(epochs, errors, marker=mark, linestyle=line, color=color, label=run.path.name)
        print(f"| {run.path.name} | {100 - errors[-1]:.2f}% | {100 - min(errors):.2f}% |")
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation error (%)")
    axes.set_ylim(top=20)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    main()
