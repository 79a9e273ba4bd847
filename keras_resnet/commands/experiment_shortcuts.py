"""`keras-resnet experiment shortcuts`: options A, B and C and no shortcut, trained alike."""

from typing import Any

from absl import flags

from keras_resnet.commands import data_flags, experiment_flags, precision_flags
from keras_resnet.errors import UserError
from keras_resnet.models import architectures
from keras_resnet.training.runtime import prepare as prepare_runtime

FLAGS = flags.FlagValues()
_POINTS = 5  # tests of each training
_SEEDS = 2
_DEFAULTS: dict[str, Any] = {"iterations": 600, "batch_size": 128, "learning_rate": 0.1}
experiment_flags.define(FLAGS, "shortcuts", {"seeds": _SEEDS, **_DEFAULTS})
flags.DEFINE_integer("depth", 20, "Layers: 6n+2.", flag_values=FLAGS, module_name="The nets")

_CLAIM = (
    "Shortcuts without parameters (option A) are enough to address degradation; projections where dimensions "
    "grow (B) or everywhere (C) are slightly better, for more parameters (He et al. 2015, section 4.1)."
)


def run() -> None:
    """Train, measure, print and write."""
    if not architectures.is_cifar_depth(FLAGS.depth):
        raise UserError(f"--depth={FLAGS.depth} must be 6n+2 (8, 14, 20, ...) for a CIFAR net.")
    source = data_flags.source(FLAGS, FLAGS.dataset, trains=True)
    recipe = experiment_flags.recipe(FLAGS, source, points=_POINTS, **_DEFAULTS)
    told = prepare_runtime()
    setup = experiment_flags.setup(FLAGS, source, recipe, points=_POINTS)

    from keras_resnet.experiments import shortcuts
    from keras_resnet.experiments.figures import draw_options
    from keras_resnet.experiments.report import write_report
    from keras_resnet.experiments.trainings import run_trainings

    print(told, flush=True)
    policy = precision_flags.policy(FLAGS)
    outcomes = run_trainings(setup, shortcuts.trainings(FLAGS.depth, FLAGS.seeds or _SEEDS, policy))
    print("Measuring the time of a step, by turns.", flush=True)
    times = shortcuts.seconds_a_step(setup, FLAGS.depth, policy)
    table, verdict = shortcuts.table(outcomes, times), shortcuts.verdict(outcomes)
    title = f"Shortcut options: {FLAGS.depth} layers on {source.name}"
    draw_options(shortcuts.last_test_errors(outcomes), setup.folder / "shortcuts.png", title)
    write_report(
        setup,
        outcomes,
        title=title,
        claim=_CLAIM,
        table=table,
        verdict=verdict,
        figure="shortcuts.png",
        about={**experiment_flags.about(FLAGS, "shortcuts"), "seconds_a_step": times},
    )
    print(f"\n{table}\n\n{verdict}\n\n{setup.folder}/: README.md, shortcuts.png, results.json.")
