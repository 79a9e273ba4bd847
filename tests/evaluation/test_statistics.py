import keras
import numpy as np
import pytest
from nets import NETS, trained

from keras_resnet.data import digits
from keras_resnet.evaluation import layer_responses, precise_batch_norm
from keras_resnet.models import architectures

IMAGES = digits.load("train")[0][:90]


def _bns(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def _in_one_batch(model):
    """Keras' own averages after a pass over all images in training mode, which forgets all before."""
    config = model.get_config()
    for layer in config["layers"]:
        if "momentum" in layer["config"]:
            layer["config"]["momentum"] = 0.0
    copy = keras.Model.from_config(config)
    copy.set_weights(model.get_weights())
    copy(IMAGES, training=True)
    return copy


@pytest.mark.parametrize("batch", [90, 32], ids=["one batch", "several"])
@pytest.mark.parametrize("net", ["A", "C", "plain", "bottleneck-v1.5", "imagenet-stem"])
def test_statistics_are_those_of_all_images_at_once(net, batch):
    model = trained(NETS[net])
    wanted = _in_one_batch(model)
    precise_batch_norm(model, np.split(IMAGES, range(batch, len(IMAGES), batch)))
    for bn, other in zip(_bns(model), _bns(wanted), strict=True):
        np.testing.assert_allclose(bn.moving_mean, other.moving_mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(bn.moving_variance, other.moving_variance, rtol=1e-3, atol=1e-5)


def test_nothing_but_the_statistics_changes():
    model = trained(NETS["A"])
    before = {weight.path: np.array(weight) for weight in model.weights}
    precise_batch_norm(model, [IMAGES])
    changed = {path for path, value in before.items() if not np.array_equal(value, _weight(model, path))}
    assert {path.rsplit("/", 1)[1] for path in changed} == {"moving_mean", "moving_variance"}


def _weight(model, path):
    return np.array(next(weight for weight in model.weights if weight.path == path))


@pytest.mark.parametrize("net", ["A", "bottleneck-A"])
def test_responses_are_deviations_behind_bn(net):
    model = trained(NETS[net])
    given = layer_responses(model, np.split(IMAGES, [40, 80]))
    for response in given:
        bn = response.layer.replace("_conv", "_bn")
        tapped = keras.Model(model.inputs, model.get_layer(bn).output)
        values = tapped.predict(IMAGES, verbose=0)
        assert response.deviation == pytest.approx(values.std(dtype="float64"), rel=1e-4)
    blocks = {"A": 2, "bottleneck-A": 1}[net]  # 3x3 layers of each
    assert len(given) == 1 + blocks * sum(NETS[net].blocks_per_stage)


def test_cifar_nets_have_a_response_a_layer():
    """As Fig. 7 counts: every layer but the classifier."""
    model = trained(architectures.cifar(14))
    assert len(layer_responses(model, [IMAGES[:4]])) == 13


def test_nothing_to_go_by_is_refused():
    model = trained(NETS["A"])
    for function in (precise_batch_norm, layer_responses):
        with pytest.raises(ValueError, match="at least one image"):
            function(model, [])
    two = keras.Model([one := keras.Input((8,)), other := keras.Input((8,))], one + other, name="sum")
    with pytest.raises(ValueError, match="sum is not a Functional model with one input, which precise"):
        precise_batch_norm(two, [IMAGES])
    plain = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match="no 3x3 convolution that is followed by a BN"):
        layer_responses(plain, [IMAGES])
