"""What identifies a run, a checkpoint or an evaluation: its settings, nested by subject.

Settings are plain values, as JSON stores them. Equal settings have equal fingerprints.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

# Characters of a value in a message.
_MAX_CHARACTERS = 40


def canonical(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as JSON gives them back: lists instead of tuples, strings as keys."""
    return json.loads(json.dumps(settings))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Returns 16 hexadecimal digits that are equal for equal settings, in any order of their keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Returns (dotted name, their value, our value) of each setting that differs; None for a missing one.

    Args:
        theirs, ours: settings as `canonical` gives them.
    """
    return list(_differences(theirs, ours, ""))


def describe_differences(theirs: Mapping[str, Any], ours: Mapping[str, Any], limit: int = 6) -> str:
    """Describes the first differences: `recipe.epochs=80 instead of 3, ...`; "" for equal settings."""
    found = differences(theirs, ours)
    described = [f"{name}={_shorten(their)} instead of {_shorten(our)}" for name, their, our in found[:limit]]
    return ", ".join(described) + (f" and {len(found) - limit} more" if len(found) > limit else "")


def _differences(theirs: Any, ours: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in {**theirs, **ours}:
            yield from _differences(theirs.get(key), ours.get(key), f"{prefix}.{key}" if prefix else key)
    elif theirs != ours:
        yield prefix, theirs, ours


def _shorten(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
