"""Networks by depth or by name, as the commands and the configurations take them."""

import json

import pytest
from helpers.errors import refused

from keras_resnet import Architecture, TrainConfig
from keras_resnet.cli.main import main
from keras_resnet.models.architectures import LATER, cifar_architecture
from keras_resnet.runs.architecture import ArchitectureOptions
from keras_resnet.runs.initial_weights import resolve_public_weights


def test_a_later_network_by_name_has_its_variant_and_shortcut():
    for name, architecture in LATER.items():
        assert ArchitectureOptions(architecture=name).resolve() == architecture
    changed = ArchitectureOptions(architecture="resnext50_32x4d", shortcut="C", variant="v1").resolve()
    assert (changed.shortcut, changed.variant, changed.groups) == ("C", "v1", 32)


def test_pre_activation_of_cifar_networks():
    assert ArchitectureOptions(depth=164, preactivation=True).resolve() == cifar_architecture(
        164, preactivation=True
    )
    plain = ArchitectureOptions(depth=20, preactivation=True, plain=True).resolve()
    assert plain.shortcut is None
    for fields in ({"depth": 50}, {"depth": 20, "family": "imagenet"}):
        with refused("preactivation", True) as caught:
            ArchitectureOptions(preactivation=True, **fields).resolve()
        assert "resnet50v2" in caught.value.reason


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"architecture": "resnext50_32x4d", "depth": 50}, "depth"),
        ({"architecture": "resnet50v2", "preactivation": True}, "preactivation"),
        ({"architecture": "resnet18d", "plain": True}, "plain"),
        ({"architecture": "resnext50"}, "architecture"),
        ({"architecture": Architecture("own", (1,), (8,)), "variant": "v1.5"}, "variant"),
    ],
    ids=str,
)
def test_contradictions_are_refused(fields, parameter):
    with refused(parameter, fields[parameter]):
        TrainConfig(**fields)


def test_averages_need_projections():
    with refused("projection", "average"):
        ArchitectureOptions(architecture="resnet18d", shortcut="A").resolve()


@pytest.mark.parametrize(
    ("name", "fields", "shortcut", "classes"),
    [
        ("akamaster-cifar10", {"depth": 20}, "A", 10),
        ("chenyaofo-cifar10", {"depth": 56}, "B", 10),
        ("chenyaofo-cifar100", {"depth": 20}, "B", 100),
        ("torchvision-v2", {"architecture": "wide_resnet50_2"}, "B", 1000),
        ("imagenet", {"architecture": "resnet101v2"}, "B", 1000),
        ("imagenet", {"architecture": "resnext50_32x4d"}, "B", 1000),
    ],
)
def test_public_weights_find_their_network(name, fields, shortcut, classes):
    entry, architecture = resolve_public_weights(name, ArchitectureOptions(**fields))
    assert (entry.classes, architecture.shortcut, architecture.variant) == (classes, shortcut, entry.variant)


def test_public_weights_of_another_network_are_refused():
    with refused("weights", "chenyaofo-cifar10"):
        resolve_public_weights("chenyaofo-cifar10", ArchitectureOptions(depth=20, shortcut="A"))
    with refused("weights", "torchvision-v1") as caught:
        resolve_public_weights("torchvision-v1", ArchitectureOptions(architecture="resnet18d"))
    assert "resnet18d" in caught.value.reason


def test_a_later_network_is_trained_resumed_and_evaluated(tmp_path, capsys):
    command = ["train", "--architecture=resnet18d", "--dataset=digits", "--image_size=32", "--iterations=1"]
    command += ["--batch_size=8", "--export=", f"--output_dir={tmp_path}", "--run_name=run"]
    assert main(command) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["architecture"]["projection"] == "average"
    assert main(command) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["inspect", "--architecture=resnet50v2"]) == 0
    assert "25,568,360" in capsys.readouterr().out  # as keras.applications counts
