"""The tools and the sampling in force: written once, before the first row that cites them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import UsageError, tool
from gym_core.engine.rollout.row import SharedRequests
from gym_core.errors import BadRequestError
from gym_results.rescoring import open_rescore
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel
from tests.support.running import read_jsonl, run


class Looking(PlainSession):
    """One tool."""

    @tool
    def look(self) -> str:
        """Look around."""
        return "nothing"


def tools_of(output: Path) -> list[dict[str, Any]]:
    return read_jsonl(output.with_name("x.tools.jsonl"))


def cited(output: Path) -> list[str]:
    return [each["rollout"]["request"] for each in read_jsonl(output)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


def test_rollouts_of_the_same_tools_and_sampling_cite_one_line(output: Path) -> None:
    run(ScriptedModel(), env(Looking, 3), output=output, repeats=2)
    (line,) = tools_of(output)
    assert [each["name"] for each in line["tools"]] == ["look"]
    assert line["sampling"] == {}
    assert cited(output) == [line["hash"]] * 6


def test_what_is_asked_and_whose_it_is_is_no_part_of_it(output: Path) -> None:
    asked: list[dict[str, Any]] = [
        {"temperature": 0.5, "instructions": "Be kind.", "metadata": {"n": "1"}},
        {"temperature": 0.5, "metadata": {"n": "2"}, "user": "u"},
        {"temperature": 0.7},
    ]
    file = output.with_name("tasks.jsonl")
    file.write_bytes(
        b"".join(orjson.dumps({"responses_create_params": {"input": "Hello", **each}}) + b"\n" for each in asked)
    )
    run(ScriptedModel(), env(PlainSession), input=file, output=output, concurrency=1)
    one, other = tools_of(output)
    assert one["sampling"] == {"temperature": 0.5}
    assert other["sampling"] == {"temperature": 0.7}
    assert cited(output) == [one["hash"], one["hash"], other["hash"]]


def test_what_the_backend_sets_goes_over_the_request(output: Path) -> None:
    class Hot(ScriptedModel):
        sampling = {"temperature": 1.5, "reasoning": {"effort": "low"}}

    shared = SharedRequests(Hot().describe().sampling)
    (one,) = shared.of({"input": [], "temperature": 0.1, "top_p": 0.9, "reasoning": {"summary": "auto"}})
    assert one.fields["sampling"] == {
        "temperature": 1.5,
        "top_p": 0.9,
        "reasoning": {"summary": "auto", "effort": "low"},
    }


def test_resume_adds_nothing_that_is_there_and_mends_a_torn_line(output: Path) -> None:
    run(ScriptedModel(), env(Looking, 2), output=output)
    file = output.with_name("x.tools.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"hash":"0123')
    run(ScriptedModel(), env(Looking, 2), output=output, mode="resume", repeats=2)
    assert file.read_bytes() == whole
    assert cited(output) == [tools_of(output)[0]["hash"]] * 4
    file.write_bytes(whole[:-3])  # killed within the line: nothing has cited it
    output.write_bytes(b"")
    run(ScriptedModel(), env(Looking, 2), output=output, mode="resume", repeats=2)
    assert file.read_bytes() == whole


def test_overwrite_begins_anew(output: Path) -> None:
    run(ScriptedModel(), env(Looking), output=output)
    run(ScriptedModel(), env(PlainSession), output=output, mode="overwrite")
    (line,) = tools_of(output)
    assert line["tools"] == []


def test_a_line_is_there_before_a_failure_that_is_held_back(output: Path) -> None:
    def answer(request: Any, context: Any) -> Any:
        return BadRequestError("refused", status=400) if context.key[0] == "t0" else "done"

    run(ScriptedModel(answer), env(Looking, 3), output=output, concurrency=1)
    failures = read_jsonl(output.with_name("x.failures.jsonl"))
    assert {each["rollout"]["request"] for each in [*failures, *read_jsonl(output)]} == {tools_of(output)[0]["hash"]}


@pytest.mark.parametrize("mode", ["overwrite", "resume"])
def test_a_file_of_that_name_that_is_not_ours_is_kept(mode: str, output: Path) -> None:
    file = output.with_name("x.tools.jsonl")
    file.write_text('{"mine": true}\n')
    with pytest.raises(UsageError, match="holds no results of a run"):
        run(ScriptedModel(), env(Looking), output=output, mode=mode)
    with pytest.raises(UsageError, match="exists already"):
        run(ScriptedModel(), env(Looking), output=output)
    assert file.read_text() == '{"mine": true}\n'


@pytest.mark.parametrize("name", ["x.tools.jsonl", ".tools.jsonl"])
def test_its_name_is_no_output(name: str, output: Path) -> None:
    with pytest.raises(UsageError, match="an output file ends in"):
        run(ScriptedModel(), env(Looking), output=output.with_name(name))


def test_a_log_of_that_name_is_refused(output: Path) -> None:
    with pytest.raises(UsageError, match="is a name for a file of the run"):
        run(output=output.with_name("y.jsonl"), log_file=output.with_name("x.tools.jsonl"))


def test_rollouts_of_one_request_need_no_json(output: Path) -> None:
    shared = SharedRequests({})
    tools = [{"type": "function", "name": "look"}]
    first = shared.of({"input": [], "tools": tools, "temperature": 1})
    assert shared.of({"input": ["other"], "tools": tools, "temperature": 1}) is first
    assert shared.of({"input": [], "tools": [*tools, *tools], "temperature": 1}) is not first


def test_a_verification_anew_takes_the_lines_over(output: Path) -> None:
    run(ScriptedModel(), env(Looking, 2), output=output)

    async def main() -> None:
        async with open_rescore(output, env=env(Looking)) as again:
            await again.execute()

    asyncio.run(main())
    there = output.with_name("x.rescored.tools.jsonl")
    assert there.read_bytes() == output.with_name("x.tools.jsonl").read_bytes()
    assert cited(output.with_name("x.rescored.jsonl")) == cited(output)
