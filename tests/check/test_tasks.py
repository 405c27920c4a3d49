"""Tasks and tools that are not as they should be."""

from __future__ import annotations

from typing import Any

import pytest

from gym_check.audit.finding import Severity
from gym_check.audit.strings import EVERYTHING, strings_of
from gym_testing.checks.tool_schemas import arguments_for, tool_problems
from tests.check.conftest import AuditCode, found, ids

NONE = {"type": "object", "properties": {}}
ZERO = """
class One(Session):
    def verify(self, trajectory):
        return 0.0

"""


@pytest.mark.parametrize(
    ("task", "id", "problem"),
    [
        ("Task({'question': '?'})", "task-malformed", "task 2: `responses_create_params` is missing"),
        ("Task.ask('x', task_id='first')", "task-id-twice", "tasks 1 and 2 are both `first`"),
        ("Task.ask('x', when=object())", "task-not-json", "task 2: the field `when` is no plain JSON"),
        ("Task.ask('x', pair=(1, 2))", "task-not-json", "the field `pair` is no plain JSON: (1, 2)"),
        ("Task({'responses_create_params': {'input': []}})", "task-request", "its input is empty"),
        ("Task.ask('  ')", "task-request", "its prompt says nothing"),
        (
            "Task({'responses_create_params': {'input': [{'role': 'robot', 'content': 'x'}]}})",
            "task-request",
            "'robot'",
        ),
        ("Task({'responses_create_params': {'input': [{'role': 'user'}]}})", "task-request", "neither text nor"),
        ("7", "task-malformed", "task 2: a task must be a JSON object"),
    ],
)
def test_a_broken_task_is_found_and_the_others_are_tried(audit: AuditCode, task: str, id: str, problem: str) -> None:
    report = audit(f"{ZERO}TASKS = [Task.ask('Fine.', task_id='first'), {task}, Task.ask('Fine, too.')]\n")
    finding = found(report, id)
    assert finding.severity is Severity.ERROR
    assert problem in finding.message
    assert report.tasks == 3
    assert report.policies[0].verdicts == 2


def test_many_broken_tasks_are_one_finding(audit: AuditCode) -> None:
    report = audit(f"{ZERO}TASKS = [{{}}] * 4\n")
    assert found(report, "task-malformed").count == 4
    assert "(and 3 more)" in found(report, "task-malformed").message


def test_repeated_prompts_are_pointed_out(audit: AuditCode) -> None:
    report = audit(f"{ZERO}TASKS = [Task.ask('Same.', n=1), Task.ask('Other.'), Task.ask('Same.', n=2)]\n")
    finding = found(report, "prompt-twice")
    assert (finding.severity, finding.count, finding.task_id) == (Severity.WARNING, 1, "3")
    assert "1 of 3 tasks" in finding.message


def test_a_model_of_the_row_is_pointed_out(audit: AuditCode) -> None:
    report = audit(f"{ZERO}TASKS = [Task.ask('Fine.', params={{'model': 'mine'}})]\n")
    assert found(report, "task-names-model").severity is Severity.INFO


def test_no_tasks_are_pointed_out(audit: AuditCode) -> None:
    assert ids(audit(f"{ZERO}TASKS = []\n")) == {"no-tasks"}


def test_a_listing_that_fails_is_found(audit: AuditCode) -> None:
    report = audit(
        ZERO
        + """
class Server(ResourceServer):
    '''Fails.'''

    session_type = One

    def tasks(self):
        yield Task.ask("Fine.")
        raise OSError("the shelf is empty")
"""
    )
    assert "after 1 of them, OSError: the shelf is empty" in found(report, "tasks-fail").message
    assert report.policies[0].verdicts == 1


@pytest.mark.parametrize("body", ["return iter(self.once)", "return [Task.ask(f'Is it {random.random()}?')]"])
def test_a_listing_that_differs_is_pointed_out(audit: AuditCode, body: str) -> None:
    report = audit(
        ZERO
        + f"""
class Server(ResourceServer):
    '''Differs.'''

    session_type = One
    once = iter([Task.ask("Once.")])

    def tasks(self):
        {body}
"""
    )
    assert ids(report) == {"tasks-differ"}


def test_an_endless_asynchronous_listing_is_cut(audit: AuditCode) -> None:
    report = audit(
        ZERO
        + """
class Server(ResourceServer):
    '''Endless.'''

    session_type = One

    async def tasks(self):
        number = 0
        while True:
            yield Task.ask(f"Question {number}?")
            number += 1
""",
        limit=7,
    )
    assert report.tasks == 7
    assert report.findings == []


def test_a_tool_of_the_request_that_the_session_lacks_is_found(audit: AuditCode) -> None:
    tools = "{'tools': [{'type': 'function', 'name': 'other', 'parameters': {}}]}"
    report = audit(f"{ZERO}TASKS = [Task.ask('Fine.', params={tools})]\n")
    assert "has a tool `other` that the environment lacks" in found(report, "setup-fails").message


@pytest.mark.parametrize(
    ("tools", "id"),
    [
        ([{"name": "a b"}], "tool-name"),
        ([{}], "tool-name"),
        ([{"name": "a", "description": "d", "parameters": NONE}] * 2, "tool-twice"),
        ([{"name": "a", "parameters": NONE}], "tool-undescribed"),
        ([{"name": "a", "description": "d"}], "tool-no-parameters"),
        ([{"name": "a", "description": "d", "parameters": NONE, "strict": True}], "tool-strict"),
        ([{"name": "a", "description": "d", "parameters": []}], "tool-schema"),
        ([{"name": "a", "description": "d", "parameters": {"type": "string"}}], "tool-schema"),
        ([{"name": "a", "description": "d", "parameters": {"type": "object", "required": ["x"]}}], "tool-schema"),
        (
            [{"name": "a", "description": "d", "parameters": {**NONE, "items": {"type": "text"}}}],
            "tool-schema",
        ),
        (
            [{"name": "a", "description": "x", "parameters": {**NONE, "properties": {"x": {"$ref": "#/$defs/No"}}}}],
            "tool-schema",
        ),
        ([{"name": "a", "description": "d", "parameters": {"type": "object", "properties": {"x": 1}}}], "tool-schema"),
        (
            [{"name": "a", "description": "x", "parameters": {"type": "object", "properties": {"x": {}}}}],
            "tool-untyped",
        ),
        (
            [
                {
                    "name": "a",
                    "description": "d",
                    "parameters": {"type": "object", "properties": {"x": {"type": "string"}}},
                }
            ],
            "parameter-undescribed",
        ),
    ],
)
def test_an_unsound_tool_is_found(tools: list[dict[str, Any]], id: str) -> None:
    assert [problem.code for problem in tool_problems(tools)] == [id]


def test_tools_of_the_endpoint_are_left_alone() -> None:
    assert list(tool_problems([{"type": "web_search"}])) == []


def test_arguments_fit_their_schema() -> None:
    properties = {
        "text": {"type": "string", "minLength": 9},
        "city": {"type": "string", "description": 'A city, for example "Paris".'},
        "day": {"type": "string", "format": "date"},
        "kind": {"enum": ["small", "large"]},
        "count": {"type": "integer", "minimum": 3, "maximum": 5},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "maybe": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        "many": {"type": "array", "items": {"$ref": "#/$defs/Inner"}, "minItems": 2},
        "usual": {"type": "string", "default": "as ever"},
        "left out": {"type": "string"},
    }
    inner = {"type": "object", "properties": {"fixed": {"const": 4}}, "required": ["fixed"]}
    schema = {"type": "object", "properties": properties, "$defs": {"Inner": inner}, "required": [*properties][:-1]}
    assert arguments_for({"parameters": schema}) == {
        "text": "examplexx",
        "city": "Paris",
        "day": "2026-01-15",
        "kind": "small",
        "count": 3,
        "share": 1,
        "maybe": True,
        "many": [{"fixed": 4}, {"fixed": 4}],
        "usual": "as ever",
    }
    assert arguments_for({}) == {}


def test_a_reference_may_point_anywhere_in_its_schema() -> None:
    properties = {"at": {"$ref": "#/definitions/a~1b"}, "same": {"$ref": "#/properties/at"}}
    schema = {"type": "object", "properties": properties, "required": ["at", "same"]}
    schema["definitions"] = {"a/b": {"type": "integer", "description": "at, and the same"}}
    tool = {"name": "go", "description": "Go to `at`, or the same.", "parameters": schema}
    assert list(tool_problems([tool])) == []
    assert arguments_for(tool) == {"at": 1, "same": 1}


def test_strings_of_a_prompt_are_found_by_place() -> None:
    strings = strings_of('The code is "open sesame", not 12. Say it.\nNumber: 4,5')
    assert strings["text in quotes or brackets 1"] == "open sesame"
    assert (strings["number 1"], strings["number -1"]) == ("12", "4,5")
    assert strings["line 2"] == "Number: 4,5"
    assert strings["text after a colon -1"] == "4,5"
    assert strings["word -2"] == "Number"
    assert "Say it" in strings[EVERYTHING]
    assert strings_of("") == {EVERYTHING: ""}
