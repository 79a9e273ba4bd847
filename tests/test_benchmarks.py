"""The arithmetic of the benchmarks; what they measure is no matter for a test."""

import argparse
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
import compare


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
    with pytest.raises(SystemExit, match="broken ended before its time"):
        compare._Worker(benchmark, "broken")
