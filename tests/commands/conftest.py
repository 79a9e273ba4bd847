import filelock
import pytest
from running import run_train


@pytest.fixture(scope="session")
def default_run(tmp_path_factory, worker_id):
    """What `python train.py` prints and leaves: trained once, by whichever process of the tests is first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "default_run"
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "stdout.txt").is_file():
            result = run_train(f"--output_dir={folder}")
            assert result.returncode == 0, result.stderr
            (folder / "stdout.txt").write_text(result.stdout)
    return (folder / "stdout.txt").read_text(), folder / "cifar_resnet20-A-digits"
