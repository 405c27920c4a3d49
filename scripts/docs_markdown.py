"""Generated parts of pages: the pieces of Markdown that they are made of, and where they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_PART = re.compile(r"(<!-- generated:([\w-]+) -->\n)(.*?)(<!-- end:\2 -->)", re.DOTALL)


def with_parts(page: str, content: Callable[[str], str | None]) -> str:
    """A page with its parts as they should be: what `content` says by their names; None leaves one as it is."""

    def renew(part: re.Match[str]) -> str:
        opening, name, _, closing = part.groups()
        made = content(name)
        return part[0] if made is None else f"{opening}\n{made.strip()}\n\n{closing}"

    return _PART.sub(renew, page)


def parts_of(page: str) -> dict[str, str]:
    """The parts of a page by their names."""
    return {name: content for _, name, content, _ in _PART.findall(page)}


def replace_part(path: Path, name: str, content: str) -> None:
    """Replace one part of a file. Raises `ValueError` where the file has none of this name."""
    page = path.read_text(encoding="utf-8")
    if name not in parts_of(page):
        raise ValueError(f"{path} has no part `{name}`")
    path.write_text(with_parts(page, lambda found: content if found == name else None), encoding="utf-8")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()) for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """Text as code; nothing stays nothing."""
    return f"`{text}`" if text else ""


def first_upper(text: str) -> str:
    """The text with a capital letter, as in a sentence."""
    return text[:1].upper() + text[1:]
