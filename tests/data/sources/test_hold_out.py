import collections
import hashlib
import itertools
import random

import pytest

from keras_resnet.data.dataset import held_out_count
from keras_resnet.data.sources.hold_out import hold_out


def _names(labels, groups, fraction):
    return set(itertools.compress(groups, hold_out(labels, groups, fraction)))


def _counts(labels, held_out):
    return collections.Counter(itertools.compress(labels, held_out))


def test_single_images_are_those_of_the_lowest_hashes_of_each_class():
    names = [f"{label}/{number}.jpg" for label in range(3) for number in range(20 * (label + 1))]
    labels = [int(name[0]) for name in names]
    expected = set()
    for label in range(3):
        members = [name for name in names if name.startswith(f"{label}/")]
        members.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        expected |= set(members[: held_out_count(len(members), 0.1)])
    assert _names(labels, names, 0.1) == expected
    assert len(expected) == 2 + 4 + 6


def test_groups_are_held_out_whole_and_in_any_order_the_same():
    generator = random.Random(1)
    images = [
        (generator.randrange(4), f"patient {patient}")
        for patient in range(60)
        for _ in range(generator.randrange(1, 9))
    ]
    labels, groups = zip(*images, strict=True)
    held_out = hold_out(labels, groups, 0.2)
    for group in set(groups):
        assert len(set(itertools.compress(held_out, [one == group for one in groups]))) == 1
    totals, counts = collections.Counter(labels), _counts(labels, held_out)
    for label, total in totals.items():
        assert 0.1 * total <= counts[label] <= held_out_count(total, 0.2)
    generator.shuffle(images)
    shuffled = list(zip(*images, strict=True))
    assert _names(*shuffled, 0.2) == _names(labels, groups, 0.2)


def test_a_group_that_comes_leaves_most_others_where_they_are():
    groups = [f"video {number // 5}" for number in range(500)]
    labels = [number // 5 % 2 for number in range(500)]
    before = _names(labels, groups, 0.2)
    after = _names([*labels, 0, 0], [*groups, "new", "new"], 0.2)
    assert len(before ^ after) <= 2


@pytest.mark.parametrize(
    ("sizes", "held_out"),
    [
        # Rather too few than half of all.
        ({"a": {0: 50, 1: 50}, "b": {0: 1}, "c": {1: 1}}, [{"b", "c"}]),
        # All are too large.
        ({"a": {0: 10}, "b": {0: 9}, "c": {1: 5}, "d": {1: 4}}, [{"b", "d"}]),
        ({"a": {0: 3, 1: 3}, "b": {0: 3, 1: 3}}, [{"a"}, {"b"}]),
        # One class has one group, or all have.
        ({"a": {0: 3}, "b": {1: 3}, "c": {1: 3}}, [{"b"}, {"c"}]),
        ({"a": {0: 3}, "b": {1: 3}}, [set()]),
        # The other has all that there is of class 1.
        ({"a": {0: 3, 1: 1}, "b": {0: 3}}, [{"b"}]),
    ],
)
def test_every_class_keeps_images_to_train_on(sizes, held_out):
    images = [
        (label, group) for group, classes in sizes.items() for label, n in classes.items() for _ in range(n)
    ]
    labels, groups = zip(*images, strict=True)
    found = _names(labels, groups, 0.1)
    assert found in held_out
    assert {label for label, group in images if group not in found} == set(labels)
