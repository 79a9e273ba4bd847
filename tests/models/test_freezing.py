"""Which layers a stage has, and what freezing it means for Keras' own training."""

import keras
import numpy as np
import pytest
from helpers.errors import refused

import keras_resnet
from keras_resnet.models.freezing import freeze, restore_trainable, stages
from keras_resnet.models.layers import MeanSubtraction

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 8, 8, 3)).astype("float32")
LABELS = RNG.integers(0, 10, 16)
CIFAR = ("conv1", "conv2", "conv3", "conv4", "head")


def _model():
    keras.utils.set_random_seed(0)
    return keras_resnet.CifarResNet(8, input_shape=(8, 8, 3), shortcut="B")


def _trained(model):
    """Returns the stages that have trainable weights."""
    names = {variable.path.split("_")[0].split("/")[0] for variable in model.trainable_variables}
    return {"head" if name == "predictions" else name for name in names}


@pytest.mark.parametrize("before", CIFAR)
def test_a_stage_and_all_behind_it_are_trained(before):
    model = _model()
    freeze(model, before)
    assert _trained(model) == set(CIFAR[CIFAR.index(before) :])


def test_by_default_the_classifier_alone_is_trained():
    model = _model()
    freeze(model)
    assert [variable.path for variable in model.trainable_variables] == [
        "predictions/kernel",
        "predictions/bias",
    ]


@pytest.mark.parametrize("version", [keras.applications.ResNet50, keras.applications.ResNet50V2])
def test_models_of_keras_applications(version):
    model = version(weights=None, input_shape=(32, 32, 3))
    assert stages(model) == ("conv1", "conv2", "conv3", "conv4", "conv5", "head")
    freeze(model, "conv5")
    assert {"conv5", "head"} <= _trained(model) <= {"conv5", "post", "head"}
    freeze(model)
    assert _trained(model) == {"head"}


def test_an_earlier_stage_unfreezes():
    model = _model()
    freeze(model)
    freeze(model, "conv3")
    assert _trained(model) == {"conv3", "conv4", "head"}
    freeze(model, "conv1")
    assert all(layer.trainable for layer in model.layers)


def test_a_model_that_was_frozen_itself_is_trained_from_the_stage_on():
    model = _model()
    model.trainable = False
    freeze(model, "conv4")
    assert _trained(model) == {"conv4", "head"}


@pytest.mark.parametrize("trainable", [True, False])
def test_layers_in_front_of_the_stem_stay_as_they_are(trainable):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(3, name="colors", trainable=trainable)(MeanSubtraction((3,), name="mean")(image))
    model = keras_resnet.CifarResNet(8, input_tensor=x)
    for before in ("head", "conv1"):
        freeze(model, before)
        assert model.get_layer("colors").trainable is trainable
        assert not model.get_layer("mean").trainable_variables


def test_training_moves_no_frozen_weight_and_no_statistics_of_frozen_batch_norm():
    model = _model()
    freeze(model, "conv4")
    model.compile(keras.optimizers.SGD(0.1, 0.9, weight_decay=0.1), "sparse_categorical_crossentropy")
    before = {weight.path: weight.numpy() for weight in model.weights}
    model.fit(IMAGES, LABELS, epochs=2, batch_size=8, verbose=0)
    moved = {
        weight.path for weight in model.weights if not np.array_equal(weight.numpy(), before[weight.path])
    }
    assert moved == {path for path in before if path.startswith(("conv4_", "predictions"))}


def test_frozen_batch_norm_is_in_inference_mode():
    model = _model()
    features = keras.Model(model.input, model.get_layer("conv4_block1_out").output)
    trained = features(IMAGES, training=True)
    freeze(model)
    inference = features(IMAGES, training=False)
    np.testing.assert_array_equal(features(IMAGES, training=True), inference)
    assert abs(trained - inference).numpy().max() > 0.1


def test_without_top_there_is_no_head_to_train():
    model = keras_resnet.ResNet18(include_top=False, input_shape=(32, 32, 3), pooling="avg")
    assert stages(model) == ("conv1", "conv2", "conv3", "conv4", "conv5")
    with refused("before", "head") as caught:
        freeze(model)
    assert "conv1, conv2, conv3, conv4, conv5" in caught.value.reason
    own = keras.Model(model.input, keras.layers.Dense(5, name="own")(model.output))
    freeze(own)
    assert [variable.path for variable in own.trainable_variables] == ["own/kernel", "own/bias"]


def test_a_stage_that_is_not_there_is_refused():
    with refused("before", "conv5") as caught:
        freeze(_model(), "conv5")
    assert "conv1, conv2, conv3, conv4, head" in caught.value.reason
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="other")
    with refused("before", "conv1"):
        freeze(other, "conv1")


def _fail_with_frozen_layers(model):
    with restore_trainable(model):
        freeze(model)
        raise RuntimeError("inside")


@pytest.mark.parametrize("trainable", [True, False])
def test_afterwards_everything_is_as_trainable_as_before(trainable):
    model = _model()
    model.trainable = trainable
    model.get_layer("conv3_block1_1_bn").trainable = not trainable
    before = [layer.trainable for layer in (model, *model.layers)]
    with pytest.raises(RuntimeError, match="inside"):
        _fail_with_frozen_layers(model)
    assert [layer.trainable for layer in (model, *model.layers)] == before
