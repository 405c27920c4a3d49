"""The example trains: what was recorded is what torch computes again, and rewards rise."""

from __future__ import annotations

import asyncio
import importlib
import random
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

torch: Any = pytest.importorskip("torch", reason="torch is not installed: pip install torch")


def trained(steps: int) -> list[tuple[float, float]]:
    """Mean reward and largest difference of log probabilities, step by step."""
    grpo, letters = importlib.import_module("grpo"), importlib.import_module("letters")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)

    async def work() -> list[tuple[float, float]]:
        settings = {**letters.SETTINGS, "steps": steps}
        return [step async for step in grpo.learn(letters.Model(), letters.Server(), **settings)]

    return asyncio.run(work())


def test_recorded_log_probabilities_are_those_that_torch_computes_again() -> None:
    steps = trained(20)
    assert len(steps) == 20
    differences = [apart for _, apart in steps]
    assert max(differences) < 1e-5
    assert any(differences), "nothing was trained"


@pytest.mark.slow
def test_it_learns_from_nothing() -> None:
    rewards = [reward for reward, _ in trained(100)]
    assert sum(rewards[:5]) / 5 < 0.2
    assert sum(rewards[-5:]) / 5 > 0.7


def test_a_rollout_that_failed_is_no_zero() -> None:
    grpo = importlib.import_module("grpo")

    class Stub:
        def __init__(self, reward: float | None) -> None:
            self.reward = reward

        def sequences(self) -> list[float | None]:
            return [self.reward]

    class Group(list[Stub]):
        @property
        def rewards(self) -> list[float | None]:
            return [one.reward for one in self]

        def reward(self, one: Stub) -> float | None:
            return one.reward

    flat, mixed = Group([Stub(1.0), Stub(1.0), Stub(None)]), Group([Stub(1.0), Stub(0.0), Stub(None)])
    found = [(one, round(float(gain), 2)) for one, gain in grpo.advantages([flat, mixed])]
    assert found == [(1.0, 0.71), (0.0, -0.71)]


def test_the_model_gives_a_token_back_as_it_was_sampled() -> None:
    letters = importlib.import_module("letters")
    model = letters.Model()
    prompts = [model.encode([{"role": "user", "content": letter}]) for letter in "abcd"]
    for prompt, (ids, logprobs) in zip(prompts, model.sample(prompts), strict=True):
        assert len(ids) == len(logprobs) <= model.most
        said = model.decode(ids).removesuffix("\n")
        again = model.encode([{"role": "user", "content": "x"}, {"role": "assistant", "content": said}][1:])
        assert again[1 : 1 + len(said)] == ids[: len(said)]
        assert again[0] == prompt[-1]


def test_samples_of_smollm2_are_what_is_computed_again_where_a_trainer_has_turned_the_cache_off() -> None:
    transformers: Any = pytest.importorskip("transformers", "5.24", reason="it needs transformers 5.24 or later")
    smollm2 = importlib.import_module("smollm2")
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    model = smollm2.Model.__new__(smollm2.Model)
    torch.nn.Module.__init__(model)
    torch.manual_seed(0)
    model.model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, num_attention_heads=2)).eval()
    model.model.config.use_cache = False  # as the Trainer of transformers leaves it
    model.end = 31
    prompts = [[1, 2, 3, 4, 5], [6, 7], [8, 9, 10], [6, 7]]
    for prompt, (ids, logprobs) in zip(prompts, model.sample(prompts), strict=True):
        again = model(torch.tensor([prompt + ids]))[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert [again[place, one].item() for place, one in enumerate(ids)] == pytest.approx(logprobs, abs=1e-5)


def test_what_the_tools_example_shows_solves_its_tasks() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    counter, gym_core = importlib.import_module("counter_gpu"), importlib.import_module("gym_core")

    class Letters:
        end, tools = ord("\n"), dict[str, list[str]]()

        def encode(self, said: Any) -> list[int]:
            return [*map(ord, said if isinstance(said, str) else str(len(said)))]

        def decode(self, ids: list[int]) -> str:
            return "".join(map(chr, ids))

    model, shown = Letters(), [*counter.tasks("shown", 3)]
    model.tokenizer = model  # type: ignore[attr-defined]

    async def work() -> list[Any]:
        async with gym_core.open(model=counter.Script(model, shown), env="stateful_counter") as gym:
            return [await gym.rollout(task) for task in shown]

    rollouts = asyncio.run(work())
    assert [rollout.reward for rollout in rollouts] == [1.0] * len(shown)
    said = "".join(map(chr, (one for one, mask in zip(*sequence_of(rollouts[0]), strict=True) if mask)))
    assert said.endswith("submit\n")


def sequence_of(rollout: Any) -> tuple[list[int], list[int]]:
    """The ids and the mask of the last sequence."""
    last = [*rollout.sequences()][-1]
    return last.ids, last.mask


def test_a_line_of_the_tools_example_is_a_call_only_where_it_is_whole() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    counter = importlib.import_module("counter_gpu")
    tools = {"increment": ["counter", "by"], "submit": []}
    call = counter.call_of("increment red 2", tools, 3)
    assert call["arguments"] == '{"counter": "red", "by": 2}'
    assert counter.line({"function": call}) == "increment red 2"
    texts = ("increment red", "increment red 2 submit", "raise red 2", "", "submit it")
    assert [counter.call_of(text, tools, 3) for text in texts] == [None] * len(texts)


def test_the_curve_is_a_picture(tmp_path: Path) -> None:
    curve = importlib.import_module("curve")
    curve.draw(tmp_path / "c.svg", [0.0, 0.5, 1.0], "rewards")
    root = ElementTree.parse(tmp_path / "c.svg").getroot()
    line = root.find("{http://www.w3.org/2000/svg}polyline")
    assert line is not None
    heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
    assert all(above > below for above, below in pairwise(heights)), "up is better"
