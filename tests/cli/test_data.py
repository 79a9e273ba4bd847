"""`keras-resnet data ...` as its user runs it."""

import os

import PIL.Image
import pytest
from helpers.pictures import encoded, kinds, part_of, write_folder
from helpers.running import run_command

from keras_resnet._utils import progress
from keras_resnet.cli.main import main


def _run(capsys, *arguments):
    status = main(list(map(str, arguments)))
    return status, *capsys.readouterr()


def test_validate_reports_every_kind_by_path(tmp_path, capsys):
    for name, (_, _, content) in kinds().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.txt").write_text("no picture")
    status, out, _ = _run(capsys, "data", "validate", tmp_path, "--threads=2")
    assert status == 1
    for name, (kind, _, _) in kinds().items():
        lines = [line for line in out.splitlines() if line.startswith(str(tmp_path / name))]
        assert [line.split(": ")[1] for line in lines] == ([kind] if kind else [])
    unusable = sum(cannot for _, cannot, _ in kinds().values())
    assert f"{len(kinds())} images, {unusable} of them unusable." in out
    assert ".txt, not read" in out


def test_validate_names_files_whose_names_are_no_utf8(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb") as file:
        file.write(b"no picture")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    result = run_command("data", "validate", tmp_path, env=strict)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{tmp_path}/caf\\udce9.jpg: unreadable: it is not an image\n")


def test_validate_finds_nothing_in_good_pictures(tmp_path, capsys):
    status, out, _ = _run(capsys, "data", "validate", write_folder(tmp_path))
    assert (status, out) == (0, "24 images, 0 of them unusable.\n")


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        ([""], "0 class folders"),
        (["cat"], "1 class folders"),
        (["cat", "dog", "bird/empty"], "'bird'"),
        (["Val/cat", "Val/dog", "Test/cat", "Test/dog"], "no folder train"),
        (["train2017/cat", "train2017/dog", "val2017/cat", "val2017/dog"], "train2017"),
        (["train", "bus"], "rename train"),
    ],
)
def test_validate_fails_where_training_would(tmp_path, capsys, folders, says):
    for number, folder in enumerate(folders):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for i in range(0 if folder.endswith("empty") else 2):
            (tmp_path / folder / f"{i}.jpg").write_bytes(encoded(part_of(0, 2 * number + i)))
    status, out, _ = _run(capsys, "data", "validate", tmp_path)
    assert status == 1
    *_, counts, refusal = out.splitlines()
    assert counts.endswith("images, 0 of them unusable.")
    assert refusal.startswith("Training cannot use this folder: ")
    assert says in refusal


def test_validate_lists_duplicates_with_splits_and_classes(tmp_path, capsys):
    folder = write_folder(tmp_path)
    source = (folder / "train/church/01.jpg").read_bytes()
    (folder / "val/church/again.jpg").write_bytes(source)
    status, out, _ = _run(capsys, "data", "validate", folder)
    assert status == 0
    assert out.splitlines()[1:] == [
        "identical, in 2 splits:",
        f"  {folder}/train/church/01.jpg (train, church)",
        f"  {folder}/val/church/again.jpg (validation, church)",
        "       1  groups of identical images",
        "       1  groups in two splits or more: the figure of one is too good; keep one image of each",
    ]
    (folder / "train/flower/wrong.jpg").write_bytes(source)
    status, out, _ = _run(capsys, "data", "validate", folder)
    assert status == 1
    assert "identical, in 2 splits, in 2 classes:" in out
    assert "  1  groups of identical images in two classes, of which one is wrong" in out


def test_validate_passes_what_training_understands(tmp_path, capsys):
    folder = write_folder(tmp_path)
    (folder / "train").rename(folder / "Training")
    (folder / "val").rename(folder / "VALID")
    assert _run(capsys, "data", "validate", folder)[:2] == (0, "24 images, 0 of them unusable.\n")


def _write_table(folder, *rows):
    """Good pictures of two classes, and a table that names some, these rows and no others."""
    write_folder(folder, split=False)
    good = [f"{name}/{number:02},{name}" for name in ("church", "flower") for number in range(5)]
    (folder / "labels.csv").write_text("\n".join(["id,label", *good, *rows]))
    return folder / "labels.csv"


def test_validate_a_table(tmp_path, capsys):
    table = _write_table(tmp_path)
    status, out, err = _run(capsys, "data", "validate", table)
    assert (status, out) == (0, "10 images, 0 of them unusable.\n")
    assert "path in column 'id', label in column 'label'" in err


def test_validate_names_every_row_and_file_of_a_table(tmp_path, capsys):
    for name in ("empty.jpg", "alpha.png", "animated.gif"):
        (tmp_path / name).write_bytes(kinds()[name][2])
    rows = ("nowhere/0.jpg,church", "church/00.jpg,flower", "flower/01.jpg,flower", "empty.jpg,flower")
    table = _write_table(
        tmp_path, *rows, "animated.gif,church", "alpha.png,church", "x.jpg,", "church/09,a,b"
    )
    status, out, _ = _run(capsys, "data", "validate", table, "--label_column=label")
    assert status == 1
    # The two pictures without a fault of their own are nearly identical, which follows the total.
    *lines, total, _ = [line for line in out.splitlines() if not line.startswith("  ")]
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[:3] for line in lines] == [
        ["labels.csv", "contradictory", "rows 2 and 13"],
        ["labels.csv", "missing", "row 12"],
        ["labels.csv", "no label", "row 18"],
        ["labels.csv", "damaged", "row 19"],
        ["labels.csv", "repeated", "row 14"],
        ["empty.jpg", "empty", "the file has no content"],
        ["animated.gif", "animated", "2 frames, of which the first is used"],
    ]
    assert total == "17 images, 6 of them unusable."
    assert "       1  repeated, used\n" in out
    assert "       1  missing, cannot be used\n" in out


def test_validate_fails_where_training_would_refuse_a_table(tmp_path, capsys):
    table = _write_table(tmp_path)
    table.write_text("path,label,split\nchurch/00.jpg,a,train\nchurch/01.jpg,b,train\nflower/00.jpg,c,val\n")
    status, out, _ = _run(capsys, "data", "validate", table)
    assert status == 1
    assert "Training cannot use this table: the class 'c' of row 4" in out
    assert _run(capsys, "data", "validate", tmp_path, "--label_column=x")[0] == 2


def test_inspect_a_table(tmp_path, capsys, monkeypatch):
    (tmp_path / "pets").mkdir()
    _write_table(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    status, out, _ = _run(capsys, "data", "inspect", "pets/labels.csv", "--depth=18", "--image_size=64")
    assert status == 0
    for text in ("pets/labels.csv: 10 rows", "2 classes", "8 images in train", "church        4 #"):
        assert text in out, text
    assert (tmp_path / "pets-labels-samples.png").is_file()


def test_shrink_a_folder_and_train_on_the_copy(tmp_path, capsys):
    folder, out = write_folder(tmp_path / "pets"), tmp_path / "small"
    status, printed, _ = _run(capsys, "data", "shrink", folder, out, "--shorter_side=32")
    assert status == 0
    assert printed.startswith(f"{out}: 24 images made smaller, 0 copied; ")
    assert f"--dataset={out}" in printed
    assert _run(capsys, "data", "shrink", folder, out, "--shorter_side=32")[1].startswith(
        f"{out}: 0 images made smaller, 0 copied, 24 were there; "
    )
    assert _run(capsys, "data", "validate", out)[:2] == (0, "24 images, 0 of them unusable.\n")


def test_inspect_a_folder(tmp_path, capsys, monkeypatch):
    folder = write_folder(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    status, out, _ = _run(capsys, "data", "inspect", "pets", "--depth=18", "--image_size=64")
    assert status == 0
    for text in (
        "2 classes",
        "20 images in train",
        "4 images in val",
        "church       10 #",
        "75x100 ",
        "shorter side from 75 to 75",
        "images/s",
    ):
        assert text in out, text
    with PIL.Image.open(tmp_path / "pets-samples.png") as sheet:
        assert sheet.size == (8 * 64, 3 * (64 + 14))
    assert folder.is_dir()


@pytest.mark.slow
def test_inspect_counts_what_cannot_be_read(tmp_path, capsys):
    write_folder(tmp_path / "pets")
    (tmp_path / "pets" / "train" / "church" / "bad.jpg").write_bytes(b"no picture")
    output = f"--output={tmp_path / 'sheet.png'}"
    status, out, _ = _run(
        capsys, "data", "inspect", tmp_path / "pets", "--image_size=64", "--bad_images=skip", output
    )
    assert status == 0
    assert f"1 cannot be read; `keras-resnet data validate {tmp_path / 'pets'}` names those" in out
    assert "bad.jpg" in out


def test_validate_tells_how_far_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1)
    status, out, err = _run(capsys, "data", "validate", write_folder(tmp_path), "--threads=1")
    assert (status, out) == (0, "24 images, 0 of them unusable.\n")
    assert "12 of 24 files, about " in err


@pytest.mark.slow
def test_inspect_the_digits(tmp_path, capsys):
    status, out, _ = _run(capsys, "data", "inspect", "digits", f"--output={tmp_path / 'sheet.png'}")
    assert status == 0
    assert "1,442 images in train" in out
    assert "8x8 " in out
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("data validate", "DATASET is missing: keras-resnet data validate DATASET."),
        ("data validate nowhere", "nowhere: is not a folder"),
        ("data validate . extra", "'extra' is not a flag"),
        ("data", "there is no command 'data'"),
        ("data shrink", "FOLDER is missing: keras-resnet data shrink FOLDER OUT."),
        ("data shrink .", "OUT is missing"),
        ("data shrink nowhere out", "nowhere: is not a folder"),
        ("data shrink . ./inside", "inside: must be neither . nor inside"),
        ("data shrink . ../out --shorter_side=0", "--shorter_side=0: must be at least 1"),
        ("data shrink . ../out --threads=0", "--threads=0: must be at least 1"),
        ("data inspect", "DATASET is missing"),
        ("data inspect ./nowhere", "there is no such folder"),
    ],
)
def test_refusals(capsys, monkeypatch, tmp_path, arguments, says):
    monkeypatch.chdir(tmp_path)
    status, out, err = _run(capsys, *arguments.split())
    assert (status, out) == (2, "")
    assert says in err
