"""Settings are the same where their fingerprints are, and what differs is named by subject."""

import json

import pytest

from keras_resnet._utils.fingerprint import canonical, describe_differences, differences, fingerprint

SETTINGS = {
    "recipe": {"name": "cifar", "milestones": (32_000, 48_000), "batch_augment": {"mixup": 0.0}},
    "dataset": {"name": "digits", "class_names": ["0", "1"]},
    "seed": 0,
}


def test_canonical_settings_are_as_json_gives_them_back():
    settings = canonical(SETTINGS)
    assert settings["recipe"]["milestones"] == [32_000, 48_000]
    assert canonical(json.loads(json.dumps(settings))) == settings
    assert canonical({1: None}) == {"1": None}


def test_equal_settings_have_equal_fingerprints_in_any_order():
    reordered = {key: SETTINGS[key] for key in reversed(SETTINGS)}
    reordered["recipe"] = {key: SETTINGS["recipe"][key] for key in reversed(SETTINGS["recipe"])}
    assert fingerprint(SETTINGS) == fingerprint(reordered) == fingerprint(canonical(SETTINGS))
    assert len(fingerprint(SETTINGS)) == 16
    int(fingerprint(SETTINGS), 16)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"seed": "0"},
        {"seed": None},
        {"recipe": {**SETTINGS["recipe"], "milestones": (48_000, 32_000)}},
        {"recipe": {**SETTINGS["recipe"], "batch_augment": {"mixup": 0.1}}},
        {"dataset": {"name": "digits"}},
    ],
    ids=str,
)
def test_different_settings_have_different_fingerprints(change):
    assert fingerprint(SETTINGS | change) != fingerprint(SETTINGS)


def test_the_same_name_in_two_subjects_is_two_settings():
    ours = canonical(SETTINGS | {"dataset": {**SETTINGS["dataset"], "name": "cifar"}})
    assert differences(canonical(SETTINGS), ours) == [("dataset.name", "digits", "cifar")]


def test_differences_have_dotted_names_and_none_for_what_is_missing():
    theirs = {"recipe": {"epochs": 80, "batch_augment": {"mixup": 0.2}}, "old": 1}
    ours = {"recipe": {"epochs": 3, "batch_augment": {"mixup": 0.0}}, "new": [2]}
    assert differences(theirs, ours) == [
        ("recipe.epochs", 80, 3),
        ("recipe.batch_augment.mixup", 0.2, 0.0),
        ("old", 1, None),
        ("new", None, [2]),
    ]
    assert differences(theirs, theirs) == []


def test_a_subject_in_place_of_a_value_is_one_difference():
    assert differences({"recipe": {"epochs": 1}}, {"recipe": "cifar"}) == [("recipe", {"epochs": 1}, "cifar")]


def test_descriptions_are_one_line_of_the_first_differences():
    assert describe_differences({"a": 1}, {"a": 1}) == ""
    assert describe_differences({"recipe": {"epochs": 80}}, {"recipe": {"epochs": 3}}) == (
        "recipe.epochs=80 instead of 3"
    )
    many = {str(number): number for number in range(9)}
    text = describe_differences(many, {}, limit=2)
    assert text == "0=0 instead of None, 1=1 instead of None and 7 more"
    long = describe_differences({"a": "line\n" * 50}, {"a": ""})
    assert "\n" not in long
    assert len(long) < 80
