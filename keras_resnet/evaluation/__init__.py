"""What a trained net is worth: its files opened, its answers counted, its layers looked into."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.evaluation.answers import dense_answers
    from keras_resnet.evaluation.evaluator import Evaluation, evaluate
    from keras_resnet.evaluation.metrics import Scores
    from keras_resnet.evaluation.opened import OpenedModel, open_model, opened_net
    from keras_resnet.evaluation.statistics import layer_responses, precise_batch_norm

__all__ = [
    "Evaluation",
    "OpenedModel",
    "Scores",
    "dense_answers",
    "evaluate",
    "layer_responses",
    "open_model",
    "opened_net",
    "precise_batch_norm",
]

_OPENED = "keras_resnet.evaluation.opened"
_STATISTICS = "keras_resnet.evaluation.statistics"

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Evaluation": "keras_resnet.evaluation.evaluator",
        "evaluate": "keras_resnet.evaluation.evaluator",
        "Scores": "keras_resnet.evaluation.metrics",
        "OpenedModel": _OPENED,
        "open_model": _OPENED,
        "opened_net": _OPENED,
        "layer_responses": _STATISTICS,
        "precise_batch_norm": _STATISTICS,
        "dense_answers": "keras_resnet.evaluation.answers",
    },
)
