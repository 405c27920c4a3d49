"""The site builds without a warning, and its pages ask no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FETCHED = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["'](https?:)?//|url\(["']?https?://|@import"""
)


@pytest.mark.slow
def test_the_site_is_whole_and_asks_no_other_host(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [path for kind in ("html", "css", "svg") for path in (tmp_path / "site").rglob(f"*.{kind}")]
    assert len(pages) > 20
    for page in pages:
        fetched = _FETCHED.search(page.read_text(encoding="utf-8"))
        assert fetched is None, f"{page.relative_to(tmp_path)}: {fetched and fetched[0]}"
