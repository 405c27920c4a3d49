"""Generated parts are replaced in one place, by whoever has made them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (
    "Above.\n\n<!-- generated:one -->\n\nold\n\n<!-- end:one -->\n\n"
    "<!-- generated:two -->\n\nkept\n\n<!-- end:two -->\n"
)


def replaced(path: Path, name: str, content: str) -> subprocess.CompletedProcess[str]:
    program = "import sys, pathlib, docs_markdown as d; d.replace_part(pathlib.Path(sys.argv[1]), *sys.argv[2:])"
    command = [sys.executable, "-c", program, str(path), name, content]
    return subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, check=False)


def test_one_part_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    assert replaced(page, "one", "a \\1 table\n").returncode == 0
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", "a \\1 table")


def test_a_part_that_is_not_there_is_said(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    done = replaced(page, "three", "a table")
    assert done.returncode
    assert "has no part `three`" in done.stderr
    assert page.read_text(encoding="utf-8") == PAGE


@pytest.mark.parametrize("folder", ["scripts", "benchmarks"])
def test_nobody_else_knows_how_a_part_is_marked(folder: str) -> None:
    marked = [path.name for path in (ROOT / folder).glob("*.py") if "<!-- end:" in path.read_text(encoding="utf-8")]
    assert set(marked) <= {"docs_markdown.py", "docs_generate.py"}
