"""Writes the parts of the documentation that follow from the code.

    python scripts/docs_generate.py           writes them
    python scripts/docs_generate.py --check   exits 1, and names the parts, when any is out of date

A part stands between `<!-- generated:NAME -->` and `<!-- end:NAME -->`; what is around it is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from docs_markdown import parts_of, with_parts
from docs_parts import PARTS

ROOT = Path(__file__).parents[1]
ELSEWHERE = frozenset(
    {
        "false-zeros",
        "false-zeros-trl",
        "false-zeros-verifiers",
        "foreign",
        "servers",
        "nemo-parity",
        "nemo-urls",
        "parity",
        "parity-tasksets",
        "performance",
    }
)
"""Parts that another program prints."""


def pages() -> Iterator[Path]:
    """The files that may hold generated parts."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def made(name: str) -> str | None:
    """A part as it should be; None for one that another program prints."""
    if name in ELSEWHERE:
        return None
    if name not in PARTS:
        raise SystemExit(f"nothing generates `{name}`; there are {', '.join(sorted(PARTS))}")
    return PARTS[name]()


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit status."""
    if set(arguments) - {"--check"}:
        raise SystemExit(__doc__)
    status = 0
    for path in pages():
        before = path.read_text(encoding="utf-8")
        after = with_parts(before, made)
        if after == before:
            continue
        status = 1
        old, new = parts_of(before), parts_of(after)
        for name in (name for name in new if new[name] != old[name]):
            print(f"{path.relative_to(ROOT)}: {name} {'is out of date' if arguments else 'written'}")
        if not arguments:
            path.write_text(after, encoding="utf-8")
    if status and arguments:
        print("write them with: .venv/bin/python scripts/docs_generate.py")
    return status if arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
