"""`keras-resnet experiment degradation`: plain and residual nets of several depths, trained alike."""

from typing import Any

from absl import flags

from keras_resnet.commands import data_flags, experiment_flags, precision_flags
from keras_resnet.errors import UserError
from keras_resnet.models import architectures
from keras_resnet.training.runtime import prepare as prepare_runtime

FLAGS = flags.FlagValues()
_SEEDS = 3
# A few epochs are too short for 0.1: the paper begins its net of 110 layers with 0.01.
_CONVOLUTIONAL: dict[str, Any] = {"points": 6, "iterations": 300, "batch_size": 128, "learning_rate": 0.02}
_QUICK: dict[str, Any] = {"points": 20, "iterations": 440, "batch_size": 64, "learning_rate": 0.01}
_BOTH = {flag: f"{_CONVOLUTIONAL[flag]}, and {_QUICK[flag]} with --quick" for flag in _QUICK}
experiment_flags.define(FLAGS, "degradation", {"seeds": _SEEDS, **_BOTH})
_NETS: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The nets"}
flags.DEFINE_boolean("quick", False, "Nets of fully connected blocks on the digits, in minutes.", **_NETS)
flags.DEFINE_list("depths", None, "Layers, as 20,56; by default that, and 20,62 with --quick.", **_NETS)

_CLAIM = (
    "A deeper plain net has a higher *training* error than a shallower one, although it could copy that one "
    "and add identity layers; residual nets of the same depths do not (He et al. 2015, sections 1 and 4.2)."
)
_DATASET_OF_QUICK = "digits"


def run() -> None:
    """Train, print and write."""
    quick = FLAGS.quick
    if quick and FLAGS["dataset"].using_default_value:
        FLAGS["dataset"].value = _DATASET_OF_QUICK
    if quick and FLAGS.mixed_precision != "none":
        raise UserError(
            f"--mixed_precision={FLAGS.mixed_precision} is for the convolutional nets; leave it out with "
            "--quick."
        )
    if quick and FLAGS["output_dir"].using_default_value:
        FLAGS.output_dir += "-quick"
    depths = _depths(FLAGS.depths or (["20", "62"] if quick else ["20", "56"]), quick)
    source = data_flags.source(FLAGS, FLAGS.dataset, trains=True)
    defaults = _QUICK if quick else _CONVOLUTIONAL
    recipe = experiment_flags.recipe(FLAGS, source, **defaults)
    told = prepare_runtime()
    setup = experiment_flags.setup(
        FLAGS, source, recipe, points=defaults["points"], shift=0 if quick else None
    )

    from keras_resnet.experiments import degradation
    from keras_resnet.experiments.figures import draw_degradation
    from keras_resnet.experiments.report import write_report
    from keras_resnet.experiments.trainings import run_trainings

    print(told, flush=True)
    policy = precision_flags.policy(FLAGS)
    trainings = degradation.trainings(depths, FLAGS.seeds or _SEEDS, dense=quick, policy=policy)
    outcomes = run_trainings(setup, trainings)
    table, verdict = degradation.table(outcomes, depths), degradation.verdict(outcomes, depths)
    kind = "fully connected" if quick else "convolutional"
    title = f"Degradation: {kind} nets on {source.name}"
    draw_degradation(outcomes, depths, setup.steps_between_tests, setup.folder / "degradation.png", title)
    write_report(
        setup,
        outcomes,
        title=title,
        claim=_CLAIM,
        table=table,
        verdict=verdict,
        figure="degradation.png",
        about=experiment_flags.about(FLAGS, "degradation"),
    )
    print(f"\n{table}\n\n{verdict}\n\n{setup.folder}/: README.md, degradation.png, results.json.")


def _depths(given: list[str], quick: bool) -> list[int]:
    flag = f"--depths={','.join(given)}"
    if not all(depth.isdecimal() for depth in given):
        raise UserError(f"{flag} must be numbers of layers, as 20,56.")
    depths = sorted(set(map(int, given)))
    if len(depths) < 2:
        raise UserError(f"{flag} must be two depths or more, as 20,56, to compare.")
    for depth in depths:
        if quick and (depth < 4 or depth % 2):
            raise UserError(f"{flag}: a net of dense blocks has 2n+2 layers (4, 6, 8, ...); got {depth}.")
        if not quick and not architectures.is_cifar_depth(depth):
            raise UserError(f"{flag}: a CIFAR net has 6n+2 layers (8, 14, 20, ...); got {depth}.")
    return depths
