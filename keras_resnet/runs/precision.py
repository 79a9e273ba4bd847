"""Advice about bfloat16."""

import logging
import sys

from keras_resnet._utils.environment import computes_bfloat16, keras_backend
from keras_resnet.runs.config import TrainConfig

_LOG = logging.getLogger(__name__)


def log_fast_bfloat16(config: TrainConfig) -> None:
    """Says in a line that this processor trains faster in bfloat16, where the configuration uses float32.

    Only for TensorFlow on a processor: the others were not measured (docs/benchmarks.md). Called after
    TensorFlow was imported.
    """
    if config.mixed_precision != "none" or keras_backend() != "tensorflow" or not computes_bfloat16():
        return
    if sys.modules["tensorflow"].config.list_physical_devices("GPU"):
        return
    _LOG.info(
        "This processor multiplies bfloat16: mixed_precision=bfloat16 trains about 1.6 times as fast as "
        "float32, and exported files stay float32."
    )
