"""Tasks as Inspect's documentation writes them, for the tests."""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from inspect_ai import Task, task
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, includes, match, mean, model_graded_qa, scorer
from inspect_ai.solver import (
    Generate,
    Solver,
    TaskState,
    generate,
    multiple_choice,
    self_critique,
    solver,
    system_message,
    use_tools,
)
from inspect_ai.tool import Tool, tool
from inspect_ai.util import sandbox

SAMPLES = [Sample(input=f"What is {n} + 1?", target=str(n + 1), id=f"sum-{n}", metadata={"n": n}) for n in range(2)]


@tool
def add() -> Tool:
    async def execute(x: int, y: int) -> str:
        """Add two numbers.

        Args:
            x: First number.
            y: Second number.
        """
        return str(x + y)

    return execute


@solver
def insisting() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.store.set("mine", state.metadata["n"])
        for _ in range(3):
            state = await generate(state)
            await asyncio.sleep(0.01)
            assert state.store.get("mine") == state.metadata["n"]
            if state.target.text in state.output.completion:
                break
            state.messages.append(ChatMessageUser(content="Try again."))
        return state

    return solve


@solver
def failing() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        raise ValueError("the solver is broken")

    return solve


@solver
def deaf() -> Solver:
    """Passes over what a model call fails with."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        try:
            return await generate(state)
        except Exception:
            return state

    return solve


@solver
def leaving() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        print("on my way out")
        sys.exit(3)

    return solve


@solver
def naming(role: str | None = None) -> Solver:
    """Asks a model of its own choice, which Inspect would ask with the user's key."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state = await generate(state)
        asked = get_model("openai/gpt-4o") if role is None else get_model(role=role, default="anthropic/claude-x")
        state.output.completion = (await asked.generate("What do you say?")).completion
        return state

    return solve


@solver
def writing() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state = await generate(state)
        await sandbox().write_file("answer.txt", state.output.completion)
        state.output.completion = await sandbox().read_file("answer.txt")
        return state

    return solve


@scorer(metrics={"*": [mean()]})
def parts() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value={"right": target.text in state.output.completion, "grade": "P"}, answer="a")

    return score


@scorer(metrics=[accuracy()])
def giving(value: Any) -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        if value == "raise":
            raise KeyError("no such key")
        return Score(value=float("nan") if value == "nan" else value)

    return score


@scorer(metrics=[mean()])
def used_tools() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        said = [one for one in state.messages if one.role == "tool"]
        return Score(value=len(said), answer=" | ".join(f"{one.function}: {one.text}" for one in said))

    return score


@scorer(metrics=[accuracy()])
def asking_the_model() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=(await get_model().generate("Is it right?")).completion)

    return score


@task
def single() -> Task:
    return Task(dataset=SAMPLES, solver=[system_message("Be brief."), generate()], scorer=[match(), includes()])


@task
def tools() -> Task:
    return Task(dataset=SAMPLES, solver=[use_tools(add()), generate()], scorer=includes())


@task
def reacting() -> Task:
    return Task(
        dataset=SAMPLES, solver=react(prompt="Use your tools.", tools=[add()]), scorer=[includes(), used_tools()]
    )


@task
def criticized() -> Task:
    return Task(dataset=SAMPLES, solver=[generate(), self_critique()], scorer=includes())


@task
def turns(limit: int = 20) -> Task:
    return Task(dataset=SAMPLES, solver=insisting(), scorer=includes(), message_limit=limit)


@task
def choices() -> Task:
    sample = Sample(input="Which is even?", choices=["1", "2"], target="B")
    return Task(dataset=[sample], solver=multiple_choice(), scorer=[match(), includes()][:1])


@task
def components() -> Task:
    return Task(dataset=SAMPLES, solver=generate(), scorer=parts())


@task
def valued(value: str = "P") -> Task:
    return Task(dataset=SAMPLES, solver=generate(), scorer=giving(value))


@task
def graded() -> Task:
    return Task(dataset=SAMPLES, solver=generate(), scorer=model_graded_qa())


@task
def named_by_solver(role: str | None = None) -> Task:
    return Task(dataset=SAMPLES, solver=naming(role), scorer=includes())


@task
def named_by_scorer() -> Task:
    return Task(dataset=SAMPLES, solver=generate(), scorer=model_graded_qa(model=get_model("openai/gpt-4o")))


@task
def named_as_a_role() -> Task:
    return Task(
        dataset=SAMPLES,
        solver=generate(),
        scorer=model_graded_qa(model_role="grader"),
        model_roles={"grader": "openai/gpt-4o"},
    )


@task
def printing() -> Task:
    print("loading the task")
    assert not os.environ.get("OPENAI_API_KEY")
    return Task(dataset=SAMPLES, solver=generate(), scorer=includes())


@task
def leaving_at_once() -> Task:
    sys.exit(3)


@task
def scored_by_itself() -> Task:
    return Task(dataset=SAMPLES, solver=generate(), scorer=asking_the_model())


@task
def broken(how: str = "failing") -> Task:
    return Task(
        dataset=SAMPLES, solver={"failing": failing, "deaf": deaf, "leaving": leaving}[how](), scorer=includes()
    )


@task
def boxed(kind: str = "local") -> Task:
    return Task(dataset=SAMPLES, solver=writing(), scorer=includes(), sandbox=kind)


@task
def fetching() -> Task:
    raise ConnectionError("failed to connect to https://data.example/questions.parquet")
