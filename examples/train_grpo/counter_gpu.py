"""SmolLM2 learns to use tools: `stateful_counter`, on a GPU. It prints what it measured, and was NOT RUN so far.

    python examples/train_grpo/counter_gpu.py --steps 60

A model of 135 million parameters writes no JSON worth the name, so a call is a line here: `increment red 2`.
"""

import argparse
import asyncio
import json
import random
import time

import smollm2
import torch
from grpo import Policy, train

import gym_core
from gym_core import Response, chat

ASKED = "Use one tool at a time, as `NAME ARGUMENTS`, and `submit` at the end. Tools:"


class Model(smollm2.Model):
    """Calls as lines: said in the prompt, and found in what was sampled."""

    most = 16

    def __init__(self, device):
        super().__init__()
        self.device, self.spent, self.tools = torch.device(device), 0.0, ()
        self.to(self.device)

    def encode(self, messages):
        functions = [tool["function"] for tool in self.tools]
        lines = [" ".join([one["name"], *one.get("parameters", {}).get("properties", {})]) for one in functions]
        said = [{"role": "system", "content": "\n".join([ASKED, *lines])}]
        for message in messages:
            if message["role"] == "system":
                continue
            text, role = message.get("content") or "", message["role"]
            calls = message.get("tool_calls") or ()
            said.append({"role": "user" if role == "tool" else role, "content": text + "\n".join(map(line, calls))})
        return self.tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)

    def sample(self, prompts):
        started = time.perf_counter()
        with self.device:  # of the tensors that are made here
            found = super().sample(prompts)
        self.spent += time.perf_counter() - started
        return found


def line(call):
    """A call as the model writes it."""
    function = call["function"]
    return " ".join([function["name"], *map(str, json.loads(function["arguments"] or "{}").values())])


def call_of(text, tools, number):
    """The call that a line is, as an item; None for a text."""
    name, *words = text.split() or [""]
    known = {tool["name"]: [*tool.get("parameters", {}).get("properties", {})] for tool in tools}
    if name not in known:
        return None
    values = [int(word) if word.lstrip("-").isdecimal() else word for word in words]
    arguments = json.dumps(dict(zip(known[name], values, strict=False)))
    return {"type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": arguments}


class ToolPolicy(Policy):
    """The policy of `grpo.py`, with tools."""

    async def respond(self, request, context):
        asked, tools = chat.chat_request(request.body), request.body.get("tools") or ()
        self.model.tools = asked.get("tools") or ()  # the same in every task
        said = await super().respond(request, context)
        text = said.output_text
        call = None if "status" in said.body else call_of(text, tools, len(request.input))
        return Response({**said.body, "output": [call]}, said.tokens) if call else said


async def measured(gym, tasks, repeats=4):
    """The mean reward, and how many rollouts failed."""
    groups = await asyncio.gather(*(gym.group(task, repeats) for task in tasks))
    rewards = [reward for group in groups for reward in group.rewards]
    known = [reward for reward in rewards if reward is not None]
    return sum(known) / max(1, len(known)), len(rewards) - len(known)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    for name, default in (("steps", 60), ("tasks", 32), ("repeats", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    model, spent = Model(wanted.device), {"training": 0.0}
    optimizer, started = torch.optim.AdamW(model.parameters(), lr=1e-5), time.perf_counter()
    async with gym_core.open(model=ToolPolicy(model), env="stateful_counter", concurrency=1024) as gym:
        known = [task async for task in gym.tasks() if task["kind"] == "set_one"]
        random.shuffle(known)
        held, known = known[: len(known) // 5], known[len(known) // 5 :]
        before = await measured(gym, held)
        for step in range(wanted.steps):
            gym.version = step
            picked = random.sample(known, min(wanted.tasks, len(known)))
            groups = await asyncio.gather(*(gym.group(task, wanted.repeats) for task in picked))
            since = time.perf_counter()
            with model.device:
                apart = train(model, optimizer, groups)
            spent["training"] += time.perf_counter() - since
            rewards = [reward for group in groups for reward in group.rewards if reward is not None]
            print(f"{step:4} reward {sum(rewards) / max(1, len(rewards)):.3f} apart {apart:.0e}", flush=True)
        after = await measured(gym, held)
        rollouts = gym.spent.rollouts
    took = time.perf_counter() - started
    own = took - model.spent - spent["training"]
    print(f"held out: {before[0]:.3f} before, {after[0]:.3f} after, of {len(held)} tasks; {after[1]} rollouts failed")
    print(f"{took / 60:.1f} minutes, {rollouts:,} rollouts; gym {own / took:.1%}, {1000 * own / rollouts:.2f} ms each")


if __name__ == "__main__":
    asyncio.run(main())
