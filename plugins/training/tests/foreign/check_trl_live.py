"""TRL's GRPOTrainer learns on rollouts of an open gym, one in eight of which fails; runs where both are installed."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import tiny
import torch
import trl
from datasets import Dataset

import gym_core
from gym_chat import chat_request
from gym_core import ComponentContext, ModelBackend, ResourceServer, Response, Session, Task, Tokens
from gym_training import trl_rollouts

folder, steps = Path(sys.argv[1]), 40
torch.manual_seed(0)
torch.set_num_threads(1)
tokenizer, model = tiny.tokenizer(), tiny.model(folder / "tiny", tokens=260)


class Policy(ModelBackend):
    """Four tokens of the model that is trained."""

    async def respond(self, request, context):
        messages = chat_request(request.body)["messages"]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        ids, logprobs = [], []
        for _ in range(4):
            with torch.no_grad():
                known = model(torch.tensor([[*prompt, *ids]])).logits[0, -1].log_softmax(-1)
            ids.append(known.exp().multinomial(1).item())
            logprobs.append(known[ids[-1]].item())
        text = {"type": "output_text", "text": ",".join(map(str, ids))}
        output = [{"type": "message", "role": "assistant", "content": [text]}]
        return Response({"output": output}, Tokens(prompt, ids, logprobs))


class Small(Session):
    """Rewards numbers below 128; every eighth verifier breaks, where a 0 or a 1 would be learned from."""

    count = 0

    def verify(self, trajectory):
        Small.count += 1
        if Small.count % 8 == 0:
            raise RuntimeError("broke")
        return sum(int(number) < 128 for number in trajectory.output_text.split(",")) / 4


class Server(ResourceServer):
    """Four tasks."""

    session_type = Small

    def tasks(self):
        return [Task.ask(f"say {number}", task_id=f"say-{number}") for number in range(4)]


async def main() -> tuple[float, float]:
    async with gym_core.open(
        model=Policy(context=ComponentContext(name="policy")), env=Server(), concurrency=32
    ) as gym:
        rollouts = await trl_rollouts(gym, gym.tasks())
        trainer = trl.GRPOTrainer(
            model,
            rollouts.reward,
            trl.GRPOConfig(
                str(folder / "trained"),
                max_steps=steps,
                per_device_train_batch_size=16,
                num_generations=8,
                learning_rate=3e-2,
                lr_scheduler_type="constant",
                logging_steps=1,
                **tiny.ON_CPU,
            ),
            train_dataset=Dataset.from_list(rollouts.prompts),
            processing_class=tokenizer,
            rollout_func=rollouts,
        )
        started = time.perf_counter()
        await asyncio.to_thread(trainer.train)
        took = time.perf_counter() - started
    history = [line for line in trainer.state.log_history if "reward" in line]
    rewards = [line["reward"] for line in history]
    print("rewards", [round(reward, 2) for reward in rewards], f"{took:.0f} s", file=sys.stderr)
    assert trainer.state.global_step == len(rewards) == steps
    assert rollouts.failed == 16 * steps // 8
    assert all(line["gym/failed"] == 1 / 8 for line in history)
    assert gym.version == str(steps - 1)
    first, last = sum(rewards[:5]) / 5, sum(rewards[-5:]) / 5
    assert last > first + 0.2, (first, last)
    return first, last


first, last = asyncio.run(main())
said = f"`GRPOTrainer(rollout_func=trl_rollouts(...))`, {steps} steps, which learn; failures count in no mean"
print(json.dumps({"package": f"trl {trl.__version__}", "ran": {"trl": said}}))
