"""What a SavedModel of a Keras model has to hold besides its graph."""

import keras
import tensorflow as tf

from keras_resnet.models.layer_copy import sublayers


def resources(model: keras.Model, function: tf.types.experimental.ConcreteFunction) -> list:
    """Returns the variables and lookup tables that a function of a model uses.

    TensorFlow saves only those that it is given. The variables are not those of the model alone, for a
    Lambda layer may use others.
    """
    tables = [
        value
        for layer in sublayers(model)
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]
    return [*function.variables, *tables]
