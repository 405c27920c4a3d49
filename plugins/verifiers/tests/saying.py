"""Small environments, written for verifiers before 0.4 as its documentation has them."""

from __future__ import annotations

import sys
from typing import Any

import verifiers as vf
from datasets import Dataset


def last(completion: Any) -> str:
    return (completion[-1]["content"] or "").strip() if completion else ""


def exact(completion: Any, answer: str, **kwargs: Any) -> float:
    return 1.0 if last(completion) == answer else 0.0


def length(completion: Any, **kwargs: Any) -> float:
    return float(len(last(completion)))


def broken(completion: Any, **kwargs: Any) -> float:
    raise KeyError("no such column")


def best(completions: Any, **kwargs: Any) -> Any:
    longest = max(len(last(one)) for one in completions)
    return [float(len(last(one)) == longest) for one in completions]


async def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: One.
        b: The other.
    """
    return a + b


def table(completion: Any, **kwargs: Any) -> dict[str, float]:
    return {"no": 1.0}  # a metric that is no number


asked: list[str] = []


def once(completion: Any, **kwargs: Any) -> Any:
    asked.append(completion[-1]["content"])
    return float(len(completion[-1]["content"])) / 10.0


def pairs(completions: Any, **kwargs: Any) -> list[float]:
    return [1.0 / (len(completions) - 1)] * len(completions)


trouble: list[str] = []


def troubled(completions: Any, **kwargs: Any) -> list[float]:
    if trouble:
        raise OSError(trouble.pop())
    return [0.5] * len(completions)


async def judged(judge: Any, prompt: Any, completion: Any, answer: str, state: Any) -> float:
    said = await judge(prompt, completion, answer, state)
    return float("yes" in said)


class Guess(vf.MultiTurnEnv):  # type: ignore[misc]
    kind = "multi"

    async def setup_state(self, state: Any) -> Any:
        state["tries"] = 0
        return state

    @vf.stop  # type: ignore[untyped-decorator]
    async def found(self, state: Any) -> bool:
        return bool(state.get("found", False))

    async def env_response(self, messages: Any, state: Any, **kwargs: Any) -> Any:
        state["tries"] += 1
        state["found"] = last(messages) == state["answer"]
        if self.kind == "infra":
            raise vf.InfraError("the box is gone")
        return [vf.UserMessage(content="another one")]


def load_environment(kind: str = "single", count: int = 2, riddles: bool = False) -> Any:
    rows = [{"question": f"Say {number}.", "answer": str(number)} for number in range(count)]
    if riddles:  # whose answers do not stand in the questions
        rows = [{"question": f"Say {word}.", "answer": str(number)} for number, word in enumerate(("zero", "one"))]
    data = Dataset.from_list(rows)
    if kind == "single":
        rubric = vf.Rubric(funcs=[exact, length], weights=[1.0, 0.0])
        return vf.SingleTurnEnv(dataset=data, system_prompt="Be short.", rubric=rubric)
    if kind == "broken":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[exact, broken]))
    if kind == "group":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[exact, best], weights=[0.5, 1.0]))
    if kind == "table":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[exact, table], weights=[1.0, 0.0]))
    if kind == "once":
        together: list[Any] = [once, best]
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=together, weights=[1.0, 1.0]))
    if kind == "only":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[best]))
    if kind == "pairs":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[pairs]))
    if kind == "troubled":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[exact, troubled]))
    if kind == "judge":
        rubric = vf.JudgeRubric(judge_model="of-its-own")
        rubric.add_reward_func(judged)
        return vf.SingleTurnEnv(dataset=data, rubric=rubric)
    if kind == "envs":
        both = [load_environment("single", count), load_environment("tool", count)]
        return vf.EnvGroup(envs=both, env_names=["single", "tool"])
    if kind == "tool":
        return vf.ToolEnv(dataset=data, tools=[add], max_turns=4, rubric=vf.Rubric(funcs=[exact]))
    if kind in ("multi", "infra"):
        return Guess(dataset=data, max_turns=3, rubric=vf.Rubric(funcs=[exact]), kind=kind)
    if kind == "exit":
        sys.exit(3)
    if kind == "key":
        import openai

        openai.AsyncOpenAI()
    if kind == "fetch":
        raise ConnectionError("failed to connect to https://data.example/questions.parquet")
    print("a word on standard output")
    return load_environment("single", count)
