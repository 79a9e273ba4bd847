"""What a trained net is worth: its files opened, its answers counted, its layers looked into."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.evaluation.answers import dense_answers
    from keras_resnet.evaluation.evaluator import Evaluation, evaluate
    from keras_resnet.evaluation.explanation import grad_cam
    from keras_resnet.evaluation.metrics import Scores
    from keras_resnet.evaluation.opened import OpenedModel, open_model, opened_net
    from keras_resnet.evaluation.statistics import layer_responses, precise_batch_norm

__all__ = [
    "Evaluation",
    "OpenedModel",
    "Scores",
    "dense_answers",
    "evaluate",
    "grad_cam",
    "layer_responses",
    "open_model",
    "opened_net",
    "precise_batch_norm",
]

_OPENED = "keras_resnet.evaluation.opened"
_STATISTICS = "keras_resnet.evaluation.statistics"

# Type checkers, which read the imports above, would take any name for one that this gives.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Evaluation": "keras_resnet.evaluation.evaluator",
            "evaluate": "keras_resnet.evaluation.evaluator",
            "grad_cam": "keras_resnet.evaluation.explanation",
            "Scores": "keras_resnet.evaluation.metrics",
            "OpenedModel": _OPENED,
            "open_model": _OPENED,
            "opened_net": _OPENED,
            "layer_responses": _STATISTICS,
            "precise_batch_norm": _STATISTICS,
            "dense_answers": "keras_resnet.evaluation.answers",
        },
    )
