"""`keras-resnet evaluate`: flags -> EvaluateConfig -> keras_resnet.evaluate -> print."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define, define_flag
from keras_resnet.runs.evaluate import RESULTS, EvaluateConfig, evaluate
from keras_resnet.runs.options import Option

if TYPE_CHECKING:
    from keras_resnet.evaluation.evaluator import Evaluation
    from keras_resnet.evaluation.multi_label_evaluator import MultiLabelEvaluation

ARGUMENT = "[MODEL...]"
LOG_TO_STDERR = True
FLAGS = flags.FlagValues()
define(FLAGS, EvaluateConfig)
define_flag(FLAGS, "json", Option("Print JSON instead of a table.", "bool", group=RESULTS))


def run(*models: str) -> None:
    """Evaluates and prints."""
    results = evaluate(models, config_from_flags(FLAGS, EvaluateConfig))
    if FLAGS.json:
        print(results.json)
        return
    print(f"{results.dataset}, split {results.split}, views {FLAGS.views or 'center'}:")
    from keras_resnet.evaluation.evaluator import Evaluation

    single, several = {}, {}
    for name, evaluation in results.evaluations.items():
        if isinstance(evaluation, Evaluation):
            single[name] = evaluation
        else:
            several[name] = evaluation
    files = "labels"
    if single:
        _print_table(single)
        files = "classes, its confusion matrix and its worst mistakes"
    else:
        _print_multi_label(several)
    print(f"\n{results.folder}/: evaluation.json; of each model its {files}.")


def _print_multi_label(evaluations: "Mapping[str, MultiLabelEvaluation]") -> None:
    width = max(map(len, evaluations))
    print(
        f"  {'':{width}}{'images':>9}{'mAP':>10}{'macro-F1':>10}{'wrong labels':>14}"
        f"{'loss':>8}{'images/s':>10}"
    )
    for name, evaluation in evaluations.items():
        scores = evaluation.scores
        print(
            f"  {name:{width}}{scores.images:9,}{100 * scores.mean_average_precision:9.2f}%"
            f"{100 * scores.macro_f1:9.2f}%{100 * scores.label_error:13.2f}%{scores.loss:8.4f}"
            f"{evaluation.images_per_second:10,.0f}"
        )


def _print_table(evaluations: "Mapping[str, Evaluation]") -> None:
    width = max(map(len, evaluations))
    print(
        f"  {'':{width}}{'images':>9}{'top-1 error':>13}{'95% interval':>18}{'top-5 error':>13}{'loss':>8}"
        f"{'calibration':>13}{'images/s':>10}"
    )
    for name, evaluation in evaluations.items():
        scores = evaluation.scores
        low, high = (f"{100 * bound:.2f}%" for bound in scores.top1_interval)
        top5 = "" if scores.top5_error is None else f"{100 * scores.top5_error:.2f}%"
        print(
            f"  {name:{width}}{scores.images:9,}{100 * scores.top1_error:12.2f}%"
            f"{f'{low} to {high}':>18}{top5:>13}"
            f"{scores.loss:8.4f}{100 * scores.calibration_error:12.2f}%{evaluation.images_per_second:10,.0f}"
        )
    print("\nwith each class counting the same:")
    print(f"  {'':{width}}{'macro-F1':>9}{'balanced accuracy':>19}")
    for name, evaluation in evaluations.items():
        scores = evaluation.scores
        print(f"  {name:{width}}{100 * scores.macro_f1:8.2f}%{100 * scores.balanced_accuracy:18.2f}%")
