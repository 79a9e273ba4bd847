import unicodedata

import pytest
from helpers.errors import refused

from keras_resnet.data.sources.table_columns import TableColumns, find_columns


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ("path,label", {"path": "path", "label": "label"}),
        ("Image File,Class,Set", {"path": "Image File", "label": "Class", "split": "Set"}),
        ("id,breed", {"path": "id", "label": "breed"}),  # the only one left
        (",id,breed", {"path": "id", "label": "breed"}),  # and the index of pandas
        ("Unnamed: 0,image,breed", {"path": "image", "label": "breed"}),
        ("picture_no,label", {"path": "picture_no", "label": "label"}),
        ("id,filename,target,age", {"path": "filename", "label": "target"}),
        ("image_id,label,class_name", {"path": "image_id", "label": "label"}),
        (
            "patient_id,file_name,category,subset,sex",
            {"path": "file_name", "label": "category", "split": "subset", "group": "patient_id"},
        ),
        ("label,path,VIDEO", {"path": "path", "label": "label", "group": "VIDEO"}),
    ],
)
def test_columns_are_recognized_by_their_names(columns, found):
    assert find_columns(columns.split(","), TableColumns()) == found


@pytest.mark.parametrize(
    ("columns", "parameter"),
    [
        ("path,image,label", "path_column"),
        ("a,b", "path_column"),
        ("path,class,label", "label_column"),
        ("path,sex,age", "label_column"),
        ("path,label,split,fold", "split_column"),
        ("path,label,patient,video", "group_column"),
    ],
)
def test_columns_that_are_not_clear_are_listed_with_the_parameter_to_give(columns, parameter):
    with refused(parameter, None) as caught:
        find_columns(columns.split(","), TableColumns())
    assert f"{parameter}=" in caught.value.reason
    assert all(f"'{column}'" in caught.value.reason for column in columns.split(","))


def test_what_the_caller_says_wins():
    columns = ("path", "image", "class", "label", "split", "patient", "video")
    wanted = TableColumns(path="image", label="LABEL", split="", group="video")
    assert find_columns(columns, wanted) == {"path": "image", "label": "label", "group": "video"}
    decomposed = unicodedata.normalize("NFD", "  Espèce ")
    assert find_columns(("path", "class", "Espèce"), TableColumns(label=decomposed))["label"] == "Espèce"
    assert find_columns(("path", "class", "label"), TableColumns(label="class")) == {
        "path": "path",
        "label": "class",
    }


@pytest.mark.parametrize(
    ("wanted", "parameter", "says"),
    [
        (TableColumns(label="lable"), "label_column", "did you mean 'label'?"),
        (TableColumns(split="x"), "split_column", "no such column"),
        (TableColumns(path=""), "path_column", "must be the name"),
        (TableColumns(path="label", label="label"), "label_column", "path_column already"),
    ],
)
def test_columns_that_are_not_there_are_refused(wanted, parameter, says):
    with refused(parameter) as caught:
        find_columns(("path", "label"), wanted)
    assert says in caught.value.reason
