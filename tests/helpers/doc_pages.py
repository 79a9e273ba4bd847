"""Reads the pages of the documentation for their tests."""

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
# Experiments that are run again leave folders next to their pages, which are not documentation.
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if "-seed" not in path.parent.name
}
_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run:([^>]*?)-->\s*$")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: path from the root.
        line: line of the page where the text begins.
        language: as the fence names it.
        text: with the last newline.
        before: the page before it, from the last heading on, without other blocks.
        reason: why it is not run; None where it is run.
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
    """Returns the blocks of a language that are run."""
    return [block for block in BLOCKS if block.language == language and block.reason is None]


def prose(page: str) -> str:
    """Returns a page without its blocks."""
    return _FENCE.sub("", PAGES[page])


def spans(page: str) -> list[str]:
    """Returns the inline code of a page."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def shell_lines(text: str) -> Iterator[str]:
    """Yields the lines of a shell block, with continuations joined and variables replaced."""
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
    """Returns the arguments that a line gives to `keras-resnet`; None where it starts another program."""
    words = tuple(shlex.split(line, comments=True))
    if words[:1] in (("srun",), ("exec",)):
        words = words[1:]
    if words[:1] == ("keras-resnet",):
        return words[1:]
    if words[:2] == ("python", "train.py"):
        return ("train", *words[2:])
    return None


def anchors(page: str) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub names them."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        names.add(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    return names


def links(page: str) -> list[str]:
    """Returns the targets of a page's links and images."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


@dataclasses.dataclass(frozen=True)
class Change:
    """A diff block and the file that the text before it names last.

    Args:
        path: relative to the package.
    """

    path: str
    block: Block

    def applied_to(self, content: str | None) -> str:
        """Returns the content of the file with the change.

        Args:
            content: of the file, None where it is new.

        Raises:
            ValueError: the lines around the change do not occur exactly once.
        """
        lines = self.block.text.splitlines()
        after = [line[1:] for line in lines if not line.startswith("-")]
        before = [line[1:] for line in lines if not line.startswith("+")]
        if any(line[:1] not in ("+", "-", " ", "") for line in lines) or (content is None) != (not before):
            raise ValueError(f"{self.block.place}: not a change of {self.path}")
        if content is None:
            return "\n".join(after) + "\n"
        existing = content.splitlines()
        starts = [i for i in range(len(existing)) if existing[i : i + len(before)] == before]
        if len(starts) != 1:
            raise ValueError(f"{self.block.place} fits {self.path} in {len(starts)} places, not in one")
        existing[starts[0] : starts[0] + len(before)] = after
        return "\n".join(existing) + "\n"


def changes() -> list[Change]:
    """Returns the changes that the pages contain, in their order."""
    return [Change(re.findall(r"`(\w[\w/]*\.py)`", block.before)[-1], block) for block in of_language("diff")]
