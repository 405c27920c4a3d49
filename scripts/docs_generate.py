"""Writes the parts of the documentation that follow from the code.

    python scripts/docs_generate.py           writes them
    python scripts/docs_generate.py --check   exits 1, and names the parts, when any is out of date

A part stands between `<!-- generated:NAME -->` and `<!-- end:NAME -->`; what is around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docs_parts import PARTS

ROOT = Path(__file__).parents[1]
ELSEWHERE = frozenset({"false-zeros", "false-zeros-beside", "foreign", "performance", "textgames"})
"""Parts that another program prints."""

_PART = re.compile(r"(<!-- generated:([\w-]+) -->\n)(.*?)(<!-- end:\2 -->)", re.DOTALL)


def pages() -> Iterator[Path]:
    """The files that may hold generated parts."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def renewed(text: str, stale: list[str]) -> str:
    """A page with its parts as they should be; the names of those that differ are added to `stale`."""

    def renew(part: re.Match[str]) -> str:
        opening, name, before, closing = part.groups()
        if name in ELSEWHERE:
            return part[0]
        if name not in PARTS:
            raise SystemExit(f"nothing generates `{name}`; there are {', '.join(sorted(PARTS))}")
        content = f"\n{PARTS[name]().strip()}\n\n"
        if content != before:
            stale.append(name)
        return f"{opening}{content}{closing}"

    return _PART.sub(renew, text)


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit status."""
    if set(arguments) - {"--check"}:
        raise SystemExit(__doc__)
    status = 0
    for path in pages():
        stale: list[str] = []
        before = path.read_text(encoding="utf-8")
        after = renewed(before, stale)
        for name in stale:
            status = 1
            print(f"{path.relative_to(ROOT)}: {name} {'is out of date' if arguments else 'written'}")
        if after != before and not arguments:
            path.write_text(after, encoding="utf-8")
    if status and arguments:
        print("write them with: .venv/bin/python scripts/docs_generate.py")
    return status if arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
