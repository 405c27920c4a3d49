"""The tutorial, followed step by step: what it writes, installs, runs and shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from uv import find_uv_bin

from gym_testing import IsolatedPlugins
from tests.docs.pages import ROOT, commands
from tests.docs.pages import blocks as blocks_of
from tests.support.forks import gym_program

PAGE = ROOT / "docs" / "tutorial.md"
CODE = Path("gym-shop/gym_shop/__init__.py")
_FENCE = re.compile(r'^```\w+(?: title="([^"]+)")?(?: status=(\d))?', re.MULTILINE)


def fence(line: int) -> tuple[str, int]:
    """The title of the block that starts at a line, and the exit status of its commands."""
    found = _FENCE.match(PAGE.read_text(encoding="utf-8").splitlines()[line - 1])
    assert found is not None
    return found[1] or "", int(found[2] or 0)


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IsolatedPlugins:
    return IsolatedPlugins(tmp_path / "site", monkeypatch).keep("openai", "simple_agent")


@pytest.mark.slow
def test_following_the_tutorial_works(
    plugins: IsolatedPlugins, tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-docs")
    programs = (gym_program().parent, Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join((*map(str, programs), os.environ["PATH"])))
    for block in blocks_of(PAGE):
        title, status = fence(block.line)
        if title == "verify":
            replace_verify(block.text)
        elif title:
            assert Path(title).is_file(), f"{block}: `gym new` wrote no {title}"
            Path(title).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            for command in commands(block):
                if command.text.startswith("uv pip install -e "):
                    plugins.install(command.text.split()[-1])
                else:
                    check(run(command.text, status), command.shown)
    assert list(Path("gym-shop/dist").glob("gym_shop-0.1.0-*.whl"))
    for tool in (["ruff", "check"], ["ruff", "format", "--check"]):
        run(" ".join((sys.executable, "-m", *tool, "--no-cache", "gym-shop")), 0)


def replace_verify(method: str) -> None:
    code = CODE.read_text(encoding="utf-8")
    changed, count = re.subn(
        r"    def verify.*?(?=\n\n\n)", lambda _: textwrap.indent(method, "    ").rstrip(), code, flags=re.DOTALL
    )
    assert count == 1
    CODE.write_text(changed.replace("from collections", "import re\nfrom collections", 1), encoding="utf-8")


def run(command: str, status: int) -> str:
    if command.startswith("uv build "):
        command = command.replace("uv", find_uv_bin(), 1) + f" --offline --no-build-isolation --python {sys.executable}"
    done = subprocess.run(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == status, f"{command}\n{done.stdout}"
    return done.stdout


def check(output: str, shown: str) -> None:
    printed = {" ".join(line.split()) for line in output.splitlines()}
    missing = [line for line in shown.splitlines() if line != "..." and " ".join(line.split()) not in printed]
    assert not missing, f"{missing}\n{output}"
