"""The arithmetic of the benchmarks, and that what they import exists. Tests do not measure."""

import argparse
import ast
import importlib
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
import compare

BENCHMARKS = pathlib.Path(compare.__file__).parent


def test_ratio_is_the_median_of_the_repetitions_ratios():
    benchmark = compare.Benchmark("name", "work {batch}", "ms", {}, needs={"theirs": 1.5})
    contents = compare._contents(
        benchmark, argparse.Namespace(batch=8), {compare.OURS: [2.0, 4.0, 6.0], "theirs": [1.0, 4.0, 2.0]}
    )
    assert contents["work"] == "work 8"
    assert contents["sides"]["theirs"] == {"values": [1.0, 4.0, 2.0], "ratio": 2.0, "need": 1.5}
    lines = compare.markdown([contents]).splitlines()
    assert lines[-1] == "| work 8 | theirs | 2 ms | 1 to 4 | 2.00x | 1.5x |"


def test_a_side_that_fails_is_named(monkeypatch, capfd):
    side = compare.Side(lambda options: None)
    benchmark = compare.Benchmark("name", "work", "ms", {"broken": side})
    monkeypatch.setattr(sys, "argv", ["-c", "raise SystemExit(1)"])
    with pytest.raises(SystemExit, match="broken ended early"):
        compare._Worker(benchmark, "broken")


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_imports_from_this_package_exist(script):
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_resnet"):
            module = importlib.import_module(node.module)
            missing = [name.name for name in node.names if not _has(module, name.name)]
            assert not missing, f"{script.name}:{node.lineno}: {node.module} has no {missing}"


def _has(module, name):
    if hasattr(module, name):
        return True
    try:
        importlib.import_module(f"{module.__name__}.{name}")
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("kind", ["blockwise", "flat"])
def test_depth_counts_operations(kind):
    import depth

    row = depth.measure(8, kind)
    assert row["depth"] == 8
    assert row["operations"] > 100


@pytest.mark.slow
def test_finetune_trains_in_every_way(tmp_path, monkeypatch):
    import finetune

    import keras_resnet
    from keras_resnet.data.sources import digits

    images, labels = digits.load("train")
    images = np.pad(images, [(0, 0), (4, 4), (4, 4), (0, 0)])

    def half(first, per_class=None, seed=0):
        chosen = (labels >= first) & (labels < first + 5)
        return keras_resnet.data.from_arrays((images[chosen], labels[chosen] - first), name=f"from {first}")

    monkeypatch.setattr(finetune, "half", half)
    settings = {"depth": 8, "epochs": 1, "mixed_precision": "none"}
    errors = finetune.measure(tmp_path, 1, **settings)
    assert list(errors) == list(finetune.WAYS)
    assert all(0 <= error <= 100 for (error,) in errors.values())
    # The runs are finished: nothing is trained again.
    assert finetune.measure(tmp_path, 1, **settings) == errors
