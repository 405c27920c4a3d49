"""Reads the fenced blocks of a Markdown page, with what a test is to do with each.

A comment right above a fence says it: `<!-- test: WORD key=value ... -->`. The words are

    run      the commands succeed, or end with `status=N`
    output   the same, and print what the page shows; `...` stands for anything
    lines    the same, and print the lines that the page shows, among others and with other gaps
    exec     the Python code runs, in the namespace of the page
    file     the block is written to the file that is named
    serve    the command is started, prints a line, and runs until the page ends

Blocks without one are only read: commands have to be commands, code has to compile. Commands stand in `sh`
blocks, without prompts, so that they can be copied; what the last of them prints is a `text` block right below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:<!-- test: ([^>]*) -->\n)?^```(\w+)[^\n]*\n(.*?)^```$(?:\n+(?=^```text\n(.*?)^```$))?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block, and the `text` block right below it, if there is one.

    `action`: the word of its mark, empty without one; `settings`: the rest of the mark.
    """

    page: Path
    line: int
    language: str
    text: str
    action: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    shown: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a block, and what the page shows of its output."""

    block: Block
    text: str
    shown: str


def pages() -> list[Path]:
    """All pages of the documentation, CONTRIBUTING, and the README of the repository and of each distribution."""
    first = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "gym_core" / "README.md"]
    return [*first, *sorted(ROOT.glob("plugins/*/README.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        words = (match[1] or "").split()
        settings = dict(word.partition("=")[::2] for word in words[1:])
        line = text.count("\n", 0, match.start(2)) + 1
        found.append(Block(page, line, match[2], match[3], words[0] if words else "", settings, match[4] or ""))
    return found


def commands(block: Block) -> list[Command]:
    """The commands of an `sh` block: one a line, and lines that end with a backslash go on."""
    whole = re.sub(r"\\\n\s*", "", block.text)
    lines = [line for line in whole.splitlines() if line and not line.startswith("#")]
    return [Command(block, line, block.shown if line is lines[-1] else "") for line in lines]
