"""Measures trained models: accuracy on labeled images, layer responses, what an answer depends on."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.evaluation.batch_norm import precise_batch_norm
    from keras_resnet.evaluation.class_activation import grad_cam
    from keras_resnet.evaluation.evaluator import Evaluation, evaluate
    from keras_resnet.evaluation.metrics import Scores
    from keras_resnet.evaluation.multi_label import MultiLabelScores
    from keras_resnet.evaluation.multi_label_evaluator import MultiLabelEvaluation, evaluate_multi_label
    from keras_resnet.evaluation.multi_view import dense_predict_fn
    from keras_resnet.evaluation.responses import layer_responses

__all__ = [
    "Evaluation",
    "MultiLabelEvaluation",
    "MultiLabelScores",
    "Scores",
    "dense_predict_fn",
    "evaluate",
    "evaluate_multi_label",
    "grad_cam",
    "layer_responses",
    "precise_batch_norm",
]

# Type checkers read the imports above; this would let them accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Evaluation": "keras_resnet.evaluation.evaluator",
            "MultiLabelEvaluation": "keras_resnet.evaluation.multi_label_evaluator",
            "MultiLabelScores": "keras_resnet.evaluation.multi_label",
            "Scores": "keras_resnet.evaluation.metrics",
            "dense_predict_fn": "keras_resnet.evaluation.multi_view",
            "evaluate": "keras_resnet.evaluation.evaluator",
            "evaluate_multi_label": "keras_resnet.evaluation.multi_label_evaluator",
            "grad_cam": "keras_resnet.evaluation.class_activation",
            "layer_responses": "keras_resnet.evaluation.responses",
            "precise_batch_norm": "keras_resnet.evaluation.batch_norm",
        },
    )
