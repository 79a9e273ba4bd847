"""What a stage holds is told by the names of the layers; what a frozen one does, by Keras' own training."""

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet.models.freezing import freeze, stages, trainable_as_before
from keras_resnet.models.layers import MeanSubtraction

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 8, 8, 3)).astype("float32")
LABELS = RNG.integers(0, 10, 16)
CIFAR = ("conv1", "conv2", "conv3", "conv4", "head")


def _net():
    keras.utils.set_random_seed(0)
    return keras_resnet.CifarResNet(8, input_shape=(8, 8, 3), shortcut="B")


def _trained(model):
    """The stages that have trainable weights."""
    names = {variable.path.split("_")[0].split("/")[0] for variable in model.trainable_variables}
    return {"head" if name == "predictions" else name for name in names}


@pytest.mark.parametrize("until", CIFAR)
def test_a_stage_and_all_behind_it_are_trained(until):
    model = _net()
    freeze(model, until)
    assert _trained(model) == set(CIFAR[CIFAR.index(until) :])


def test_by_default_the_classifier_alone_is_trained():
    model = _net()
    freeze(model)
    assert [variable.path for variable in model.trainable_variables] == [
        "predictions/kernel",
        "predictions/bias",
    ]


@pytest.mark.parametrize("version", [keras.applications.ResNet50, keras.applications.ResNet50V2])
def test_nets_of_keras_applications(version):
    model = version(weights=None, input_shape=(32, 32, 3))
    assert stages(model) == ("conv1", "conv2", "conv3", "conv4", "conv5", "head")
    freeze(model, "conv5")
    assert {"conv5", "head"} <= _trained(model) <= {"conv5", "post", "head"}
    freeze(model)
    assert _trained(model) == {"head"}


def test_an_earlier_stage_unfreezes():
    model = _net()
    freeze(model)
    freeze(model, "conv3")
    assert _trained(model) == {"conv3", "conv4", "head"}
    freeze(model, "conv1")
    assert all(layer.trainable for layer in model.layers)


def test_a_net_that_was_frozen_as_a_whole_is_trained_where_it_is_to_be():
    model = _net()
    model.trainable = False
    freeze(model, "conv4")
    assert _trained(model) == {"conv4", "head"}


@pytest.mark.parametrize("trainable", [True, False])
def test_layers_in_front_of_the_stem_stay_as_they_are(trainable):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(3, name="colours", trainable=trainable)(MeanSubtraction((3,), name="mean")(image))
    model = keras_resnet.CifarResNet(8, input_tensor=x)
    for until in ("head", "conv1"):
        freeze(model, until)
        assert model.get_layer("colours").trainable is trainable
        assert not model.get_layer("mean").trainable_variables


def test_training_moves_no_frozen_weight_and_no_statistics_of_frozen_batch_norm():
    model = _net()
    freeze(model, "conv4")
    model.compile(keras.optimizers.SGD(0.1, 0.9, weight_decay=0.1), "sparse_categorical_crossentropy")
    before = {weight.path: weight.numpy() for weight in model.weights}
    model.fit(IMAGES, LABELS, epochs=2, batch_size=8, verbose=0)
    moved = {
        weight.path for weight in model.weights if not np.array_equal(weight.numpy(), before[weight.path])
    }
    assert moved == {path for path in before if path.startswith(("conv4_", "predictions"))}


def test_frozen_batch_norm_is_in_inference_mode():
    model = _net()
    features = keras.Model(model.input, model.get_layer("conv4_block1_out").output)
    trained = features(IMAGES, training=True)
    freeze(model)
    inference = features(IMAGES, training=False)
    np.testing.assert_array_equal(features(IMAGES, training=True), inference)
    assert abs(trained - inference).numpy().max() > 0.1


def test_without_top_there_is_no_head_to_train():
    model = keras_resnet.ResNet18(include_top=False, input_shape=(32, 32, 3), pooling="avg")
    assert stages(model) == ("conv1", "conv2", "conv3", "conv4", "conv5")
    with pytest.raises(
        ValueError, match="'head' is no stage of resnet18, which has conv1, conv2, conv3, conv4, "
    ):
        freeze(model)
    own = keras.Model(model.input, keras.layers.Dense(5, name="own")(model.output))
    freeze(own)
    assert [variable.path for variable in own.trainable_variables] == ["own/kernel", "own/bias"]


def test_a_stage_that_is_not_there_is_refused():
    with pytest.raises(
        ValueError, match=r"'conv5' is no stage of cifar_resnet8, which has conv1, .*, conv4, head"
    ):
        freeze(_net(), "conv5")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="other")
    with pytest.raises(ValueError, match="'conv1' is no stage of other, which has none called as those of"):
        freeze(other, "conv1")


def _fail_with_frozen_layers(model):
    with trainable_as_before(model):
        freeze(model)
        raise RuntimeError("inside")


@pytest.mark.parametrize("whole", [True, False])
def test_afterwards_all_is_as_trainable_as_before(whole):
    model = _net()
    model.trainable = whole
    model.get_layer("conv3_block1_1_bn").trainable = not whole
    before = [layer.trainable for layer in (model, *model.layers)]
    with pytest.raises(RuntimeError, match="inside"):
        _fail_with_frozen_layers(model)
    assert [layer.trainable for layer in (model, *model.layers)] == before
