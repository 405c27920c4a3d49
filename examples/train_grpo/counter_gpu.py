"""SmolLM2 learns to use the tools of `stateful_counter`, on a GPU, and is measured before and after, on held-out tasks.

    python examples/train_grpo/counter_gpu.py --curve curve.svg

A model of 135 million parameters writes no JSON worth the name, so a call is a line here: `increment red 2`. Nor does
it find such a line by chance: it imitates a few scripted rollouts first, until some of its own have a reward.
"""

import argparse
import asyncio
import json
import random
import time

import smollm2
import torch
from curve import draw
from grpo import Policy, train
from letters import padded

import gym_core
from gym_chat import chat_request
from gym_core import Response, Tokens
from gym_stateful_counter.plan import shortest_plan
from gym_stateful_counter.tasks import KINDS

EASY = ("set_one", "clear", "exchange", "shift", "twice")
"""The kinds of tasks that one or two calls solve, at their first level."""

ASKED = "Use one tool at a time, and `submit` when you are done. Tools:"


class Model(smollm2.Model):
    """Calls as lines: said in the prompt, and found in what was sampled."""

    most = 10

    def __init__(self, device):
        super().__init__()
        self.device, self.tools, self.sampling, self.encoding = torch.device(device), {}, 0.0, 0.0
        self.to(self.device)

    def encode(self, messages):
        started = time.thread_time()
        lines = [" ".join([name, *words]) for name, words in self.tools.items()]
        said = [{"role": "system", "content": "\n".join([ASKED, *lines])}]
        for message in messages[1:]:  # after the system's
            text = message.get("content") or "\n".join(map(line, message.get("tool_calls") or ()))
            role = {"tool": "user"}.get(message["role"], message["role"])
            if role == said[-1]["role"]:
                said[-1] = {"role": role, "content": f"{said[-1]['content']}\n{text}"}
            else:
                said.append({"role": role, "content": text})
        ids = super().encode(said)
        self.encoding += time.thread_time() - started
        return ids

    def sample(self, prompts):
        started = time.perf_counter()
        with self.device:  # of the tensors that are made here
            found = super().sample(prompts)
        self.sampling += time.perf_counter() - started
        return found


def line(call):
    """A call as the model writes it."""
    function = call["function"]
    return " ".join([function["name"], *map(str, json.loads(function["arguments"] or "{}").values())])


def tools_of(request):
    """The tools by name, each with the names of its arguments."""
    return {tool["name"]: [*tool["parameters"].get("properties", ())] for tool in request.body["tools"]}


def call_of(text, tools, number):
    """The call that a line is, as an item; None for a text."""
    name, *words = text.split() or [""]
    if name not in tools or len(words) != len(tools[name]):
        return None
    values = [int(word) if word.isdecimal() else word for word in words]
    arguments = json.dumps(dict(zip(tools[name], values, strict=True)))
    return {"type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": arguments}


class ToolPolicy(Policy):
    """The policy of `grpo.py`, with tools."""

    async def respond(self, request, context):
        self.model.tools = tools = tools_of(request)  # the same in every task
        said = await super().respond(request, context)
        call = None if "status" in said.body else call_of(said.output_text, tools, len(request.input))
        return Response({**said.body, "output": [call]}, said.tokens) if call else said


class Script(Policy):
    """Says what solves a task, in the tokens in which the model would say it: rollouts to imitate."""

    def __init__(self, model, shown):
        super().__init__(model)
        self.lines = {}
        for task in shown:
            plan = shortest_plan(task["start"], task["goal"])
            lines = [" ".join([step.tool, *map(str, step.arguments.values())]) for step in plan]
            self.lines[task["task_id"]] = iter([*lines, "submit"])

    async def respond(self, request, context):
        self.model.tools = tools = tools_of(request)
        prompt, text = self.model.encode(chat_request(request.body)["messages"]), next(self.lines[context.key[0]])
        ids = [*self.model.tokenizer.encode(text), self.model.end]
        call = call_of(text, tools, len(request.input))
        return Response({"output": [call]}, Tokens(prompt, ids, [0.0] * len(ids)))


def tasks(name, each):
    """Tasks of the environment's own making, `each` of every kind; another name gives others, if there are as many."""
    for kind in EASY:
        for number in range(each):
            yield KINDS[kind](random.Random(f"{kind} {name} {number}"), 1).to_task(f"{kind}-{name}-{number}", kind)


async def measured(gym, asked, repeats=4):
    """The mean reward by kind, and of all."""
    groups = await asyncio.gather(*(gym.group(task, repeats) for task in asked))
    found = {kind: [] for kind in ("all", *EASY)}
    for task, group in zip(asked, groups, strict=True):
        rewards = [reward for reward in group.rewards if reward is not None]
        found["all"] += rewards
        found[task["kind"]] += rewards
    return {kind: round(sum(rewards) / max(1, len(rewards)), 3) for kind, rewards in found.items()}


def imitated(model, optimizer, sequences):
    """A step towards what was shown."""
    with model.device:
        ids, mask = (padded([getattr(one, name) for one in sequences]) for name in ("ids", "mask"))
        new, mask = model(ids)[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0], mask[:, 1:]
        (-(new * mask).sum() / mask.sum()).backward()
    optimizer.step()
    optimizer.zero_grad()


async def imitate(gym, model, optimizer, enough):
    """Imitates scripted rollouts until the model's own have a mean reward of `enough`, for GRPO to compare."""
    shown = [*tasks("shown", 8)]
    script = Script(model, shown)
    rollouts = await asyncio.gather(*(gym.rollout(task, model=script) for task in shown))
    sequences = [sequence for rollout in rollouts for sequence in rollout.sequences()]
    for step in range(100):
        if step % 4 == 0 and (await measured(gym, shown))["all"] >= enough:
            return step
        await asyncio.to_thread(imitated, model, optimizer, sequences)
    return 100


def trained(model, optimizer, groups):
    """A step of GRPO."""
    with model.device:
        return train(model, optimizer, groups, size=32)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=4.3, help="no step begins later")
    parser.add_argument("--curve", help="an SVG file to draw the rewards into")
    for name, default in (("steps", 100), ("tasks", 32), ("repeats", 16), ("held", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    model, training, curve = Model(wanted.device), 0.0, []
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    known, held = [*tasks("train", 200)], [*tasks("held", wanted.held)]
    opened = {"env": "stateful_counter", "agent_options": {"max_turns": 6}, "concurrency": 1024}
    async with gym_core.open(model=ToolPolicy(model), **opened) as gym:
        started, cpu = time.perf_counter(), time.thread_time()
        print("untrained", await measured(gym, held), flush=True)
        steps = await imitate(gym, model, optimizer, 0.25)
        print(f"after {steps} steps of imitation", await measured(gym, held), flush=True)
        while len(curve) < wanted.steps and time.perf_counter() - started < 60 * wanted.minutes:
            gym.version = str(len(curve))
            picked = random.sample(known, wanted.tasks)
            groups = await asyncio.gather(*(gym.group(task, wanted.repeats) for task in picked))
            since = time.perf_counter()
            apart = await asyncio.to_thread(trained, model, optimizer, groups)
            training += time.perf_counter() - since
            rewards = [reward for group in groups for reward in group.rewards if reward is not None]
            curve.append(sum(rewards) / max(1, len(rewards)))
            took = time.perf_counter() - started
            print(f"{len(curve):4} {took:6.1f} s  reward {curve[-1]:.3f}  apart {apart:.0e}", flush=True)
        print(f"after {len(curve)} steps of GRPO", await measured(gym, held), flush=True)
        took = time.perf_counter() - started
        own = time.thread_time() - cpu - model.encoding  # of this thread, which is gym's but for the templates
        rollouts = gym.spent.rollouts
    shares = {"sampling": model.sampling, "training": training, "templates": model.encoding, "gym": own}
    print(f"{took / 60:.1f} minutes:", ", ".join(f"{name} {spent / took:.1%}" for name, spent in shares.items()))
    print(f"{rollouts:,} rollouts, {1000 * own / rollouts:.2f} ms of gym each")
    if wanted.curve:
        draw(wanted.curve, curve, "mean reward by step, smollm2 with the tools of stateful_counter")


if __name__ == "__main__":
    asyncio.run(main())
