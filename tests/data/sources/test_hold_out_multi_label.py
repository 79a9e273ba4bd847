import collections
import itertools
import random

import pytest

from keras_resnet.data.dataset import held_out_count
from keras_resnet.data.sources.hold_out_multi_label import hold_out_multi_label


def _counts(labels, chosen):
    return collections.Counter(
        label for own in itertools.compress(labels, chosen) for label in own or ["none"]
    )


def _images(count, seed=0, classes=8):
    generator = random.Random(seed)
    # From frequent to rare, and a few images without any.
    labels = [[one for one in range(classes) if generator.random() < 0.5 / 1.6**one] for _ in range(count)]
    return labels, [f"image {number}" for number in range(count)]


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_each_label_is_in_both_parts_in_proportion(fraction):
    labels, names = _images(600)
    held_out = hold_out_multi_label(labels, names, fraction)
    totals, counts = _counts(labels, [True] * 600), _counts(labels, held_out)
    assert set(counts) == set(totals)
    for label, total in totals.items():
        assert abs(counts[label] - fraction * total) <= max(2, 0.1 * fraction * total), label
    assert abs(sum(held_out) - 600 * fraction) <= 6
    # Better than chance, on which the rarest label of 600 images would be missed now and then.
    assert counts[7] == held_out_count(totals[7], fraction)


def test_the_order_of_the_images_does_not_matter():
    labels, names = _images(200)
    chosen = set(itertools.compress(names, hold_out_multi_label(labels, names, 0.2)))
    order = random.Random(1).sample(range(200), 200)
    again = hold_out_multi_label([labels[i] for i in order], [names[i] for i in order], 0.2)
    assert set(itertools.compress([names[i] for i in order], again)) == chosen


def test_groups_are_not_divided_and_every_label_is_trained_on():
    for seed in range(20):
        labels, names = _images(40, seed)
        groups = [f"patient {int(name.split()[1]) // 3}" for name in names]
        held_out = hold_out_multi_label(labels, groups, 0.3)
        for group in set(groups):
            assert len({held for held, one in zip(held_out, groups, strict=True) if one == group}) == 1
        assert any(held_out)
        training = _counts(labels, [not held for held in held_out])
        assert set(training) == set(_counts(labels, [True] * 40))


def test_a_label_of_one_image_is_trained_on():
    labels = [[0], [0], [0, 1], [0], [2], [2]]
    held_out = hold_out_multi_label(labels, list("abcdef"), 0.5)
    assert not held_out[2]
    assert _counts(labels, held_out) == {0: 2, 2: 1}
    pairs = [[0, 1], [0, 2], [1, 2]]
    held = hold_out_multi_label(pairs, list("abc"), 0.5)
    assert set(_counts(pairs, [not one for one in held])) == {0, 1, 2}
