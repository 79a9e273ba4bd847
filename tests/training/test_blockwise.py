"""The blockwise model computes what the flat model computes, and trains the flat model's weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.marks import slow

from keras_resnet import dense_block, dense_bn
from keras_resnet.models import architectures, resnet
from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.engines import default_engine
from keras_resnet.training.optimizer import CoupledSGD
from keras_resnet.training.strategy import make_strategy

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 16, 16, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 1])
STAGES = ("conv2", "conv3", "conv4")


def _model(block="basic", shortcut="B"):
    keras.utils.set_random_seed(0)
    architecture = architectures.Architecture(
        "small", (3, 2), (4, 8), block=block, stem="cifar", shortcut=shortcut
    )
    return resnet.ResNet(architecture, input_shape=(16, 16, 3), classes=3)


def _after_training(model, wrap):
    trained = wrap(model)
    trained.compile(CoupledSGD(0.05, 0.9, 1e-3), "sparse_categorical_crossentropy", jit_compile=False)
    trained.optimizer.build(trained.trainable_variables)  # inside the step it takes far longer
    losses = [float(trained.train_on_batch(IMAGES, LABELS)) for _ in range(3)]
    return losses, model.get_weights(), trained


# Both modes, and blocks with and without a shortcut; the other combinations are slow.
QUICK = {("basic", "A", STAGES), ("basic", None, ())}
COMBINATIONS = [
    pytest.param(*combination, marks=[] if combination in QUICK else pytest.mark.slow)
    for combination in itertools.product(("basic", "bottleneck"), ("A", "C", None), ((), STAGES))
]


@pytest.mark.parametrize(("block", "shortcut", "rematerialize"), COMBINATIONS)
def test_trains_as_the_flat_model(block, shortcut, rematerialize):
    losses, weights, _ = _after_training(
        _model(block, shortcut), lambda model: BlockwiseModel(model, rematerialize)
    )
    flat_losses, flat_weights, _ = _after_training(_model(block, shortcut), lambda model: model)
    np.testing.assert_allclose(losses, flat_losses, rtol=1e-4)
    for ours, theirs in zip(weights, flat_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def test_fully_connected_blocks_train_as_the_flat_model():
    def dense_model():
        keras.utils.set_random_seed(0)
        image = keras.Input((16, 16, 3))
        x = dense_bn(keras.layers.Flatten()(image), 8, name="dense1")
        for block in (1, 2):
            x = dense_block(x, 8, shortcut="A", name=f"dense2_block{block}")
        return keras.Model(image, keras.layers.Dense(3, "softmax")(x))

    (losses, weights, _), (flat_losses, flat_weights, _) = (
        _after_training(dense_model(), wrap) for wrap in (BlockwiseModel, lambda model: model)
    )
    np.testing.assert_allclose(losses, flat_losses, rtol=1e-4)
    for ours, theirs in zip(weights, flat_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def test_predicts_as_the_flat_model():
    model = _model()
    _after_training(model, BlockwiseModel)  # averages that are not the initial ones
    np.testing.assert_allclose(
        BlockwiseModel(model).predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-6
    )


def _operations(model):
    step = tf.function(lambda images: model(images, training=True))
    return step.get_concrete_function(tf.TensorSpec((4, 16, 16, 3))).graph.get_operations()


def _functions(model):
    calls = [operation for operation in _operations(model) if operation.type.endswith("PartitionedCall")]
    return len(calls), len({operation.get_attr("f").name for operation in calls})


def test_equal_blocks_share_one_function():
    # The stem and those of 5 blocks that change dimensions, if only in their shortcut, are special.
    assert _functions(BlockwiseModel(_model(shortcut="A"))) == (6, 4)
    assert _functions(_model(shortcut="A")) == (0, 0)


def _freeze_a_block(model):
    """Freezes the third block of conv2, which otherwise equals the second."""
    for layer in model.layers:
        layer.trainable = not layer.name.startswith("conv2_block3_")
    return model


def test_a_frozen_block_shares_no_function_with_a_trained_one():
    assert _functions(BlockwiseModel(_freeze_a_block(_model(shortcut="A")))) == (6, 5)


def test_a_frozen_block_is_assigned_nothing():
    # It has two of the 11 batch norms, with two averages each.
    for model, assigned in ((_model(shortcut="A"), 22), (_freeze_a_block(_model(shortcut="A")), 18)):
        kinds = [operation.type for operation in _operations(BlockwiseModel(model))]
        assert kinds.count("AssignVariableOp") == assigned


@pytest.mark.slow
@pytest.mark.parametrize("rematerialize", [(), STAGES])
def test_trains_as_the_flat_model_around_a_frozen_block(rematerialize):
    before = _model().get_weights()
    losses, weights, _ = _after_training(
        _freeze_a_block(_model()), lambda model: BlockwiseModel(model, rematerialize)
    )
    flat_losses, flat_weights, _ = _after_training(_freeze_a_block(_model()), lambda model: model)
    np.testing.assert_allclose(losses, flat_losses, rtol=1e-4)
    for ours, theirs in zip(weights, flat_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    still = [np.array_equal(ours, old) for ours, old in zip(weights, before, strict=True)]
    assert still == [weight.path.startswith("conv2_block3_") for weight in _model().weights]


def test_layers_of_unknown_kind_are_called_one_by_one():
    x = inputs = keras.Input((16, 16, 3))
    x = resnet.conv_bn(x, 4, 3, name="conv2_block1_1")
    x = keras.layers.Dropout(0.5, name="conv2_block1_drop")(x)
    x = resnet.conv_bn(x, 4, 3, name="conv2_block2_1")
    model = BlockwiseModel(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)))
    assert _functions(model) == (1, 1)


def test_random_layers_drop_and_leave_the_others_in_training():
    """A dropout is built with training=False, which is neither its own mode here nor that of what follows."""

    def outputs(wrap):
        keras.utils.set_random_seed(0)
        architecture = architectures.Architecture("small", (2, 2), (4, 8), stem="cifar")
        model = resnet.ResNet(architecture, input_shape=(16, 16, 3), classes=3, drop_path=0.5)
        wrapped = wrap(model)
        first, second = (wrapped(IMAGES, training=True).numpy() for _ in range(2))
        return first, second, wrapped(IMAGES, training=False).numpy(), model

    *ours, model = outputs(lambda model: BlockwiseModel(model, frugal=True))
    *theirs, flat = outputs(lambda model: model)
    for one, other in zip((*ours, *model.get_weights()), (*theirs, *flat.get_weights()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert np.abs(ours[0] - ours[1]).max() > 1e-3


def test_saves_and_loads_as_the_flat_model(tmp_path):
    model = _model()
    *_, trained = _after_training(model, BlockwiseModel)
    trained.save_weights(tmp_path / "model.weights.h5")
    loaded = _model()
    loaded.load_weights(tmp_path / "model.weights.h5")
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [slow("mixed_bfloat16"), "mixed_float16"])
def test_half_types(policy):
    keras.config.set_dtype_policy(policy)
    try:
        losses, _, trained = _after_training(_model(), BlockwiseModel)
        flat_losses, _, flat = _after_training(_model(), lambda model: model)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(losses, flat_losses, rtol=2e-2)
    assert type(trained.optimizer) is type(flat.optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("synchronized", [False, True])
def test_under_a_mirrored_strategy(synchronized):
    results = []
    for wrap in (BlockwiseModel, lambda model: model):
        with make_strategy("auto", ("CPU:0", "CPU:1")).scope():
            model = _model()
            if synchronized:
                default_engine().synchronize_batch_norm(model)
            trained = wrap(model)
            trained.compile(CoupledSGD(0.05, 0.9, 1e-3), "sparse_categorical_crossentropy", jit_compile=False)
            batches = tf.data.Dataset.from_tensors((IMAGES, LABELS)).repeat(3)
            losses = trained.fit(batches, epochs=2, verbose=0).history["loss"]
        results.append((losses, model.get_weights()))
    (losses, weights), (flat_losses, flat_weights) = results
    np.testing.assert_allclose(losses, flat_losses, rtol=1e-4)
    for ours, theirs in zip(weights, flat_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_compiled_by_xla():
    losses = []
    for compiled in (True, False):
        trained = BlockwiseModel(_model())
        trained.compile(CoupledSGD(0.05), "sparse_categorical_crossentropy", jit_compile=compiled)
        losses.append([float(trained.train_on_batch(IMAGES, LABELS)) for _ in range(2)])
    np.testing.assert_allclose(*losses, rtol=1e-3)
