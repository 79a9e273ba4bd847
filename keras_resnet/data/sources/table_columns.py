"""Which column of a table is what: as the caller says, or by its name."""

import dataclasses
import difflib
import re
import unicodedata
from collections.abc import Sequence

from keras_resnet.errors import UserError

# Names that columns go by, in lower case without anything but letters; of two lists, the second counts where
# the first has none.
_NAMES = {
    "path": (
        "path file filename filepath image imagefile imagefilename imagename imagepath img imgfile imgname "
        "imgpath photo picture",
        "id imageid imgid photoid name",
    ),
    "label": (
        "label class target category",
        "labelname classname categoryname labelid classid categoryid y labels tags classes categories",
    ),
    "split": ("split subset set partition fold datasplit splitname", ""),
    "group": (
        "group patient subject video burst sequence session individual",
        "groupid patientid subjectid videoid burstid sequenceid sessionid individualid groupname",
    ),
}
_REQUIRED = ("path", "label")


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """Names of a table's columns; None: recognized by name; "" for `split` and `group`: there is none.

    Args:
        path: of the image file, or its name without suffix.
        label: its class.
        split: train, validation or test, by any of the names in `split_names`.
        group: images that must not be divided between splits: a patient, a video.
        labels: a column of 0 and 1 for each label, where an image may have several; instead of `label`.
        separator: of several labels in a cell of `label`; None: recognized; "": each cell is one class.
    """

    path: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = ()
    separator: str | None = None


def find_columns(
    columns: Sequence[str], wanted: TableColumns, label_columns: Sequence[str] | None = None
) -> dict[str, str]:
    """Returns the column of "path" and "label", and of "split" and "group" where there are such columns.

    Args:
        label_columns: columns that are labels each; there is no "label" then. None: there is one.

    Raises:
        UserError: a column is missing, or it is not clear which one is meant.
    """
    found: dict[str, str] = {}
    roles = [role for role in _NAMES if role != "label" or label_columns is None]
    labels = label_columns or ()
    for role in roles:
        name = getattr(wanted, role)
        if name == "" and role in _REQUIRED:
            raise _unclear(role, columns, "must be the name of a column", name)
        if name:
            found[role] = named_column(name, role, columns, f"{role}_column")
            if found[role] in labels:
                raise UserError(
                    "is one of label_columns already; name another one.",
                    parameter=f"{role}_column",
                    value=name,
                )
            others = [other for other in found if other != role and found[other] == found[role]]
            if others:
                raise UserError(
                    f"is {others[0]}_column already; name another one.",
                    parameter=f"{role}_column",
                    value=name,
                )
    for role in roles:
        if getattr(wanted, role) is None:
            free = [column for column in columns if column not in (*found.values(), *labels)]
            recognized = _recognized(role, free)
            if len(recognized) > 1:
                raise _unclear(role, columns, f"could be {' or '.join(map(repr, recognized))}")
            if recognized:
                found[role] = recognized[0]
    missing = [role for role in _REQUIRED if role in roles and role not in found]
    free = [column for column in columns if column not in (*found.values(), *labels) and not is_index(column)]
    if len(missing) == 1 and len(free) == 1:
        found[missing.pop()] = free[0]
    for role in missing:
        raise _unclear(role, columns, "is not clear from the names of the columns")
    return {role: found[role] for role in _NAMES if role in found}


def named_column(name: str, role: str, columns: Sequence[str], parameter: str) -> str:
    """Returns the column of a name, in whichever case if that is unambiguous.

    Args:
        role: what it is to be.
        parameter: by which it was named.

    Raises:
        UserError: there is none.
    """
    composed = unicodedata.normalize("NFC", " ".join(name.split()))
    if composed in columns:
        return composed
    same = [column for column in columns if column.casefold() == composed.casefold()]
    if len(same) == 1:
        return same[0]
    close = difflib.get_close_matches(name, columns, 1)
    hint = f"there is no such column; did you mean {close[0]!r}?" if close else "there is no such column"
    raise _unclear(role, columns, hint, name, parameter)


def _recognized(role: str, columns: Sequence[str]) -> list[str]:
    letters = {column: re.sub(r"[\W\d_]", "", column.casefold()) for column in columns}
    for names in _NAMES[role]:
        matching = [column for column in columns if letters[column] in names.split()]
        if matching:
            return matching
    return []


def is_index(column: str) -> bool:
    """Whether a column is what pandas writes in front of all others."""
    return column == "" or column.startswith("Unnamed: ")


def _unclear(
    role: str, columns: Sequence[str], reason: str, value: str | None = None, parameter: str | None = None
) -> UserError:
    parameter = parameter or f"{role}_column"
    names = ", ".join(repr(column) for column in columns)
    none = "" if role in _REQUIRED else f", or {parameter}= for none"
    several = ", or one of 0 and 1 for each label, as label_columns=A,B" if role == "label" else ""
    end = "" if reason.endswith("?") else ";"
    return UserError(
        f"{reason}{end} the table has the columns {names}: name the one with the {role}, as "
        f"{role}_column=NAME{several}{none}.",
        parameter=parameter,
        value=value,
    )
