"""Environments of every kind that verifiers before 0.4 offers, as its documentation writes them."""

from __future__ import annotations

import random
from typing import Any

import verifiers as vf
from datasets import Dataset


def last(completion: Any) -> str:
    return (completion[-1]["content"] or "").strip()  # a call of a tool has no text


def exact(completion: Any, answer: str, **kwargs: Any) -> float:
    return float(last(completion) == answer)


def digits(completion: Any, **kwargs: Any) -> float:
    return sum(letter.isdigit() for letter in last(completion)) / 7


def length(completion: Any, **kwargs: Any) -> float:
    return float(len(last(completion)))


def best(completions: Any, **kwargs: Any) -> list[float]:
    lengths = [len(last(one)) for one in completions]
    return [float(one == max(lengths)) for one in lengths]


def calls(completion: Any, **kwargs: Any) -> float:
    return 0.1 * sum(len(getattr(one, "tool_calls", None) or ()) for one in completion)


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: One.
        b: The other.
    """
    return a + b


async def divide(a: int, b: int) -> float:
    """Divide one number by another."""
    return a / b


class Guess(vf.MultiTurnEnv):
    async def setup_state(self, state: Any) -> Any:
        state["tries"] = 0
        return state

    @vf.stop
    async def found(self, state: Any) -> bool:
        return bool(state.get("found", False))

    async def env_response(self, messages: Any, state: Any, **kwargs: Any) -> Any:
        state["tries"] += 1
        said = last(messages)
        state["found"] = said == state["answer"]
        if state["found"]:
            state["final_env_response"] = [vf.UserMessage(content="Right.")]
        return [vf.UserMessage(content="Higher." if said < state["answer"] else "Lower.")]


def tries(state: Any, **kwargs: Any) -> float:
    return 1.0 / (1 + state["tries"])


class Account(vf.StatefulToolEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(tools=[], **kwargs)
        self.add_tool(self.pay, args_to_skip=["state"])

    async def setup_state(self, state: Any) -> Any:
        state["paid"] = 0
        return await super().setup_state(state)

    def update_tool_args(self, tool_name: str, tool_args: Any, messages: Any, state: Any, **kwargs: Any) -> Any:
        return {**tool_args, "state": state}

    async def pay(self, amount: int, state: Any) -> str:
        """Pay an amount into the account."""
        state["paid"] += amount
        return f"The account holds {state['paid']}."


def paid(state: Any, **kwargs: Any) -> float:
    return float(state["paid"])


async def judged(judge: Any, prompt: Any, completion: Any, answer: str, state: Any) -> float:
    return len(await judge(prompt, completion, answer, state)) / 10


def rubric_of(*funcs: Any, **settings: Any) -> Any:
    return vf.Rubric(funcs=[*funcs], **settings)


def rows(count: int = 3) -> Any:
    return Dataset.from_list([{"question": f"Say {number}.", "answer": str(number)} for number in range(count)])


def load_environment(kind: str) -> Any:
    return globals()[f"make_{kind}"]()


def make_single() -> Any:
    return vf.SingleTurnEnv(
        dataset=rows(), system_prompt="Be short.", rubric=rubric_of(exact, length, weights=[1.0, 0.0])
    )


def make_few_shot() -> Any:
    shots = [{"role": "user", "content": "Say 7."}, {"role": "assistant", "content": "7"}]
    return vf.SingleTurnEnv(dataset=rows(), system_prompt="Be short.", few_shot=shots, rubric=rubric_of(exact, digits))


def make_sampling() -> Any:
    return vf.SingleTurnEnv(
        dataset=rows(), sampling_args={"temperature": 0.25, "max_tokens": 33}, rubric=rubric_of(digits)
    )


def make_xml() -> Any:
    parser = vf.XMLParser(["think", "answer"], answer_field="answer")

    def parsed(completion: Any, answer: str, **kwargs: Any) -> float:
        return float(parser.parse_answer(completion) == answer)

    rubric = rubric_of(parsed, parser.get_format_reward_func(), weights=[0.7, 0.3], parser=parser)
    return vf.SingleTurnEnv(dataset=rows(), parser=parser, rubric=rubric)


def make_think() -> Any:
    parser = vf.ThinkParser(extract_fn=vf.extract_boxed_answer)

    def boxed(completion: Any, answer: str, **kwargs: Any) -> float:
        return float(parser.parse_answer(completion) == answer)

    rubric = rubric_of(boxed, parser.get_format_reward_func(), weights=[1.0, 0.2], parser=parser)
    return vf.SingleTurnEnv(dataset=rows(), parser=parser, rubric=rubric)


def make_rubrics() -> Any:
    rubric = vf.RubricGroup([rubric_of(exact, weights=[0.1]), rubric_of(digits, weights=[0.7])])
    return vf.SingleTurnEnv(dataset=rows(), rubric=rubric)


def make_multi() -> Any:
    return Guess(dataset=rows(), max_turns=4, rubric=rubric_of(exact, tries, weights=[1.0, 0.3]))


def make_tools() -> Any:
    rubric = rubric_of(exact, calls)
    return vf.ToolEnv(dataset=rows(), tools=[add, divide], max_turns=4, rubric=rubric)


def make_stateful() -> Any:
    return Account(dataset=rows(), max_turns=5, rubric=rubric_of(paid, digits))


def make_messages() -> Any:
    generator = random.Random(4)
    given = [
        {
            "prompt": [
                {"role": "system", "content": "Count."},
                {"role": "user", "content": f"How many: {'x' * number}?"},
            ],
            "answer": str(number),
            "info": {"weight": generator.random(), "list": [1, None]},
        }
        for number in range(3)
    ]

    def weighed(completion: Any, answer: str, info: Any, **kwargs: Any) -> float:
        return float(info["weight"]) * (1.0 + (last(completion) == answer))

    return vf.SingleTurnEnv(dataset=Dataset.from_list(given), rubric=rubric_of(weighed))


def make_group() -> Any:
    return vf.SingleTurnEnv(dataset=rows(), rubric=rubric_of(exact, best, digits, weights=[0.5, 1.0, 0.3]))


def make_group_of_turns() -> Any:
    return Guess(dataset=rows(), max_turns=3, rubric=rubric_of(best, tries, weights=[1.0, 0.3]))


def make_judge() -> Any:
    rubric = vf.JudgeRubric(judge_model="judge", judge_sampling_args={"temperature": 0.0})
    rubric.add_reward_func(judged)
    return vf.SingleTurnEnv(dataset=rows(), rubric=rubric)


def make_environments() -> Any:
    return vf.EnvGroup(envs=[make_single(), make_tools(), make_multi()], env_names=["single", "tools", "multi"])


def make_reasoning() -> Any:
    return vf.ReasoningGymEnv(gym="gcd", num_train_examples=1, num_eval_examples=3, seed=3)
