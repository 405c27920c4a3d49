"""`gym search`, over the catalogues that are installed and over those of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_catalog.entries import Entry, by_family, installed, read
from gym_core import UsageError
from gym_core.spi import Kind, Plugin, run_command

Search = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[3]
FILES = sorted(ROOT.glob("plugins/*/gym_*/catalog.json"))
WORDS = {"verdict", "rollout", "lists", "loads"}


def plugin(module: str, **fields: Any) -> Plugin:
    return Plugin(Kind.RESOURCE_SERVER, "toys", module, "gym-toys", "1.0", "", **fields)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of an adapter that cannot be imported, with a catalogue."""
    folder = tmp_path / "gym_toys"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('it was imported')\n", encoding="utf-8")
    rows = [
        {"id": "toys:ball-v0", "family": "toys:ball", "state": "needs a key", "needs": ["key"]},
        {"id": "toys:ball-v1", "family": "toys:ball", "state": "verdict", "turns": 3, "summary": "Throw it."},
        {"id": "toys:top", "family": "toys:top", "state": "loads"},
    ]
    (folder / "catalog.json").write_text(json.dumps({"entries": rows}), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_an_adapters_catalogue_is_read_without_importing_it(package: Path) -> None:
    found = [*installed([plugin("gym_toys.environment:Toys"), plugin("gym_toys")])]
    assert [entry.id for entry in found] == ["toys:ball-v0", "toys:ball-v1", "toys:top"]
    assert found[1] == Entry("toys:ball-v1", "toys:ball", "Throw it.", "gym-toys", (), "verdict", 3)
    assert "gym_toys" not in sys.modules
    assert not [*installed([plugin("gym_toys", state="disabled"), plugin("gym_toys", source="isolated")])]
    assert not [*installed([plugin("no_such_package"), plugin("json")])]


def test_a_family_shows_what_came_furthest(package: Path) -> None:
    families = by_family(installed([plugin("gym_toys")]))
    assert [entry.id for entry in families["toys:ball"]] == ["toys:ball-v1", "toys:ball-v0"]
    assert list(families) == ["toys:ball", "toys:top"]


def test_words_are_looked_for_in_all_that_is_said(package: Path) -> None:
    ball, other, top = installed([plugin("gym_toys")])
    assert ball.has("KEY")
    assert other.has("throw")
    assert other.has("verdict")
    assert top.has("gym-toys")
    assert not top.has("ball")


@pytest.mark.parametrize("text", ["", "[]", '{"entries": [{"id": "a"}]}', '{"entries": [7]}', "\xff"])
def test_a_broken_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as refused:
        list(read(path, "gym-toys"))
    assert f"the catalogue of gym-toys, {path}, cannot be read" in refused.value.message
    assert "\n" not in refused.value.message


@pytest.fixture
def search(capsys: pytest.CaptureFixture[str]) -> Search:
    """`search("sudoku", "--json")`: the exit status, and what was printed where."""

    def searched(*arguments: str) -> tuple[int, str, str]:
        status = run_command(["search", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return searched


def test_it_finds_families_and_the_variants_of_one(search: Search) -> None:
    status, out, err = search("textarena:TicTacToe")
    assert status == 0
    assert out.splitlines()[0].split() == ["ID", "VARIANTS", "STATE", "TURNS", "SUMMARY"]
    assert out.splitlines()[1].split()[:2] == ["textarena:TicTacToe-v0", "verdict"]
    assert err == "families: 1, with a verdict: 1, ids: 1\n"
    status, out, _ = search("gymnasium:FrozenLake", "--json")
    said = json.loads(out)
    assert (said["families"], said["with_verdict"]) == (1, 1)
    assert {entry["id"] for entry in said["entries"]} == {"gymnasium:FrozenLake-v1", "gymnasium:FrozenLake8x8-v1"}
    assert set(said["entries"][0]) == {"id", "family", "summary", "adapter", "needs", "state", "turns"}


def test_nothing_found_is_said_and_is_no_success(search: Search) -> None:
    status, out, err = search("no such thing", "anywhere")
    assert (status, out) == (1, "")
    assert err == "no installed adapter knows an environment with 'no such thing' and 'anywhere'\n"
    status, out, _ = search("no such thing", "--json")
    assert (status, json.loads(out)) == (1, {"families": 0, "with_verdict": 0, "entries": []})


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["textarena:TicTakToe"], "textarena:TicTacToe-v0"),
        (["sudko"], "sudoku"),
        (["verdct", "sudoku"], "verdict"),
        (["gym-textgame-s"], "gym-textgames"),
    ],
)
def test_a_misspelt_word_is_answered_with_those_that_are_near(search: Search, words: list[str], near: str) -> None:
    status, out, err = search(*words)
    assert (status, out) == (1, "")
    assert err.startswith(f"no installed adapter knows an environment with {words[0]!r}; did you mean ")
    assert near.casefold() in err.casefold()
    assert err.count("\n") == 1


def test_words_that_are_never_together_are_told_from_words_that_nothing_has(search: Search) -> None:
    status, _, err = search("sudoku", "tictactoe")
    assert status == 1
    assert err == "no environment has 'sudoku' and 'tictactoe' at once, though some have each of them\n"


def test_searching_imports_no_adapter() -> None:
    code = (
        "import sys; from gym_core.spi import run_command; run_command(['search', 'verdict', '--json']);"
        "print([name for name in sys.modules if name in ('gym_textgames', 'gym_reasoning_gym')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("[]"), done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_what_ships_is_sound(path: Path) -> None:
    catalog = json.loads(path.read_text(encoding="utf-8"))
    entries = catalog["entries"]
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert {entry["home"] for entry in entries} == set(catalog["homes"])
    for entry in entries:
        assert entry["state"]
        assert entry["id"].partition(":")[2]
        if entry["state"] == "verdict":
            right, wrong = entry["rewards"]
            assert right > wrong, entry
            assert entry["turns"] >= 1
            assert entry["by"] in ("answer", "judge", "recorded", "bot", "player", "search", "play")
        if entry["state"] not in WORDS:
            assert "rewards" not in entry


def test_the_readme_counts_what_ships() -> None:
    entries = [entry for path in FILES for entry in json.loads(path.read_text(encoding="utf-8"))["entries"]]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"has {len({entry['family'] for entry in entries})} families" in readme
    reached = {entry["family"] for entry in entries if entry["state"] == "verdict"}
    assert f"[{len(reached)} families](docs/environments/catalog.md)" in readme
