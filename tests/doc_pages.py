"""The pages of the documentation, as their tests read them."""

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
# What experiments leave beside their pages when they are run again is not the documentation.
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if "-seed" not in path.parent.name
}
_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run:(.*?)-->\s*$", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Args:
        page: its path from the root.
        line: of the page, where the text begins.
        language: as the fence names it.
        text: with the last newline.
        before: the page in front of it, from the last heading on, without other blocks.
        reason: why it is not run, "" where a comment gives none; None where it is run.
    """

    page: str
    line: int
    language: str
    text: str
    before: str
    reason: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def _blocks(page: str, content: str) -> Iterator[Block]:
    for fence in _FENCE.finditer(content):
        before = content[: fence.start()]
        not_run = _NOT_RUN.search(before)
        yield Block(
            page,
            before.count("\n") + 2,
            fence["language"],
            fence["text"],
            re.split(r"^#+ ", _FENCE.sub("", before), flags=re.MULTILINE)[-1],
            not_run and not_run[1].strip(),
        )


BLOCKS = [block for page, content in PAGES.items() for block in _blocks(page, content)]


def of_language(language: str) -> list[Block]:
    """The blocks of a language that are run."""
    return [block for block in BLOCKS if block.language == language and block.reason is None]


def prose(page: str) -> str:
    """A page without its blocks."""
    return _FENCE.sub("", PAGES[page])


def spans(page: str) -> list[str]:
    """What stands between backticks in a page's text."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def shell_lines(text: str) -> Iterator[str]:
    """The lines of a shell's block, each whole and with the variables that an earlier one sets."""
    variables: dict[str, str] = {}
    for line in text.replace("\\\n", "").splitlines():
        assigned = re.fullmatch(r'([A-Z]+)="([^"]*)"', line)
        if assigned:
            variables[assigned[1]] = assigned[2]
            continue
        for name, value in variables.items():
            line = line.replace(f"${name} ", f"{value} ")
        if shlex.split(line, comments=True):
            yield line


def own_command(line: str) -> tuple[str, ...] | None:
    """What a line gives to `keras-resnet`, or None where it starts something else."""
    words = tuple(shlex.split(line, comments=True))
    if words[:1] in (("srun",), ("exec",)):
        words = words[1:]
    if words[:1] == ("keras-resnet",):
        return words[1:]
    if words[:2] == ("python", "train.py"):
        return ("train", *words[2:])
    return None


def anchors(page: str) -> set[str]:
    """What a link may name behind # on this page, as GitHub calls its headings."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in names:
            number += 1
        names.add(name)
    return names


def links(page: str) -> list[str]:
    """Where the links and pictures of a page lead."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


@dataclasses.dataclass(frozen=True)
class Change:
    """A diff block: the file that the text in front of it names last, and the lines.

    Args:
        path: below the package.
    """

    path: str
    block: Block

    def applied_to(self, content: str | None) -> str:
        """The file with the change.

        Args:
            content: of the file, None where it is new.

        Raises:
            ValueError: the lines around the change are not there, or more than once.
        """
        lines = self.block.text.splitlines()
        after = [line[1:] for line in lines]
        before = [line[1:] for line in lines if not line.startswith("+")]
        if any(line[:1] not in ("+", " ") for line in lines) or (content is None) != (not before):
            raise ValueError(f"{self.block.place}: no change of {self.path}")
        if content is None:
            return "\n".join(after) + "\n"
        there = content.splitlines()
        places = [start for start in range(len(there)) if there[start : start + len(before)] == before]
        if len(places) != 1:
            raise ValueError(f"{self.block.place} fits {self.path} in {len(places)} places, not in one")
        there[places[0] : places[0] + len(before)] = after
        return "\n".join(there) + "\n"


def changes() -> list[Change]:
    """The changes that the pages show, in their order."""
    return [Change(re.findall(r"`(\w[\w/]*\.py)`", block.before)[-1], block) for block in of_language("diff")]
