"""Draws overview.svg: what the package does, and the paper's claim as measured here.

python docs/overview.py

The SVG is written by hand, so that it can follow the reader's choice of a dark or light theme.
"""

import json
import pathlib
import statistics

DOCS = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 900, 302
STYLE = """
  .card { fill: #ffffff; stroke: #c8ccd2; }
  .box { fill: #eef2f7; stroke: #8a94a3; }
  text { font: 13px system-ui, sans-serif; fill: #1c2430; }
  .name { font-size: 15px; font-weight: 600; }
  .code { font: 11.5px ui-monospace, monospace; }
  .small { font-size: 12px; fill: #4a5566; }
  .arrow, .axis { stroke: #5a6675; fill: none; stroke-width: 1.5; }
  .grid { stroke: #d9dde3; }
  .shallow { stroke: #1f6fb0; fill: #1f6fb0; }
  .deep { stroke: #b4441f; fill: #b4441f; }
  polyline { fill: none !important; stroke-width: 2.5; }
  text { stroke: none !important; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #151b23; stroke: #3a4350; }
    .box { fill: #222b36; stroke: #6b7787; }
    text { fill: #e6eaf0; }
    .small { fill: #aab4c2; }
    .arrow, .axis { stroke: #98a3b3; }
    .grid { stroke: #2d3642; }
    .shallow { stroke: #62b0ee; fill: #62b0ee; }
    .deep { stroke: #f08a5d; fill: #f08a5d; }
  }
"""
STEPS = (
    ("images", "CLASS/*.jpg", "a folder, TFDS,", "or the embedded digits"),
    ("train", "train.py --depth=50", "18 to 152, every 6n+2;", "shortcut A, B, C, none"),
    ("evaluate", "--views=ten_crop", "intervals, calibration,", "mistakes, ensembles"),
    ("export", "--tflite=int8", "each file compared", "with the trained model"),
    ("ship", "model_int8.tflite", "phones, servers,", "browsers"),
)
# Layers, class of the style, mark.
NETWORKS = ((20, "shallow", "circle"), (56, "deep", "square"))
MAX_ERROR = 90


def text(x: float, y: float, content: str, style: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{content}</text>'


def flow(top: float) -> list[str]:
    """Draws the steps from images to a phone."""
    width, gap = 148, 28
    left = (WIDTH - len(STEPS) * width - (len(STEPS) - 1) * gap) / 2
    drawn = []
    for number, (name, code, *lines) in enumerate(STEPS):
        x = left + number * (width + gap)
        middle = x + width / 2
        drawn.append(f'<rect class="box" x="{x:.1f}" y="{top}" width="{width}" height="92" rx="8"/>')
        drawn += [text(middle, top + 22, name, "name"), text(middle, top + 42, code, "code")]
        drawn += [text(middle, top + 62 + 17 * place, line, "small") for place, line in enumerate(lines)]
        if number:
            tip, y = x - 4, top + 46
            drawn.append(f'<path class="arrow" d="M{x - gap + 4:.1f} {y}H{tip:.1f}m-6 -5l6 5l-6 5"/>')
    return drawn


def curves(kind: str, left: float, top: float) -> list[str]:
    """Draws training error against iterations of two depths, the mean of the seeds."""
    results = json.loads((DOCS / "experiments/degradation/results.json").read_text())
    steps = results["recipe"]["iterations"]
    width, height = 270, 100

    def place(step: float, error: float) -> tuple[float, float]:
        return left + width * step / steps, top + height * (1 - error / MAX_ERROR)

    drawn = [text(left, top - 10, f"{kind} networks: training error, %", anchor="start")]
    for error in (0, 30, 60, 90):
        y = place(0, error)[1]
        drawn.append(f'<path class="grid" d="M{left} {y:.1f}h{width}"/>')
        drawn.append(text(left - 6, y + 4, str(error), "small", "end"))
    drawn.append(f'<path class="axis" d="M{left} {top}v{height}h{width}"/>')
    drawn.append(
        text(left + width, top + height + 16, f"{steps} steps, Fashion-MNIST, three seeds", "small", "end")
    )
    ends = []
    for depth, style, mark in NETWORKS:
        histories = [
            outcome["history"]["error"]
            for outcome in results["outcomes"]
            if outcome["group"] == f"{kind}-{depth}"
        ]
        means = [100 * statistics.fmean(values) for values in zip(*histories, strict=True)]
        points = [place(steps * (n + 1) / len(means), mean) for n, mean in enumerate(means)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline class="{style}" points="{line}"/>')
        for x, y in points:
            if mark == "circle":
                drawn.append(f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
            else:
                drawn.append(
                    f'<rect class="{style}" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
                )
        ends.append((means[-1], depth, style, points[-1]))
    for rank, (error, depth, style, (x, y)) in enumerate(sorted(ends, reverse=True)):
        down = 4 if kind == "plain" else (-6, 15)[rank]  # the residual curves end at the same place
        drawn.append(text(x + 8, y + down, f"{depth} layers: {error:.1f}%", f"small {style}", "start"))
    return drawn


def main():
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>From images to a phone; deep plain networks fail to train, deep residual ones do not</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>',
        *flow(16),
        *curves("plain", 60, 158),
        *curves("residual", 500, 158),
        "</svg>",
    ]
    (DOCS / "overview.svg").write_text("\n".join(drawn) + "\n")


if __name__ == "__main__":
    main()
