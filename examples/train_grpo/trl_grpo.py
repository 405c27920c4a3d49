"""GRPO with TRL: its GRPOTrainer trains SmolLM2 on rollouts of an open gym, in which the model itself is the policy."""

import asyncio
import sys

from curve import draw
from datasets import Dataset
from grpo import Policy
from smollm2 import Model, Server
from trl import GRPOConfig, GRPOTrainer

import gym_core
from gym_training import trl_rollouts


async def main(steps, curve=None):
    model = Model()
    sizes = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 8, "num_generations": 8}
    settings = {"learning_rate": 2e-5, "lr_scheduler_type": "constant", "gradient_checkpointing": False}
    settings |= {"logging_steps": 1, "report_to": "none"}
    config = GRPOConfig(
        "results/trl", max_steps=steps, use_cpu=True, bf16=False, save_strategy="no", **sizes, **settings
    )
    async with gym_core.open(model=Policy(model), env=Server(), concurrency=64) as gym:
        rollouts = await trl_rollouts(gym, gym.tasks())
        data, tokenizer = Dataset.from_list(rollouts.prompts), model.tokenizer
        trainer = GRPOTrainer(model.model, rollouts.reward, config, data, None, tokenizer, rollout_func=rollouts)
        await asyncio.to_thread(trainer.train)
        print(rollouts.failed, "rollouts failed,", gym.spent.rollouts, "ended")
    if curve:
        rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
        draw(curve, rewards, "mean reward by step, SmolLM2 with TRL")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8, *sys.argv[2:]))
