"""Runs the sides of a benchmark in turns and compares them.

Each side is a process of its own, with its own threads and settings, that waits while another is measured:
no two sides run at the same time, and a slow minute of the machine affects all of them.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

RESULTS = pathlib.Path(__file__).parent / "results"
OURS = "keras_resnet"
_PACKAGES = (
    "keras",
    "keras-hub",
    "numpy",
    "onnxruntime",
    "tensorflow",
    "torch",
    "torchvision",
    "ai-edge-litert",
)

Measure = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Side:
    """One way to do the work.

    Args:
        make: prepares the work, warm-up included, and returns the function that does and measures it once.
        environment: variables to set before Python starts.
    """

    make: Callable[[argparse.Namespace], Measure]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The same work, done by several sides.

    Args:
        name: of the file of results.
        work: what is measured, with `{options}` of the command line.
        unit: of one measurement.
        sides: by name; this package's is `keras_resnet`.
        options: of the command line, with their defaults; integers.
        repetitions: measurements of each side.
        fresh: whether each measurement takes a new process.
        needs: goal of our result divided by theirs, by other side.
    """

    name: str
    work: str
    unit: str
    sides: Mapping[str, Side]
    options: Mapping[str, int] = dataclasses.field(default_factory=dict)
    repetitions: int = 5
    fresh: bool = False
    needs: Mapping[str, float] = dataclasses.field(default_factory=dict)


def main(benchmark: Benchmark) -> None:
    """Runs the command line of a benchmark: measures, prints a Markdown table, stores it as JSON."""
    parser = argparse.ArgumentParser(description=benchmark.work)
    for option, default in benchmark.options.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--repetitions", type=int, default=benchmark.repetitions)
    parser.add_argument("--side", choices=benchmark.sides, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        _serve(benchmark.sides[options.side].make(options))
        return
    values = _measure(benchmark, options)
    suffix = "".join(f"-{name}{getattr(options, name)}" for name in benchmark.options)
    record = store(f"{benchmark.name}{suffix}", _contents(benchmark, options, values))
    print(markdown([record]), flush=True)


def _serve(measure: Measure) -> None:
    print("READY", flush=True)
    for _ in sys.stdin:
        print(f"VALUE {measure()!r}", flush=True)


def _measure(benchmark: Benchmark, options: argparse.Namespace) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {name: [] for name in benchmark.sides}
    with contextlib.ExitStack() as running:
        workers = {}
        if not benchmark.fresh:
            # Two prepare at a time: imports and tracing take one core each, and nothing is measured yet.
            with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
                ready = pool.map(lambda name: _Worker(benchmark, name), benchmark.sides)
                workers = {worker.side: running.enter_context(worker) for worker in ready}
        for repetition in range(options.repetitions):
            # Every second round in reverse, so that no side always follows the same one.
            for name in list(benchmark.sides)[:: 1 if repetition % 2 == 0 else -1]:
                if benchmark.fresh:
                    with _Worker(benchmark, name) as worker:
                        value = worker.measure()
                else:
                    value = workers[name].measure()
                values[name].append(value)
                print(
                    f"{repetition + 1}/{options.repetitions} {name}: {value:.4g} {benchmark.unit}",
                    file=sys.stderr,
                )
    return values


class _Worker:
    """A side in its process."""

    def __init__(self, benchmark: Benchmark, side: str):
        environment = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_BACKEND": "tensorflow",
            **os.environ,
            **benchmark.sides[side].environment,
        }
        self._process = subprocess.Popen(
            [sys.executable, *sys.argv, f"--side={side}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if "BENCH_VERBOSE" not in os.environ else None,
            text=True,
            env=environment,
        )
        self.side = side
        self._expect("READY")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def measure(self) -> float:
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._expect("VALUE"))

    def _expect(self, word: str) -> str:
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        raise SystemExit(f"{self.side} ended early; set BENCH_VERBOSE=1 to see its errors.")


def in_a_process(script: str, *arguments: object) -> dict:
    """Returns what `script --one ARGUMENTS` prints after VALUE, in a process set up for training."""
    from work import our_environment

    command = [sys.executable, script, "--one", *map(str, arguments)]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **our_environment()}
    output = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    for line in output.stdout.splitlines():
        if line.startswith("VALUE"):
            return json.loads(line.removeprefix("VALUE"))
    raise SystemExit(f"{script} {arguments}: {output.stderr[-2000:]}")


def store(name: str, contents: dict) -> dict:
    """Stores a record in the results, with the date, the machine and the versions, and returns it."""
    date = datetime.date.today().isoformat()
    record = {"date": date, "machine": machine(), "versions": versions(), **contents}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def _contents(
    benchmark: Benchmark, options: argparse.Namespace, values: Mapping[str, Sequence[float]]
) -> dict:
    ours = values[OURS]
    sides = {}
    for name, measured in values.items():
        ratios = [mine / theirs for mine, theirs in zip(ours, measured, strict=True)]
        sides[name] = {
            "values": [float(f"{value:.5g}") for value in measured],
            "ratio": round(statistics.median(ratios), 3),
            "need": benchmark.needs.get(name),
        }
    return {
        "work": benchmark.work.format(**vars(options)),
        "unit": benchmark.unit,
        "sides": sides,
    }


def markdown(records: Sequence[dict]) -> str:
    """Returns a Markdown table of records, with a line for each side."""
    lines = [
        "| work | by | median | smallest to largest | keras_resnet is | needed |",
        "|---|---|---|---|---|---|",
    ]
    for record in records:
        for name, side in record["sides"].items():
            values = side["values"]
            ratio = "" if name == OURS else f"{side['ratio']:.2f}x"
            need = f"{side['need']:g}x" if side["need"] else ""
            lines.append(
                f"| {record['work']} | {name} | {statistics.median(values):.3g} {record['unit']} | "
                f"{min(values):.3g} to {max(values):.3g} | {ratio} | {need} |"
            )
    return "\n".join(lines)


def machine() -> str:
    """Describes processor, cores and memory, as far as the system does."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
        flags = next((line.split() for line in lines if line.startswith("flags")), [])
        best = [kind for kind in ("amx_tile", "avx512f", "avx2") if kind in flags]
        model += f" ({', '.join(best)})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB"


def versions() -> dict[str, str]:
    """Returns the version of each package that benchmarks may use."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
