"""Validation error of several runs against epochs, in one picture.

python benchmarks/recipes.py PICTURE RUN_FOLDER...
"""

import csv
import pathlib
import sys

from matplotlib.figure import Figure

# Told apart by dashes and marks as well as by brightness.
STYLES = [("o", "-", "0.0"), ("s", "--", "0.35"), ("^", ":", "0.55"), ("D", "-.", "0.2")]


def main():
    picture, *folders = sys.argv[1:]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for folder, (mark, line, color) in zip(map(pathlib.Path, folders), STYLES, strict=False):
        with (folder / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        epochs = [int(row["epoch"]) for row in rows]
        errors = [100 * float(row["val_error"]) for row in rows]
        axes.plot(epochs, errors, marker=mark, linestyle=line, color=color, label=folder.name)
        print(f"| {folder.name} | {100 - errors[-1]:.2f}% | {100 - min(errors):.2f}% |")
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation error (%)")
    axes.set_ylim(top=20)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
