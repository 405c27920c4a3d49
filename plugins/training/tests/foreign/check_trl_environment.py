"""TRL's GRPOTrainer trains on environments of gym by `environment_factory`; runs where both are installed.

A tiny model says no tool calls by itself, so its first answers come from a script, as the tokens that a model would
have sampled. All else is TRL's: templates, parsing, the loop of calls, masks, rewards, the step.
"""

import json
import os
import sys
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import tiny
import torch
import trl
from datasets import Dataset
from trl.chat_template_utils import qwen3_chat_template

from gym_core import ResourceServer, Session, Task, tool
from gym_training import GymSpec

folder, STEPS = Path(sys.argv[1]), 2
torch.manual_seed(0)
torch.set_num_threads(1)
tokenizer = tiny.tokenizer()
tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"], "eos_token": "<|im_end|>"})
tokenizer.chat_template = qwen3_chat_template
seen = []


class Office(Session):
    """One tool. Of each group of four one verifier breaks, where a 0 would pull the mean down."""

    def __init__(self, task, server, context):
        super().__init__(task, server, context)
        self.number = context.repeat % 4

    @tool
    def look(self, at: str) -> str:
        """Look at something.

        Args:
            at: What to look at.
        """
        return f"seen {at}"

    def verify(self, trajectory):
        seen.append(trajectory)
        if self.number == 3:
            raise RuntimeError("the verifier broke")
        return 3.0 + self.number


class Server(ResourceServer):
    """Two tasks."""

    session_type = Office

    def tasks(self):
        return [Task.ask(f"look, {name}", task_id=name) for name in "ab"]


class Scripted(trl.GRPOTrainer):
    """Its first answers call the tool; those after a call are the model's own."""

    def _generate_single_turn(self, prompt_ids, images, fields, num_generations, **others):
        ids, logprobs = super()._generate_single_turn(prompt_ids, images, fields, num_generations, **others)
        if "<tool_response>" not in tokenizer.decode(prompt_ids[0]):
            call = '<tool_call>\n{"name": "look", "arguments": {"at": "Oslo"}}\n</tool_call>'
            ids = [[*tokenizer.encode(call), tokenizer.eos_token_id] for _ in ids]
        return ids, logprobs


with GymSpec(env=Server(None, None), agent="simple_agent") as spec:
    trainer = Scripted(
        tiny.model(folder / "tiny", tokens=len(tokenizer)),
        spec.reward,
        trl.GRPOConfig(
            str(folder / "trained"),
            max_steps=STEPS,
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=256,
            logging_steps=1,
            **tiny.ON_CPU,
        ),
        train_dataset=Dataset.from_list(spec.prompts),
        processing_class=tokenizer,
        environment_factory=spec.environment_factory,
    )
    trainer.train()
history = [line for line in trainer.state.log_history if "reward" in line]
assert len(history) == STEPS
for line in history:
    assert abs(line["reward"] - 4.0) < 1e-5, line  # the mean of 3, 4 and 5
    assert line["gym/failed"] == 1 / 4
    assert line["tools/call_frequency"] == 1.0
    assert line["tools/failure_frequency"] == 0.0
assert spec.failed == STEPS * 2
assert all(len(trajectory.tool_calls) == 1 for trajectory in seen)
assert "seen Oslo" in json.dumps(seen[0].items)
said = f"`GRPOTrainer(environment_factory=GymSpec(...).environment_factory)`, {STEPS} steps; failures count in no mean"
print(json.dumps({"package": f"trl {trl.__version__}", "ran": {"trl": said}}))
