import pytest

import keras_resnet

QUICK = {"depth": 8, "epochs": 2, "log": "plain", "export": ()}


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """ResNet-8 after two epochs on the digits, with precise batch-norm statistics and no exported files."""
    folder = tmp_path_factory.mktemp("quick")
    return keras_resnet.train(**QUICK, precise_bn=500, output_dir=folder, run_name="run")
