import pytest
from running import run_train


@pytest.fixture(scope="session")
def default_run(tmp_path_factory):
    """What `python train.py` prints and leaves."""
    folder = tmp_path_factory.mktemp("runs")
    result = run_train(f"--output_dir={folder}")
    assert result.returncode == 0, result.stderr
    return result.stdout, folder / "cifar_resnet20-A-digits"
