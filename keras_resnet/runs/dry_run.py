"""`keras_resnet.dry_run`: what a training would do and take, from a few measured steps."""

import dataclasses
import pathlib
from typing import Any

from keras_resnet._utils.environment import prepare_training
from keras_resnet.runs.class_weight import class_weights
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.options import make_config
from keras_resnet.runs.precision import log_fast_bfloat16
from keras_resnet.runs.resolve import resolve
from keras_resnet.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training would do and take.

    Args:
        path: folder of the run.
        architecture: name of the architecture.
        shortcut: its option, or None for a plain network.
        parameters: trainable ones.
        macs: multiply-adds for one image.
        dataset: its name.
        train_images, validation_images, test_images: of the dataset; no test images where it has no third
            split.
        splits: what validation and test are for, as text.
        image_size: side of the model's input in pixels.
        recipe_name: name of the recipe.
        recipe: as it would be applied.
        replicas: number of devices.
        gradient_accumulation_steps: parts of a device's share of a batch.
        steps_per_epoch, steps, epochs: of the training.
        memory: bytes a step needs on a device, estimated, without TensorFlow itself.
        export_epoch: "best" or "last": whose weights would be exported.
        train_seconds, validation_seconds: estimated from a few measured steps.
    """

    path: pathlib.Path
    architecture: str
    shortcut: str | None
    parameters: int
    macs: int
    dataset: str
    train_images: int
    validation_images: int
    test_images: int
    splits: str
    image_size: int
    recipe_name: str
    recipe: Recipe
    replicas: int
    gradient_accumulation_steps: int
    steps_per_epoch: int
    steps: int
    epochs: int
    memory: int
    export_epoch: str
    train_seconds: float
    validation_seconds: float

    def rows(self) -> dict[str, str]:
        """The plan as text by heading."""
        from keras_resnet.training import estimates

        recipe, per_epoch = self.recipe, self.steps_per_epoch
        test = f", {self.test_images:,} test" if self.test_images else ""
        rows = {
            "model": f"{self.architecture}, shortcut {self.shortcut or 'none'}, "
            f"{self.parameters:,} parameters, {self.macs:,} MACs per image",
            "data": f"{self.dataset}: {self.train_images:,} training, "
            f"{self.validation_images:,} validation{test} images at {self.image_size}x{self.image_size}",
            "splits": self.splits,
            "recipe": f"{self.recipe_name}: {recipe.reference}",
            "expected": recipe.expected_accuracy,
            "steps": f"{self.steps:,}: {self.epochs:,} epochs of {per_epoch:,}",
            "batch": estimates.describe_batch(recipe, self.replicas, self.gradient_accumulation_steps),
            "learning rate": estimates.describe_schedule(recipe, per_epoch),
            "unfreezing": estimates.describe_unfreezing(recipe, per_epoch),
            "exported": f"the {self.export_epoch} epoch",
            "weight decay": f"{recipe.weight_decay:g} on {recipe.weight_decay_on}",
            "memory": f"about {self.memory / 2**30:.2f} GiB per device, without TensorFlow itself",
            "time": estimates.describe_time(self.train_seconds, self.validation_seconds),
        }
        return {name: text for name, text in rows.items() if text}

    def __str__(self) -> str:
        lines = [f"  {name:15}{text}" for name, text in self.rows().items()]
        return "\n".join([f"{self.path} would be trained:", *lines])


def dry_run(config: TrainConfig | None = None, **fields: Any) -> Plan:
    """Measures a few steps of a training without writing anything.

    Args:
        config, fields: as of `keras_resnet.train`.

    Raises:
        UserError: as of `keras_resnet.train`.
    """
    job = resolve(make_config(TrainConfig, config, fields))
    prepare_training()
    from keras_resnet.models.complexity import complexity
    from keras_resnet.runs.build import VALIDATION_BATCH, build
    from keras_resnet.training import estimates
    from keras_resnet.training.input import EvaluationData, data_for_steps

    built = build(job)
    log_fast_bfloat16(job.config)
    config, recipe, worker = job.config, job.recipe, built.worker
    replicas, per_epoch = built.engine.devices, built.train_data.steps_per_epoch
    epochs, steps = recipe.total_epochs(per_epoch), recipe.total_steps(per_epoch)
    validation_steps = -(-job.dataset.validation.size // (VALIDATION_BATCH * worker.workers))
    with built.engine.scope(), built.pipeline.decode_errors.translate():
        batches, arrays = data_for_steps(
            built.train_data, built.engine, recipe, len(job.dataset.class_names), config.seed
        )
        functions = built.engine.make_steps(
            built.model,
            recipe,
            arrays,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            jit_compile=config.jit_compile,
            rematerialize=config.rematerialize,
            distillation=built.distillation,
            class_weight=class_weights(config.class_weight, job.dataset),
        )
        train_seconds, validation_seconds = estimates.measure_time(
            functions,
            batches.batches(0, worker.worker, worker.workers),
            EvaluationData(built.validation_batches, worker, built.engine.local_devices),
            steps,
            epochs * validation_steps,
        )
    transform = job.transform
    spec = transform.spec
    counted = complexity(built.model, (spec.size, spec.size, spec.channels))
    trained = built.sized_model(transform.train_size or spec.size)
    images_at_once = recipe.batch_size // replicas // config.gradient_accumulation_steps
    dataset = job.dataset
    return Plan(
        path=job.folder.path,
        architecture=job.architecture.name,
        shortcut=job.architecture.shortcut,
        parameters=counted.parameters,
        macs=counted.macs,
        dataset=dataset.name,
        train_images=dataset.train.size,
        validation_images=dataset.validation.size,
        test_images=dataset.test.size if dataset.test else 0,
        splits=dataset.describe_roles(),
        image_size=job.transform.spec.size,
        recipe_name=job.recipe_name,
        recipe=recipe,
        replicas=replicas,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        steps_per_epoch=per_epoch,
        steps=steps,
        epochs=epochs,
        memory=estimates.estimate_memory(
            trained, recipe, images_at_once, config.rematerialize, config.jit_compile
        ),
        export_epoch=job.export_epoch,
        train_seconds=train_seconds,
        validation_seconds=validation_seconds,
    )
