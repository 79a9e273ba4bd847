"""The notebooks are small, are committed without outputs, and run from top to bottom without network."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def _code(path):
    """Returns the code of all cells as one program, without the line that only notebooks know."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    return "\n\n".join("".join(cell["source"]) for cell in cells).replace("%matplotlib inline\n", "")


def test_both_exist():
    assert [path.stem for path in NOTEBOOKS] == ["own_images", "paper"]


@each
def test_committed_without_outputs(path):
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    assert path.stat().st_size < 30_000
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


@each
def test_calls_the_library_and_no_process(path):
    code = _code(path)
    assert "import keras_resnet" in code
    assert "subprocess" not in code
    assert "\n!" not in code
    assert code.count("KERAS_RESNET_QUICK") == 1  # its size is set in one place


@pytest.mark.slow
@each
def test_runs(path, tmp_path):
    nowhere = "http://127.0.0.1:9"
    environment = {
        **os.environ,
        "KERAS_RESNET_QUICK": "1",
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(ROOT),
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
    }
    result = subprocess.run(
        [sys.executable, "-"],
        input=_code(path),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode == 0, result.stderr[-3000:]
