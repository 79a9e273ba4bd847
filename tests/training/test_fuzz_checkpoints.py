"""Damaged checkpoints are used, passed over or refused in one sentence; so are damaged records of runs."""

import contextlib
import dataclasses
import io
import json
import pathlib
import tempfile
import zipfile

import numpy as np
import records
from damage import answer_or_none, budget, damaged
from hypothesis import event, given
from hypothesis import strategies as st

from keras_resnet.models import architectures
from keras_resnet.training.checkpoint import Checkpoints, check_arrays
from keras_resnet.training.recipes import RECIPES
from keras_resnet.training.run_folder import MODEL, RunFolder, finished_record

IDENTITY = {"depth": 20, "filters": [16, 32]}
ARRAYS = {"weights/0/kernel": np.arange(6.0).reshape(2, 3), "optimizer/0/iterations": np.array(7)}
SETTINGS = {
    **dataclasses.asdict(architectures.cifar(20)),
    **dataclasses.asdict(RECIPES["finetune"]),
    **records.SETTINGS,
}


def _checkpoint(step):
    with tempfile.TemporaryDirectory() as folder:
        Checkpoints(folder, IDENTITY).save(step, ARRAYS, {"step": step, "progress": {"best": float("inf")}})
        return pathlib.Path(folder, f"step-{step:010}.npz").read_bytes()


def _record():
    with tempfile.TemporaryDirectory() as folder:
        RunFolder(folder, "run", SETTINGS, records.ABOUT).finish(records.RESULTS)
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
    part = draw(st.sampled_from([record, *record.values(), record["about"]["preprocessing"]]))
    name = draw(st.sampled_from(sorted(part)))
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    if draw(st.booleans()):
        del part[name]
    else:
        part[name] = draw(plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain))
    return json.dumps(record).encode()


def _taken_up(folder):
    checkpoint = Checkpoints(folder, IDENTITY).latest()
    check_arrays(checkpoint, {name: array.shape for name, array in ARRAYS.items()})
    return checkpoint


@budget(600)
@given(damaged(CHECKPOINT) | _damaged_inside())
def test_a_checkpoint_is_used_passed_over_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "step-0000000001.npz").write_bytes(EARLIER)
        path = pathlib.Path(folder, "step-0000000002.npz")
        path.write_bytes(content)
        with contextlib.redirect_stdout(io.StringIO()) as told:
            found = answer_or_none(_taken_up, folder)
    if found is not None and found.path != path:
        event("passed over")
        (line,) = told.getvalue().splitlines()
        assert line.startswith(f"WARNING: {path} is ")
        assert line.endswith("It is passed over.")
        assert found.meta["step"] == 1


def _known(folder):
    """All that commands ask of a finished run."""
    record = finished_record(folder, "RUN")
    return record, record.architecture, record.recipe


@budget(400)
@given(damaged(RECORD) | _changed_record())
def test_a_record_is_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run")
        run.mkdir()
        (run / MODEL).touch()
        (run / "run.json").write_bytes(content)
        known = answer_or_none(_known, run)
        answer_or_none(RunFolder(folder, "run", SETTINGS, records.ABOUT).check)
    if known is not None:
        record = known[0]
        assert isinstance(record.about["preprocessing"]["size"], int)
        assert isinstance(record.results["accuracy"], float)
