"""Which images with several labels are held out for validation: iterative stratification."""

import collections
from collections.abc import Sequence

from keras_resnet.data.dataset import held_out_count
from keras_resnet.data.sources.hold_out import hash_name

_HELD_OUT, _TRAINING = True, False


def hold_out_multi_label(
    labels: Sequence[Sequence[int]], groups: Sequence[str], fraction: float
) -> list[bool]:
    """Returns for each image whether it is held out.

    Each label, and images without any, are in both parts in proportion, as far as groups and combinations of
    labels allow, by iterative stratification (Sechidis et al. 2011, "On the stratification of multi-label
    data"): the label of the fewest images that are not divided yet is divided next, and each of its images
    goes where more of it are missing. `held_out_count` says how many are to be held out. A label of a single
    group stays in the training part. The hashes of the groups' names alone decide the order.

    Args:
        labels: those of each image; none, or any number.
        groups: group of each image, all of which are held out or none: a patient, or the image's own name.
        fraction: of the images with each label, 0..1.
    """
    members: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    sizes: collections.Counter[str] = collections.Counter(groups)
    none = 1 + max((label for own in labels for label in own), default=0)  # a label for those without
    for own, group in zip(labels, groups, strict=True):
        members[group].update(own or [none])
    left: dict[int, list[str]] = collections.defaultdict(list)
    for group in sorted(members, key=hash_name):
        for label in members[group]:
            left[label].append(group)
    counts = {label: sum(members[group][label] for group in found) for label, found in left.items()}
    # For each part: how many images of each label, and how many images, it is still to get.
    held = {label: held_out_count(count, fraction) for label, count in counts.items()}
    wanted = {_HELD_OUT: held, _TRAINING: {label: counts[label] - held[label] for label in counts}}
    all_held = held_out_count(len(labels), fraction)
    room = {_HELD_OUT: all_held, _TRAINING: len(labels) - all_held}
    chosen: dict[str, bool] = {}
    remaining = {label: len(found) for label, found in left.items()}
    while any(remaining.values()):
        label = min((one for one in remaining if remaining[one]), key=lambda one: (remaining[one], one))
        for group in left[label]:
            if group in chosen:
                continue
            part = max((_TRAINING, _HELD_OUT), key=lambda one: (wanted[one][label], room[one]))
            chosen[group] = part
            room[part] -= sizes[group]
            for other, count in members[group].items():
                wanted[part][other] -= count
                remaining[other] -= 1
    for found in left.values():
        # Rare labels that come together with others may have been divided by these.
        if all(chosen[group] for group in found):
            chosen[found[0]] = _TRAINING
    return [chosen[group] for group in groups]
