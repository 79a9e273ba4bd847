"""The optimizer, compared with stock SGD and with steps by hand."""

import keras
import numpy as np
import pytest

from keras_resnet.training.optimizer import CoupledSGD

RATE, MOMENTUM, L2 = 0.1, 0.9, 0.05


def _steps(optimizer, count=5, regularizer=None):
    """Weights of a small model after a few steps on fixed data."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(4, "tanh", kernel_regularizer=regularizer, bias_regularizer=regularizer)
        for _ in range(2)
    ]
    model = keras.Sequential([keras.Input((3,)), *layers])
    data = np.random.default_rng(0)
    x, y = data.normal(size=(8, 3)), data.normal(size=(8, 4))
    model.compile(optimizer, "mse")
    for _ in range(count):
        model.train_on_batch(x, y)
    return np.concatenate([w.ravel() for w in model.get_weights()])


@pytest.mark.parametrize(("momentum", "nesterov"), [(MOMENTUM, False), (0.0, False), (MOMENTUM, True)])
def test_is_the_gradient_of_an_l2_penalty(momentum, nesterov):
    """Stock SGD with a penalty of l2/2 * w^2 in the loss takes the same steps."""
    penalty = keras.regularizers.L2(L2 / 2)
    theirs = _steps(keras.optimizers.SGD(RATE, momentum, nesterov), regularizer=penalty)
    ours = _steps(CoupledSGD(RATE, momentum, L2, nesterov=nesterov))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_is_not_keras_decoupled_decay():
    theirs = _steps(keras.optimizers.SGD(RATE, MOMENTUM, weight_decay=L2))
    assert abs(_steps(CoupledSGD(RATE, MOMENTUM, L2)) - theirs).max() > 1e-3


def test_first_steps_by_hand():
    weight = keras.Variable(np.array([2.0, -1.0]))
    optimizer = CoupledSGD(RATE, MOMENTUM, L2)
    w, v = np.array([2.0, -1.0]), np.zeros(2)
    for gradient in (np.array([1.0, 1.0]), np.array([-3.0, 0.5])):
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [weight])
        v = MOMENTUM * v - RATE * (gradient + L2 * w)
        w = w + v
    np.testing.assert_allclose(weight.numpy(), w, rtol=1e-6)


def test_config_round_trip():
    config = CoupledSGD(0.3, 0.8, 0.02, weight_decay_on="kernels").get_config()
    copy = CoupledSGD.from_config(config)
    assert (float(copy.learning_rate), copy.momentum, copy.l2) == (pytest.approx(0.3), 0.8, 0.02)
    assert copy.weight_decay_on == "kernels"
