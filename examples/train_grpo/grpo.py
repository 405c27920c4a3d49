"""GRPO on a CPU, without a trainer: gym collects, torch trains, and the policy is a model backend of this process."""

import argparse
import asyncio
import random
import time

import torch
from curve import draw, smoothed
from letters import padded

import gym_core
from gym_chat import chat_request
from gym_core import ComponentContext, ModelBackend, Response, Tokens


class Policy(ModelBackend):
    """Samples for all rollouts that wait, at once, and says which tokens those were."""

    def __init__(self, model):
        super().__init__(context=ComponentContext(name="policy"))
        self.model, self.waiting, self.turn = model, [], asyncio.Lock()

    async def respond(self, request, context):
        prompt, found = self.model.encode(chat_request(request.body)["messages"]), []
        self.waiting.append((prompt, found))
        await asyncio.sleep(0.002)  # for the others of this moment
        async with self.turn:
            if not found:
                batch = [*self.waiting]
                sampled = await asyncio.to_thread(self.model.sample, [prompt for prompt, _ in batch])
                del self.waiting[: len(batch)]
                for (_, place), one in zip(batch, sampled, strict=True):
                    place += one
        (ids, logprobs), ended = found, found[0][-1] == self.model.end
        text = {"type": "output_text", "text": self.model.decode(ids[:-1] if ended else ids)}
        cut = {} if ended else {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        output = [{"type": "message", "role": "assistant", "content": [text]}]
        return Response({"output": output, **cut}, Tokens(prompt, ids, logprobs))


def advantages(groups):
    """Every sequence with how much better its rollout did than its group; a rollout that failed is in no group."""
    for group in groups:
        rewards = torch.tensor([reward for reward in group.rewards if reward is not None])
        if len(rewards) > 1 and rewards.std() > 0:
            for rollout in group:
                for sequence in rollout.sequences() if rollout.reward is not None else ():
                    yield sequence, (group.reward(rollout) - rewards.mean()) / (rewards.std() + 1e-4)


def train(model, optimizer, groups, size=64):
    """One step. Returns the largest difference between log probabilities as they were recorded and as they are now."""
    picked, apart = [*advantages(groups)], 0.0
    trained = sum(sum(sequence.mask) for sequence, _ in picked)
    for part in (picked[start : start + size] for start in range(0, len(picked), size)):
        ids, mask, old = (padded([getattr(one, name) for one, _ in part]) for name in ("ids", "mask", "logprobs"))
        gain = torch.stack([advantage for _, advantage in part])[:, None]
        new = model(ids)[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
        mask, old = mask[:, 1:], old[:, 1:]
        apart = max(apart, ((new - old).abs() * mask).max().item())
        ratio = (new - old).exp()
        (-(torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain) * mask).sum() / trained).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return apart


async def learn(model, env, *, steps, tasks, repeats, rate):
    """Yields the mean reward of each step, and what `train` returns."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    async with gym_core.open(model=Policy(model), env=env, concurrency=tasks * repeats) as gym:
        known = [task async for task in gym.tasks()]
        for step in range(steps):
            gym.version = str(step)
            picked = random.sample(known, tasks)
            groups = await asyncio.gather(*(gym.group(task, repeats) for task in picked))
            rewards = [reward for group in groups for reward in group.rewards if reward is not None]
            yield sum(rewards) / max(1, len(rewards)), train(model, optimizer, groups)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=["letters", "smollm2"], default="letters")
    parser.add_argument("--curve", help="an SVG file to draw the rewards into")
    wanted = parser.parse_args()
    torch.set_num_threads(1)  # more are slower for models this small
    torch.manual_seed(0)
    random.seed(0)
    work, started, rewards = __import__(wanted.model), time.perf_counter(), []
    async for reward, apart in learn(work.Model(), work.Server(), **work.SETTINGS):
        rewards.append(reward)
        took = time.perf_counter() - started
        print(f"{len(rewards):4} {took:6.1f} s  reward {smoothed(rewards)[-1]:.3f}  apart {apart:.0e}", flush=True)
    if wanted.curve:
        draw(wanted.curve, rewards, f"mean reward by step, {wanted.model}")


if __name__ == "__main__":
    asyncio.run(main())
