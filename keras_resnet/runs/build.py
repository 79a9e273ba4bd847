"""From a job to images and a model on its devices."""

import dataclasses
from collections.abc import Callable, Iterable

import keras

from keras_resnet.data.input_advice import input_advice
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.models.classifier import build_classifier
from keras_resnet.runs.checks import check_batch_divisible
from keras_resnet.runs.grow import grow_into
from keras_resnet.runs.resolve import TrainJob
from keras_resnet.training.cluster import WorkerInfo
from keras_resnet.training.distillation import Distillation
from keras_resnet.training.engines import Engine, make_engine
from keras_resnet.training.input import ResumableData
from keras_resnet.training.normalization import padding_pixels

VALIDATION_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Built:
    """Images, and the model on its devices.

    Args:
        pipeline: of the dataset.
        train_data: batches from any step on.
        validation_batches: of this worker.
        engine: in whose scope the model was built.
        model: to train.
        build: makes the same model again, for images of a side in pixels, with a dtype policy.
        distillation: of the job's teacher, or None.
    """

    pipeline: Pipeline
    train_data: ResumableData
    validation_batches: Iterable
    engine: Engine
    model: keras.Model
    build: Callable[..., keras.Model]
    distillation: Distillation | None = None

    def sized_model(self, side: int) -> keras.Model:
        """The model, or one of the same architecture, that takes images of this side in pixels."""
        return self.model if self.model.input_shape[1] == side else self.build(side)

    @property
    def worker(self) -> WorkerInfo:
        """Which worker this process is."""
        return self.engine.worker


def build(job: TrainJob) -> Built:
    """Makes the pipeline and the model.

    Raises:
        UserError: the devices are not those that the configuration names, or too few images can be decoded.
    """
    config, recipe, dataset, spec = job.config, job.recipe, job.dataset, job.transform.spec
    engine = make_engine(config.strategy)
    worker = engine.worker
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        engine.make_deterministic()
    # JAX compiles for any number of devices.
    jit_compile = config.jit_compile and keras.backend.backend() == "tensorflow"
    check_batch_divisible(recipe, engine.devices, config.gradient_accumulation_steps, jit_compile)
    pipeline = Pipeline(dataset, job.transform, config.decode_errors(), config.seed)
    normalization = job.initial_weights.normalization if job.initial_weights else None
    if normalization is None:
        normalization = pipeline.mean(per_pixel=spec.normalization == "per_pixel_mean")
    mean = padding_pixels(normalization, spec.size, spec.channels)
    train_data = resumable_data(pipeline, job, mean)
    batches = pipeline.validation_batches(VALIDATION_BATCH, worker=worker.worker, workers=worker.workers)

    def make(side: int | None, **options) -> keras.Model:
        shape = (side, side, spec.channels)
        classes = len(dataset.class_names)
        return build_classifier(
            job.architecture, shape, classes, normalization, multi_label=dataset.multi_label, **options
        )

    # Of any size, where training and validation images have different ones.
    side = None if job.transform.train_size else spec.size
    with engine.scope():
        model = make(side, policy=dtype_policy(config.mixed_precision), drop_path=config.drop_path)
        if config.sync_batch_norm:
            engine.synchronize_batch_norm(model)
        if job.initial_weights:
            job.initial_weights.load_into(model)
        if config.grow_from is not None:
            grow_into(model, config.grow_from, job.architecture)
        distillation = None
        if job.teacher:
            crop = job.transform.train_size or spec.size  # validation takes no part in it
            shape = (crop, crop, spec.channels)
            distillation = job.teacher.build(
                shape, len(dataset.class_names), dtype_policy(config.mixed_precision)
            )
    return Built(pipeline, train_data, batches, engine, model, make, distillation)


def resumable_data(pipeline: Pipeline, job: TrainJob, mean) -> ResumableData:
    """The training batches of a job, from any step on, with the recipe's augmentation of batches."""
    recipe = job.recipe
    steps_per_epoch = pipeline.steps_per_epoch(recipe.batch_size)
    return ResumableData(
        steps_per_epoch,
        lambda first_step, worker, workers: pipeline.train_batches(
            recipe.batch_size,
            recipe.total_epochs(steps_per_epoch),
            mean,
            batch_augment=recipe.batch_augment,
            first_step=first_step,
            worker=worker,
            workers=workers,
        ),
        batch_augment=recipe.batch_augment,
        arrays=lambda: pipeline.cached_arrays(mean),
        advice=lambda: input_advice(job.dataset, job.transform, recipe.batch_augment),
    )


def dtype_policy(mixed_precision: str) -> str:
    """Keras' dtype policy for "none", "bfloat16" or "float16"."""
    return "float32" if mixed_precision == "none" else f"mixed_{mixed_precision}"
