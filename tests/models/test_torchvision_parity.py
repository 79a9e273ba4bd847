import json
import os
import subprocess
import sys

import numpy as np
import parity_with_torchvision
import pytest
from helpers.marks import slow

from keras_resnet.models import constructors
from keras_resnet.models.complexity import complexity


@pytest.mark.parametrize(
    ("depth", "options"),
    [slow(*each) if each[0] == 50 else each for each in parity_with_torchvision.MODELS.items()],
)
def test_logits_are_torchvisions(depth, options):
    assert parity_with_torchvision.largest_difference(depth, **options) < 1e-4


@pytest.mark.slow
def test_the_papers_variant_computes_something_else():
    assert parity_with_torchvision.largest_difference(50, variant="v1") > 1e-2


@pytest.mark.parametrize("depth", [18, 34, 50, slow(101), slow(152)])
def test_counts_are_those_of_pytorchs_own_counter(depth):
    golden = np.load(parity_with_torchvision.GOLDEN, allow_pickle=False)
    counted = complexity(getattr(constructors, f"ResNet{depth}")(variant="v1.5"))
    assert counted.macs == golden[f"resnet{depth}_macs"]
    assert counted.parameters == golden[f"resnet{depth}_parameters"]


_MODELS = """
import json, sys
import keras, numpy as np
from keras_resnet.models import architectures, blocks, resnet
from keras_resnet.models.architectures import Architecture

def models():
    images = keras.Input((17, 18, 3))
    yield resnet.ResNet(architectures.cifar_architecture(8, "A"), input_tensor=images, classes=10)
    yield resnet.ResNet(architectures.cifar_architecture(14, None), input_tensor=images, classes=10)
    bottleneck = Architecture("small", (2, 1), (8, 16), block="bottleneck", stem="imagenet", shortcut="C")
    yield resnet.ResNet(bottleneck, input_tensor=images, classes=10)
    vector = keras.Input((6,))
    x = blocks.dense_block(vector, 9, shortcut="A", name="first")
    yield keras.Model(vector, blocks.dense_block(x, 9, shortcut="C", name="second"))

def outputs():
    random = np.random.RandomState(0)
    for model in models():
        model.set_weights([0.3 * abs(random.standard_normal(w.shape)) + 0.01 for w in model.get_weights()])
        yield model(random.standard_normal((2, *model.input.shape[1:])).astype("float32"), training=False)
"""
_ON_JAX = """
assert keras.backend.backend() == "jax"
from parity_with_torchvision import MODELS, largest_difference
differences = [largest_difference(depth, **options) for depth, options in MODELS.items()]
channels_last = [np.asarray(output).tolist() for output in outputs()]
print(json.dumps({"differences": differences, "outputs": channels_last}))
"""


@pytest.mark.slow
def test_logits_are_the_same_on_jax():
    golden = os.path.dirname(parity_with_torchvision.__file__)
    result = subprocess.run(
        [sys.executable, "-c", _MODELS + _ON_JAX],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": golden},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    jax = json.loads(result.stdout.splitlines()[-1])
    assert max(jax["differences"]) < 1e-4
    namespace = {}
    exec(_MODELS, namespace)
    for ours, theirs in zip(namespace["outputs"](), jax["outputs"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
