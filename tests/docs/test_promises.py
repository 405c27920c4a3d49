"""The page of promises names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests|plugins|examples)/[\w/]+\.py(?:::\w+)*)`", PAGE)))


def test_every_promise_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 20
    assert [row for row in rows if not any(f"`{name}`" in row for name in NAMED)] == []


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_exists(name: str) -> None:
    path, *parts = name.split("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    for part in parts:
        assert re.search(rf"(?:def|class) {part}\b", source), f"{path} has no {part}"
