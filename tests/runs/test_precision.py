"""Who is told of bfloat16."""

import logging

import pytest
import tensorflow as tf

from keras_resnet.runs import precision
from keras_resnet.runs.config import TrainConfig


@pytest.mark.parametrize(
    ("fast", "fields", "gpus", "backend", "told"),
    [
        (True, {}, [], "tensorflow", True),
        (False, {}, [], "tensorflow", False),
        (True, {"mixed_precision": "bfloat16"}, [], "tensorflow", False),
        (True, {}, ["GPU:0"], "tensorflow", False),
        (True, {}, [], "jax", False),
    ],
)
def test_only_a_fast_processor_that_computes_float32_is_told(
    monkeypatch, caplog, fast, fields, gpus, backend, told
):
    caplog.set_level(logging.INFO, "keras_resnet")
    monkeypatch.setattr(precision, "computes_bfloat16", lambda: fast)
    monkeypatch.setattr(precision, "keras_backend", lambda: backend)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    precision.log_fast_bfloat16(TrainConfig(**fields))
    assert ("mixed_precision=bfloat16" in caplog.text) == told
    assert len(caplog.records) == told
