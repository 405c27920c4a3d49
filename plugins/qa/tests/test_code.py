"""`code`: programs that pass, that do not, and that cheat or never end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = "assert add(1, 2) == 3\nassert add(-1, 1) == 0"
RIGHT = "def add(a, b):\n    return a + b\n"


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (f"Here:\n```python\n{RIGHT}```\nDone.", True),
        (RIGHT, True),
        (
            f"```python\ndef add(a, b): return 0\n```\nBetter:\n```python\n{RIGHT}```\nRun:\n```sh\npython\n```",
            True,
        ),
        (f"{RIGHT}print('x' * 10**6)", True),
        ("", False),
        ("I cannot do that.", False),
        ("def add(a, b):\n    return a - b\n", False),
        ("def add(a, b)\n", False),
        ("import os\nos._exit(0)\n", False),
        ("import sys\nsys.exit(0)\n", False),
        ("raise SystemExit\n", False),
        ("def add(a, b):\n    import os\n    os._exit(0)\n", False),
        ("print('passed')\n", False),
        ("def add(a, b):\n    return [0] * 10**11\n", False),
    ],
)
def test_programs(reply: str, right: bool, score: Callable[..., float]) -> None:
    assert score("code", reply, tests=TESTS) == right


@pytest.mark.parametrize(
    "reply", ["while True: pass", "import time\ntime.sleep(1000)", "import os\nwhile True: os.fork()"]
)
def test_a_program_that_never_ends_is_ended(reply: str, score: Callable[..., float]) -> None:
    if "fork" in reply:
        reply = "import os, time\nif os.fork() == 0: time.sleep(1000)\ntime.sleep(1000)"
    started = time.monotonic()
    assert score("code", reply, tests=TESTS, timeout=1.0) == 0
    assert time.monotonic() - started < 60


def test_a_program_sees_no_variables_and_leaves_nothing(
    score: Callable[..., float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    reply = "import os\nopen('here', 'w').write('x')\nseen = dict(os.environ)\n"
    assert score("code", reply, tests="assert 'OPENAI_API_KEY' not in seen and os.path.exists('here')") == 1
    assert not (Path.cwd() / "here").exists()
    assert os.listdir(tmp_path) == []


def test_the_forms_of_benchmarks(score: Callable[..., float]) -> None:
    assert score("code", RIGHT, tests=["assert add(1, 2) == 3"], row={"test_setup_code": "import math"}) == 1
    assert score("code", RIGHT, tests='["assert add(1, 2) == 4"]') == 0
    check = "def check(candidate):\n    assert candidate(1, 2) == 3\n"
    question = 'def add(a, b):\n    """The sum."""\n'
    for reply in (RIGHT, "    return a + b\n"):
        assert score("code", reply, tests=check, question=question, row={"entry_point": "add"}) == 1
    assert score("code", "    return a\n", tests=check, question=question, row={"entry_point": "add"}) == 0


def test_tests_that_are_none_are_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="has no tests"):
        score("code", RIGHT)
    with pytest.raises(ValueError, match="no Python"):
        score("code", RIGHT, tests="assert (")


@pytest.mark.parametrize("column", ["tests", "test_list"])
def test_rows_with_tests_are_graded_by_them(column: str, rows: Callable[..., list[dict[str, object]]]) -> None:
    (row,) = rows(f'{{"text": "Add.", "{column}": ["assert add(1, 2) == 3"]}}\n', "x.jsonl")
    assert row["qa"] == {"match": "code", "question": "text", "tests": column}
