"""Operations in the graph of a train step of ResNet-50, those inside its functions counted once each."""

from compare import OURS, Benchmark, Side, main
from work import as_a_user_gets_it, as_we_train_it, images, labels

BATCH = 2


def ours(options):
    import keras_resnet

    return lambda: operations(as_we_train_it(keras_resnet.ResNet50()))


def keras_applications(options):
    import keras

    return lambda: operations(as_a_user_gets_it(keras.applications.ResNet50(weights=None)))


def operations(model) -> int:
    import tensorflow as tf

    x, y = images(BATCH, 224), labels(BATCH, 1000)
    model.train_on_batch(x, y)  # makes the optimiser's variables, which are no part of a step
    step = tf.function(model.train_step).get_concrete_function(
        (tf.TensorSpec(x.shape), tf.TensorSpec(y.shape, "int64"))
    )
    graph = step.graph.as_graph_def()
    return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)


BENCHMARK = Benchmark(
    name="graph-resnet50",
    work="graph of a train step of ResNet-50",
    unit="operations",
    sides={OURS: Side(ours), "keras.applications": Side(keras_applications)},
    repetitions=1,
)

if __name__ == "__main__":
    main(BENCHMARK)
