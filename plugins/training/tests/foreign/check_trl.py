"""A step of each trainer of TRL on what gym exports; runs where TRL is installed."""

import json
import os
import sys
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import tiny
import trl
from datasets import Dataset, load_dataset

folder = Path(sys.argv[1])
ran = {}


def config(cls, name: str, **settings):
    return cls(
        output_dir=str(folder / f"trained-{name}"),
        max_steps=1,
        per_device_train_batch_size=2,
        **tiny.ON_CPU,
        **settings,
    )


def loaded(name: str) -> Dataset:
    """The rows of a format."""
    return load_dataset(
        "parquet", data_files=str(folder / f"{name}.parquet"), split="train", cache_dir=str(folder / "cache")
    )


calls = [call for row in loaded("sft") for message in row["messages"] for call in message["tool_calls"] or []]
assert {json.dumps(call["function"]["arguments"], sort_keys=True) for call in calls} == {
    '{"at": "Oslo"}',
    '{"deep": true, "id": 7}',
}, "an object, and nothing of another call in it"

trainer = trl.SFTTrainer(
    tiny.model(folder / "tiny"),
    config(trl.SFTConfig, "sft"),
    train_dataset=loaded("sft"),
    processing_class=tiny.tokenizer(),
)
assert trainer.train().global_step == 1
ran["sft"] = "`SFTTrainer`, a step"

trainer = trl.DPOTrainer(
    tiny.model(folder / "tiny"),
    None,
    config(trl.DPOConfig, "dpo"),
    train_dataset=loaded("preference"),
    processing_class=tiny.tokenizer(),
)
assert trainer.train().global_step == 1
ran["preference"] = "`DPOTrainer`, a step"

try:
    from trl.experimental.kto import KTOConfig, KTOTrainer
except ImportError:
    from trl import KTOConfig, KTOTrainer
trainer = KTOTrainer(
    tiny.model(folder / "tiny"),
    None,
    config(KTOConfig, "kto"),
    train_dataset=loaded("kto"),
    processing_class=tiny.tokenizer(),
)
assert trainer.train().global_step == 1
ran["kto"] = "`KTOTrainer`, a step"

rows = [json.loads(line) for line in (folder / "trl.jsonl").read_text().splitlines()]
failed = [row for row in rows if row["reward"] is None]
assert failed, "a failure without a reward is among them"
batch = [failed[0], *{row["reward"]: row for row in rows if row["reward"] is not None}.values()][:4]
assert len({row["reward"] for row in batch}) == 4
asked: list[list[float | None]] = []


def rollout_func(prompts, trainer):
    fields = ("prompt_ids", "completion_ids", "logprobs", "env_mask", "reward")
    return {name: [row[name] for row in batch] for name in fields}


def reward(completions, reward, **others):
    asked.append(reward)
    return reward


prompts = loaded("prompts").select_columns(["prompt"])
trainer = trl.GRPOTrainer(
    tiny.model(folder / "tiny"),
    reward,
    config(trl.GRPOConfig, "grpo", num_generations=4, gradient_accumulation_steps=2, max_completion_length=8),
    train_dataset=prompts,
    processing_class=tiny.tokenizer(),
    rollout_func=rollout_func,
)
assert trainer.train().global_step == 1
assert asked
assert None in asked[0]
found = trainer.state.log_history[0]
known = [row["reward"] for row in batch if row["reward"] is not None]
assert abs(found["reward"] - sum(known) / len(known)) < 1e-5, (found, known)
ran["trl"] = "`GRPOTrainer(rollout_func=...)`, a step; a failure counts in no mean"
ran["prompts"] = "`GRPOTrainer`, as its prompts"
print(json.dumps({"package": f"trl {trl.__version__}", "ran": ran}))
