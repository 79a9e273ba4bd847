"""`train --dry_run`: what a training would do and take."""

from keras_resnet.commands.train_flags import FLAGS
from keras_resnet.commands.train_setup import TEST_BATCH, Asked, Ready


def tell_plan(asked: Asked, ready: Ready) -> None:
    """Measure a few steps, and print what comes of them."""
    from keras_resnet.models.complexity import complexity
    from keras_resnet.training import plan
    from keras_resnet.training.feed import EvaluationData
    from keras_resnet.training.step import Steps
    from keras_resnet.training.strategy import local_replicas, place

    recipe, where = asked.recipe, place(ready.strategy)
    replicas, per_epoch = ready.strategy.num_replicas_in_sync, ready.train_data.steps_per_epoch
    epochs, total = recipe.total_epochs(per_epoch), recipe.total_steps(per_epoch)
    test_steps = -(-asked.source.test.size // (TEST_BATCH * where.workers))
    with ready.strategy.scope(), ready.images.bad_images.told():
        steps = Steps(
            ready.model,
            recipe,
            accumulate=FLAGS.accumulate,
            jit_compile=FLAGS.jit_compile,
            rematerialized=FLAGS.rematerialize,
        )
        seconds = plan.measured_time(
            steps,
            ready.train_data.batches(0, where.worker, where.workers),
            EvaluationData(ready.test_batches, where, local_replicas(ready.strategy)),
            total,
            epochs * test_steps,
        )
    at_once = recipe.batch_size // replicas // FLAGS.accumulate
    memory = plan.memory(ready.model, recipe, at_once, FLAGS.rematerialize)
    rows = {
        "net": f"{asked.net.name}, shortcut {asked.net.shortcut or 'none'}, "
        f"{complexity(ready.model).parameters:,} parameters",
        "data": f"{asked.source.name}: {asked.source.train.size:,} training and "
        f"{asked.source.test.size:,} test images",
        "recipe": recipe.source,
        "expected": recipe.expected,
        "steps": f"{total:,}: {epochs:,} epochs of {per_epoch:,}",
        "batch": plan.describe_batch(recipe, replicas, FLAGS.accumulate),
        "learning rate": plan.describe_schedule(recipe, per_epoch),
        "unfreezing": plan.describe_unfreezing(recipe, per_epoch),
        "weight decay": f"{recipe.weight_decay:g}, of {recipe.decay} weights",
        "memory": f"about {memory / 2**30:.2f} GiB a device, beside TensorFlow",
        "time": plan.describe_time(*seconds),
    }
    if where.is_chief:
        print(f"{asked.folder.path} would be trained:")
        for name, text in rows.items():
            if text:
                print(f"  {name:15}{text}")
