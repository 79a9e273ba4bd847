"""Operations in the graph of a train step of ResNet-50, with those inside functions counted once."""

from compare import OURS, Benchmark, Side, main
from work import as_a_user_gets_it, as_we_train_it, images, labels

BATCH = 2


def ours(options):
    import tensorflow as tf

    import keras_resnet

    steps = as_we_train_it(keras_resnet.ResNet50())
    return lambda: operations(steps._train, tf.TensorSpec([BATCH], "float32"))


def keras_applications(options):
    import keras
    import tensorflow as tf

    model = as_a_user_gets_it(keras.applications.ResNet50(weights=None))
    model.train_on_batch(images(BATCH, 224), labels(BATCH, 1000))  # creates the optimizer's variables
    return lambda: operations(tf.function(lambda x, y: model.train_step((x, y))))


def operations(step, *others) -> int:
    import tensorflow as tf

    x, y = images(BATCH, 224), labels(BATCH, 1000)
    traced = step.get_concrete_function(tf.TensorSpec(x.shape), tf.TensorSpec(y.shape, "int64"), *others)
    graph = traced.graph.as_graph_def()
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
