"""Damaged checkpoints are used, skipped or refused in one sentence; so are damaged records of runs."""

import contextlib
import io
import json
import logging
import pathlib
import tempfile
import zipfile

import numpy as np
from helpers import records
from helpers.damage import answer_or_none, budget, damaged
from hypothesis import event, given
from hypothesis import strategies as st

from keras_resnet.runs.record import MODEL, RunFolder, load_finished_run
from keras_resnet.training.checkpoint import Checkpoints, check_arrays

CHECKPOINT_SETTINGS = {"architecture": {"depth": 20, "filters": [16, 32]}, "version": "1"}
META = {"state": {"best_error": float("inf")}}
ARRAYS = {"weights/0/kernel": np.arange(6.0).reshape(2, 3), "optimizer/0/iterations": np.array(7)}
SETTINGS = records.make_settings(recipe="finetune")


def _checkpoint(step):
    with tempfile.TemporaryDirectory() as folder:
        Checkpoints(folder, CHECKPOINT_SETTINGS).save(step, ARRAYS, META | {"step": step})
        return pathlib.Path(folder, f"step-{step:010}.npz").read_bytes()


def _run_folder(folder):
    return RunFolder(folder, "run", records.CONFIG, SETTINGS, records.make_metadata("finetune"))


def _record():
    with tempfile.TemporaryDirectory() as folder:
        _run_folder(folder).finish(records.RESULTS)
        return pathlib.Path(folder, "run", "run.json").read_bytes()


EARLIER, CHECKPOINT, RECORD = _checkpoint(1), _checkpoint(2), _record()
with zipfile.ZipFile(io.BytesIO(CHECKPOINT)) as _archive:
    MEMBERS = {name: _archive.read(name) for name in _archive.namelist()}


@st.composite
def _damaged_inside(draw):
    """A checkpoint one of whose arrays is damaged, with the checksum of what it is now."""
    name = draw(st.sampled_from(sorted(MEMBERS)))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, content in {**MEMBERS, name: draw(damaged(MEMBERS[name]))}.items():
            archive.writestr(member, content)
    return packed.getvalue()


@st.composite
def _changed_record(draw):
    """A record in which something is missing or of another kind."""
    record = json.loads(RECORD)
    subjects = record["settings"]["input"], record["settings"]["recipe"]
    part = draw(st.sampled_from([record, *record.values(), *subjects]))
    name = draw(st.sampled_from(sorted(part)))
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    if draw(st.booleans()):
        del part[name]
    else:
        part[name] = draw(plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain))
    return json.dumps(record).encode()


def _resumed(folder):
    checkpoint = Checkpoints(folder, CHECKPOINT_SETTINGS).latest()
    check_arrays(checkpoint, {name: array.shape for name, array in ARRAYS.items()})
    return checkpoint


@contextlib.contextmanager
def _logged():
    """The messages that are logged meanwhile: caplog is one for all examples of Hypothesis."""
    messages, handler = [], logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger(Checkpoints.__module__)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


@budget(600)
@given(damaged(CHECKPOINT) | _damaged_inside())
def test_a_checkpoint_is_used_skipped_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "step-0000000001.npz").write_bytes(EARLIER)
        path = pathlib.Path(folder, "step-0000000002.npz")
        path.write_bytes(content)
        with _logged() as messages:
            found = answer_or_none(_resumed, folder)
    if found is not None and found.path != path:
        event("skipped")
        (message,) = messages
        assert str(path) in message
        assert "\n" not in message
        assert found.meta["step"] == 1


def _known(folder):
    """Everything that is read from the record of a finished run."""
    record = load_finished_run(folder)
    return record, record.architecture, record.recipe, record.spec, record.train_config


@budget(400)
@given(damaged(RECORD) | _changed_record())
def test_a_record_is_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run")
        run.mkdir()
        (run / MODEL).touch()
        (run / "run.json").write_bytes(content)
        known = answer_or_none(_known, run)
        answer_or_none(_run_folder(folder).check)
    if known is not None:
        record = known[0]
        assert isinstance(record.settings["input"]["size"], int)
        assert isinstance(record.results["accuracy"], float)
