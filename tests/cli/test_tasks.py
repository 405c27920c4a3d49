from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

ENV = '''
import itertools
from typing import Annotated

from pydantic import Field, SecretStr

import gym_core
from gym_core import FromEnv, ResourceServer, Selector, Session, Task, hookimpl, tool


class Judged(Session):
    @tool
    def look(self, where: str) -> str:
        """Look."""
        return where

    def verify(self, trajectory):
        return 1.0


class PlaceOptions(gym_core.Options):
    count: Annotated[int, Selector()] = Field(3, description="How many; 0 for no end.")
    key: Annotated[SecretStr | None, FromEnv("PLACE_KEY")] = Field(None, description="A key.")


class Place(ResourceServer[PlaceOptions]):
    """A place."""

    session_type = Judged

    opened = False

    async def __aenter__(self):
        self.opened = True
        return self

    async def tasks(self):
        assert self.opened
        for number in itertools.count():
            if number == self.options.count != 0:
                break
            key = self.options.key.get_secret_value() if self.options.key else ""
            yield Task.ask(f"Question\\n{number} {key}", answer=number)


class Lists(ResourceServer):
    """Ships tasks of several kinds, from a plain list."""

    session_type = Judged

    def tasks(self):
        return [
            Task.ask("One", task_id="first", params={"tools": [{"type": "function", "name": "other"}]}),
            Task({"responses_create_params": {"input": [{"role": "system", "content": "Be"},
                                                        {"role": "user", "content": "Two"}]}}),
        ]


class Nothing(ResourceServer):
    """Ships nothing."""

    session_type = Judged


class Wrong(ResourceServer):
    """Ships what it should not."""

    session_type = Judged

    def tasks(self):
        yield Task.ask("fine")
        raise RuntimeError("the shelf is empty")


class Bad(ResourceServer):
    """Ships rows that are none."""

    session_type = Judged

    def tasks(self):
        yield Task({"question": "?"})


class Parts(ResourceServer):
    """Ships several parts of one problem, under its id."""

    session_type = Judged

    def tasks(self):
        for part in ("a", "b"):
            yield {"id": 7, "part": part, "big": 2**80, "responses_create_params": {"input": f"Part {part}."}}


@hookimpl(contract=1)
def gym_resource_servers():
    return {"several": Parts, "place": Place, "lists": Lists, "nothing": Nothing, "wrong": Wrong, "bad": Bad}
'''


@pytest.fixture(autouse=True)
def env(site: Site) -> None:
    module = site.add("gym-place", ENV, group="gym.resource_servers", name="place")
    for name in ("lists", "nothing", "wrong", "bad", "several"):
        site.info(f"gym-{name}", f"[gym.resource_servers]\n{name} = {module}\n", f"Name: gym-{name}\nVersion: 1\n")


def test_tasks_are_a_table(gym: Gym) -> None:
    result = gym("tasks", "--env", "place")
    title, *rows = result.out.splitlines()
    assert title.split() == ["TASK_ID", "TOOLS", "TEXT"]
    assert [row.split() for row in rows] == [[str(n + 1), "look", "Question", str(n)] for n in range(3)]
    assert result.status == 0


def test_the_row_tells_its_own_id_and_tools(gym: Gym) -> None:
    rows = gym("tasks", "--env", "lists").out.splitlines()[1:]
    assert [row.split() for row in rows] == [["first", "other", "One"], ["2", "look", "Two"]]


def test_an_endless_environment_is_cut(gym: Gym) -> None:
    result = gym("tasks", "--env", "place:0")
    assert len(result.out.splitlines()) == 21
    assert "the first 20" in result.err
    assert len(gym("tasks", "--env", "place:0", "--limit", "3").out.splitlines()) == 4


def test_json_is_an_input_file(gym: Gym) -> None:
    result = gym("tasks", "--env", "place", "-E", "count=30", "--json")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert len(rows) == 30
    assert rows[4]["task_id"] == "5"
    assert rows[4]["answer"] == 4
    assert rows[4]["responses_create_params"]["input"][0]["content"].startswith("Question")
    assert len(gym("tasks", "--env", "place:0", "--json", "--limit", "2").out.splitlines()) == 2


def test_a_file_is_not_taken_for_an_environment(gym: Gym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sums.csv").write_text("question,answer\n1 + 1?,2\n", "utf-8")
    result = gym("tasks", "--env", "sums.csv")
    assert (result.status, result.out) == (2, "")
    assert "hint: a file of tasks is `--input sums.csv`; `--env qa` takes tables" in result.err


def test_no_tasks_is_said(gym: Gym) -> None:
    result = gym("tasks", "--env", "nothing")
    assert (result.status, result.out) == (0, "")
    assert "ships no tasks" in result.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--env", "plase"), "no environment named 'plase' is installed; did you mean 'place'?"),
        (("--env", "PLACE"), "no environment named 'PLACE' is installed; did you mean 'place'?"),
        (("--env", "place", "-E", "cuont=1"), "place has no option 'cuont' (-E cuont); did you mean 'count'?"),
        (("--env", "place", "-E", "count=x"), "-E count=x: input should be a valid integer"),
        (("--env", "place", "-E", "count"), "-E count: this is no setting"),
        (("--env", "place", "-E", "count=1", "-E", "count=2"), "-E count is given twice"),
        (("--env", "place", "--limit", "0"), "--limit"),
        (("--env", "lists:x"), "lists takes nothing after a colon"),
        (("--env", "wrong"), "gym-wrong: the environment 'wrong': its tasks cannot be listed: RuntimeError: the shelf"),
        (("--env", "bad"), "bad, task 1: `responses_create_params` is missing"),
    ],
)
def test_what_is_wrong_is_said(gym: Gym, arguments: tuple[str, ...], problem: str) -> None:
    result = gym("tasks", *arguments)
    assert result.status == 2
    assert problem in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


def test_rows_before_a_failure_are_printed(gym: Gym) -> None:
    result = gym("tasks", "--env", "wrong", "--json")
    assert result.status == 2
    assert len(result.out.splitlines()) == 1


def test_secrets_of_dotenv_reach_the_environment_and_not_the_output(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE_KEY", "")
    monkeypatch.delenv("PLACE_KEY")
    Path(".env").write_text("PLACE_KEY=very-secret\n")
    for extra in ((), ("--json",)):
        result = gym("tasks", "--env", "place", *extra)
        assert "very-secret" not in result.out
        assert "***" in result.out


@pytest.mark.parametrize(
    ("option", "ids"),
    [((), ["7", "7"]), (("--task-id", "part"), ["a", "b"]), (("--task-id", "line"), ["1", "2"])],
)
def test_what_names_a_task_can_be_chosen(gym: Gym, option: tuple[str, ...], ids: list[str]) -> None:
    rows = gym("tasks", "--env", "several", *option).out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ids
    listed = [json.loads(line) for line in gym("tasks", "--env", "several", "--json", *option).out.splitlines()]
    assert [(row["task_id"], row["big"]) for row in listed] == [(task_id, 2**80) for task_id in ids]


def test_an_audit_names_tasks_as_a_run_does(gym: Gym) -> None:
    assert "[task-id-twice]" in gym("check", "several").out
    assert "[task-id-twice]" not in gym("check", "several", "--task-id", "part").out
    assert "`none` is missing" in gym("check", "several", "--task-id", "none").out
