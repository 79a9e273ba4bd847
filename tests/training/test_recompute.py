"""Blocks that compute again what is cheap have the gradients of the flat model, and keep less for them."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.models import architectures, resnet
from keras_resnet.training import recompute
from keras_resnet.training.blockwise import BlockwiseModel

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3))
COMBINATIONS = list(itertools.product(("basic", "bottleneck"), ("A", "B", "C", None)))
QUICK = {("basic", "A"), ("bottleneck", "B")}


def _model(block="bottleneck", shortcut="B", stem="imagenet", blocks=(2, 1), dtype="float32"):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    keras.utils.set_random_seed(0)
    try:
        architecture = architectures.Architecture(
            "small", blocks, (16, 24)[: len(blocks)], block=block, stem=stem, shortcut=shortcut
        )
        return resnet.ResNet(architecture, input_shape=(32, 32, 3), classes=3)
    finally:
        keras.config.set_dtype_policy(before)


def _frugal(model):
    return BlockwiseModel(model, frugal=True)


def _loss(model, images):
    return tf.reduce_sum(tf.cast(model(images, training=True), tf.float32)[:, 0])


def _gradient_function(model, **options):
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(**options)
    def gradients(images):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = _loss(model, images)
        return tape.gradient(loss, variables)

    return gradients


def _after_a_step(model, wrap, **options):
    """Returns the gradients, and the averages of batch norm."""
    images = tf.constant(IMAGES, "float64" if model.dtype == "float64" else "float32")
    gradients = [value.numpy() for value in _gradient_function(wrap(model), **options)(images)]
    return gradients + [variable.numpy() for variable in model.non_trainable_variables]


def _largest_difference(make, **options):
    """Relative to the largest number of each array."""
    ours = _after_a_step(make(), _frugal, **options)
    flat = _after_a_step(make(), lambda model: model)
    return max(
        np.abs(a - b).max() / max(np.abs(b).max(), 1e-9)
        for a, b in zip(ours, flat, strict=True)
        if b.size and np.abs(b).max() > 1e-9
    )


@pytest.mark.parametrize("cheap", [0, 10**9], ids=["keeps convolutions", "keeps none"])
@pytest.mark.parametrize(
    ("block", "shortcut"),
    [
        pytest.param(*combination, marks=[] if combination in QUICK else pytest.mark.slow)
        for combination in COMBINATIONS
    ],
)
def test_gradients_in_float64_are_those_of_the_flat_model(block, shortcut, cheap, monkeypatch):
    monkeypatch.setattr(recompute, "_CHEAP", cheap)
    assert _largest_difference(lambda: _model(block, shortcut, dtype="float64")) < 1e-6


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-4), pytest.param("mixed_bfloat16", 1e-2, marks=pytest.mark.slow)],
)
def test_gradients_by_the_fused_kernel_are_those_of_the_flat_model(dtype, tolerance):
    assert _largest_difference(lambda: _model(dtype=dtype)) < tolerance


def test_frozen_layers_get_no_gradients_and_the_others_the_same():
    def frozen():
        model = _model(dtype="float64")
        for layer in model.layers:
            # All of a block, and the batch norm alone of another.
            layer.trainable = not layer.name.startswith(("conv1", "conv2_block1", "conv2_block2_1_bn"))
        return model

    assert _largest_difference(frozen) < 1e-6


def _source(tensor):
    """Returns the tensor that a chain of identities passes on."""
    while tensor.op.type in ("Identity", "IdentityN"):
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _results(tensor):
    """Returns what a tensor is or, for an output of a function, what the function computes it as."""
    tensor = _source(tensor)
    if not tensor.op.type.endswith("PartitionedCall"):
        return tensor
    function = tensor.graph._get_function(tensor.op.get_attr("f").name).graph
    inside = _source(function.outputs[tensor.value_index])
    if inside.op.type != "Placeholder":
        return inside
    return _results(tensor.op.inputs[[id(given) for given in function.inputs].index(id(inside))])


def _kept(model):
    """Returns how many numbers of feature maps the gradients of a step read from its forward pass."""
    numbers = []

    @tf.function
    def step(images):
        variables = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = _loss(model, images)
        graph = tf.compat.v1.get_default_graph()
        forward = graph.get_operations()
        gradients = tape.gradient(loss, variables)
        known = {id(operation) for operation in forward}
        read = {
            tensor.ref()
            for operation in graph.get_operations()[len(forward) :]
            if operation.type not in ("Shape", "ShapeN", "Size")
            for tensor in operation.inputs
            if id(tensor.op) in known
        }
        maps = {_results(reference.deref()).ref() for reference in read}
        numbers.extend(
            math.prod(reference.deref().shape)
            for reference in maps
            if reference.deref().shape.rank == 4 and reference.deref().shape[0] == len(IMAGES)
        )
        return gradients

    step.get_concrete_function(tf.TensorSpec(IMAGES.shape))
    return sum(numbers)


def test_less_is_kept_than_by_the_flat_model():
    # The widening convolutions of 16 channels are among the cheap ones.
    model = _model(blocks=(3,))
    assert _kept(_frugal(model)) < 0.5 * _kept(model)
