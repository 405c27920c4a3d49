"""The shipped tasks: sound, graded, solvable, and not to be had for less."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from gym_core import Task
from gym_workplace.environment import Workplace, WorkplaceOptions
from gym_workplace.errors import OfficeError
from gym_workplace.generator.desk import Draft
from gym_workplace.generator.office import make_office
from gym_workplace.generator.write import FAMILIES, PER_FAMILY, SEED, make_drafts, office_text, tasks_text

TASKS = list(Workplace().tasks())
MakeAssistant = Callable[..., Any]


def said(task: Task) -> str:
    return str(task.input[0]["content"])


def test_the_files_are_what_the_generator_writes(drafts: list[Draft]) -> None:
    package = files("gym_workplace")
    assert (package / "office.json").read_text(encoding="utf-8") == office_text(SEED)
    assert (package / "tasks.jsonl").read_text(encoding="utf-8") == tasks_text(drafts)


def test_the_command_of_the_readme_writes_more_tasks(tmp_path: Path) -> None:
    output = tmp_path / "more.jsonl"
    command = [sys.executable, "-m", "gym_workplace.generator", "--seed", "8", "--per-family", "2"]
    done = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2 * len(FAMILIES)
    assert done.stdout == f"{len(rows)} tasks written to {output}\n"


def test_there_are_enough_tasks_of_every_kind_and_level() -> None:
    assert len(TASKS) >= 100
    assert Counter(task["kind"] for task in TASKS) == dict.fromkeys(FAMILIES, PER_FAMILY)
    assert len({task.task_id for task in TASKS}) == len({said(task) for task in TASKS}) == len(TASKS)
    steps = Counter(task["steps"] for task in TASKS)
    assert set(steps) == {1, 2, 3, 4, 5, 6}
    assert min(steps.values()) >= 8
    assert [task["steps"] for task in TASKS] == sorted(task["steps"] for task in TASKS)


def test_rows_are_small() -> None:
    assert max(len(json.dumps(task.row)) for task in TASKS) < 4000


def test_levels_choose_among_the_tasks() -> None:
    assert Workplace.choices() == ("all", "easy", "medium", "hard")
    levels = {name: [*Workplace(WorkplaceOptions(level=name)).tasks()] for name in ("easy", "medium", "hard")}
    assert sum(map(len, levels.values())) == len(TASKS)
    for name, tasks in levels.items():
        assert len(tasks) >= 20
        assert {task["level"] for task in tasks} == {name}
        assert [task.index for task in tasks] == list(range(len(tasks)))


def test_the_plan_of_every_task_earns_everything(assistant: MakeAssistant, drafts: list[Draft]) -> None:
    for draft in drafts:
        verdict = assistant(Task(draft.row)).run(draft.plan, draft.answer)
        assert verdict.reward == 1.0, (draft.row["task_id"], verdict)
        assert set(verdict.components.values()) == {1.0}


def test_other_seeds_give_other_tasks_that_can_be_solved_too(assistant: MakeAssistant, drafts: list[Draft]) -> None:
    others = make_drafts(SEED + 1, 12, make_office(SEED))
    assert min(len(said(Task(draft.row))) for draft in others) > 30
    same = {said(Task(draft.row)) for draft in others} & {said(task) for task in TASKS}
    assert len(same) < len(others) / 10
    for draft in others:
        assert assistant(Task(draft.row)).run(draft.plan, draft.answer).reward == 1.0, draft.row["task_id"]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def test_plans_use_nothing_that_was_not_shown_before(assistant: MakeAssistant, drafts: list[Draft]) -> None:
    """Ids and addresses of a plan stand in the instruction or in an earlier answer of a tool."""
    for draft in drafts:
        at = assistant(Task(draft.row))
        for name, arguments in draft.plan:
            shown = said(Task(draft.row)) + " ".join(at.outputs)
            for text in (text for value in arguments.values() for text in _texts(value)):
                if re.fullmatch(r"[cmet]\d{4}|\S+@\S+", text) and name != "search_contacts":
                    assert text in shown, (draft.row["task_id"], name, text)
            at.call(name, **arguments)


def test_every_changing_step_is_needed(assistant: MakeAssistant, drafts: list[Draft]) -> None:
    for draft in drafts:
        for number, (name, _) in enumerate(draft.plan):
            if not name.startswith(("search", "list", "read", "find")):
                plan = [*draft.plan[:number], *draft.plan[number + 1 :]]
                assert assistant(Task(draft.row)).run(plan, draft.answer).reward < 1, (draft.row["task_id"], name)


def refusal(task: Task) -> str:
    return "I am sorry, but I cannot help with that."


def parrot(task: Task) -> str:
    return said(task)


def nothing(task: Task) -> str:
    return ""


def garbage(task: Task) -> str:
    return "yes 42 lorem 9:00 ipsum 2031-05-14 noon Robin Friday three {}[]"


def every_time(task: Task) -> str:
    return " ".join(f"{hour}:{minute}" for hour in range(9, 17) for minute in ("00", "30"))


@pytest.mark.parametrize("policy", [refusal, parrot, nothing, garbage, every_time])
def test_words_alone_earn_next_to_nothing(assistant: MakeAssistant, policy: Callable[[Task], str]) -> None:
    rewards = [assistant(task).judge(policy(task)).reward for task in TASKS]
    assert max(rewards) <= 0.5
    assert sum(rewards) / len(rewards) < 0.02


def _everything(at: Any) -> None:
    """Every change to everything that is there, as far as it can be made."""
    world = at.session.world
    tables = {name: [each.id for each in getattr(world, name)] for name in ("mails", "events", "contacts", "tasks")}
    everybody = [each.email for each in world.contacts]
    wishes: list[tuple[str, dict[str, Any]]] = [("send_mail", {"to": everybody, "subject": "x", "body": "x"})]
    for key in tables["mails"]:
        wishes += [("forward_mail", {"mail_id": key, "to": everybody}), ("reply_mail", {"mail_id": key, "body": "x"})]
        wishes += [("archive_mail", {"mail_id": key}), ("delete_mail", {"mail_id": key})]
    wishes += [("cancel_event", {"event_id": key}) for key in tables["events"]]
    wishes += [("delete_contact", {"contact_id": key}) for key in tables["contacts"]]
    wishes += [("complete_task", {"task_id": key}) for key in tables["tasks"]]
    for name, arguments in wishes:
        try:
            at.call(name, **arguments)
        except OfficeError:
            continue


def test_changing_everything_earns_next_to_nothing(assistant: MakeAssistant, drafts: list[Draft]) -> None:
    for draft in drafts[::5]:
        at = assistant(Task(draft.row))
        at.run(draft.plan)
        _everything(at)
        verdict = at.judge(draft.answer)
        assert verdict.reward < 0.01
        assert verdict.components["harmless"] < 0.01


def test_a_right_result_with_one_change_too_many_is_worth_half(assistant: MakeAssistant, drafts: list[Draft]) -> None:
    for draft in drafts[::3]:
        at = assistant(Task(draft.row))
        at.call("create_task", title="Buy milk")
        verdict = at.run(draft.plan, draft.answer)
        assert verdict.reward == verdict.components["harmless"] == 0.5


def test_answers_do_not_stand_in_the_questions() -> None:
    for task in TASKS:
        for fact in task["expected"].get("answer", []):
            values = fact["value"] if isinstance(fact["value"], list) else [fact["value"]]
            assert not any(value.casefold() in said(task).casefold() for value in values), task
