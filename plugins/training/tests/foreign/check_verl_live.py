"""verl's workers run agent loops on an open gym; runs where both are installed.

The trainer itself needs a GPU. Here are its workers of both versions, with its configuration, tokenizer, encoder,
parser and advantages, and a client that samples by script in place of its servers.
"""

import asyncio
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["WANDB_MODE"] = "disabled"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import tiny
import torch
import verl
from hydra import compose, initialize_config_dir
from tensordict import NonTensorData, NonTensorStack, TensorDict
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.protocol import DataProto
from verl.trainer.ppo.v1 import agent_loop_tq
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories
from verl.workers.rollout.replica import TokenOutput

from gym_core import ResourceServer, Session, Task, UsageError, tool
from gym_training import to_prompts

folder = Path(sys.argv[1])
tokenizer = tiny.tokenizer()
model = folder / "tiny"
tiny.model(model, tokens=260)
tokenizer.save_pretrained(model)


class Office(Session):
    """One tool; the third rollout of each group fails, and so do all but one of those of the task `alone`."""

    @tool
    def look(self, at: str) -> str:
        """Look at something."""
        return f"seen {at}"

    def verify(self, trajectory):
        if self.repeat % 4 == 2 or (self.task.task_id == "alone" and self.repeat):
            raise RuntimeError("the verifier broke")
        return float(self.repeat) if "seen Oslo" in trajectory.output_text else -1.0

    def __init__(self, task, server, context):
        super().__init__(task, server, context)
        self.repeat = context.repeat


class Server(ResourceServer):
    """Some tasks."""

    session_type = Office

    def tasks(self):
        return [Task.ask(f"look, {name}", task_id=name) for name in ("a", "b", "alone")]


class Client:
    """In place of `LLMServerClient`: asks for the tool, then says what it saw. Once it breaks an answer off."""

    def __init__(self):
        self.seen, self.broken = [], False

    async def generate(self, request_id, *, prompt_ids, sampling_params):
        if not self.broken:
            self.broken = True
            return TokenOutput(token_ids=[7], log_probs=[-1.0], stop_reason="aborted")
        text = tokenizer.decode(prompt_ids)
        call = '<tool_call>{"name": "look",  "arguments": {"at": "Oslo"}}</tool_call>'
        said = [*tokenizer.encode("seen Oslo" if "seen Oslo" in text else call), tokenizer.eos_token_id]
        logprobs = [-(place + 1) / 512 for place in range(len(said))]
        self.seen.append((request_id, prompt_ids, said, logprobs, sampling_params))
        return TokenOutput(
            token_ids=said, log_probs=logprobs, stop_reason="completed", extra_fields={"global_steps": 7}
        )


loops = folder / "agent_loops.yaml"
loops.write_text(
    f"- name: gym\n  _target_: gym_training.verl_agent_loop.GymAgentLoop\n  env: {__file__}:Server\n  concurrency: 64\n"
)
with initialize_config_dir(str(Path(verl.__file__).parent / "trainer" / "config"), version_base=None):
    config = compose(
        "ppo_trainer",
        [
            f"actor_rollout_ref.model.path={model}",
            "actor_rollout_ref.rollout.name=vllm",
            "actor_rollout_ref.rollout.n=4",
            "actor_rollout_ref.rollout.calculate_log_probs=true",
            "actor_rollout_ref.rollout.prompt_length=512",
            "actor_rollout_ref.rollout.response_length=512",
            "actor_rollout_ref.rollout.agent.default_agent_loop=gym",
            f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
            "algorithm.adv_estimator=grpo",
        ],
    )
rows = {row["extra_info"]["task_id"]: row for row in to_prompts(Server(None, None).tasks())}


class Queue:
    """In place of the TransferQueue: keeps what is put."""

    def __init__(self):
        self.fields, self.tags = {}, {}

    def init(self):
        pass

    async def async_kv_put(self, key, partition_id, tag):
        self.tags[key] = tag

    async def async_kv_batch_put(self, keys, fields, tags, partition_id):
        for number, key in enumerate(keys):
            self.fields[key] = {name: fields[name][number] for name in fields.keys()}  # noqa: SIM118
            self.tags[key] = tags[number]


async def by_the_queue():
    """The workers of verl's trainer, which take lists of outputs."""
    queue = agent_loop_tq.tq = Queue()
    client = Client()
    worker = agent_loop_tq.AgentLoopWorkerTQ.__ray_metadata__.modified_class(config, client)
    names = [*rows]
    batch = TensorDict({"index": torch.arange(len(names))}, batch_size=len(names))
    batch["uid"] = NonTensorStack(*names)
    batch["raw_prompt"] = NonTensorStack(*([row["prompt"]] for row in rows.values()))
    batch["extra_info"] = NonTensorStack(*(row["extra_info"] for row in rows.values()))
    batch["global_steps"] = NonTensorData(3)
    await worker.generate_sequences(batch)
    await asyncio.gather(*worker.background_tasks)
    assert all(queue.tags[name]["status"] == "finished" for name in names), queue.tags
    assert sorted(queue.fields) == [f"{name}_{number}_0" for name in "ab" for number in (0, 1, 3)]
    for key, one in queue.fields.items():
        mask, ids = one["response_mask"].tolist(), one["responses"].tolist()
        whole = [*one["prompts"].tolist(), *ids]
        turns = {len(seen[1]): seen for seen in client.seen if whole[: len(seen[1])] == seen[1]}  # by prompt
        calls = [turns[length] for length in sorted(turns)]
        assert len(calls) == 2
        assert [token for token, trained in zip(ids, mask, strict=True) if trained] == [*calls[0][2], *calls[1][2]]
        assert 0 in mask, "what the tool said is not trained"
        logprobs = [known for known, trained in zip(one["rollout_log_probs"].tolist(), mask, strict=True) if trained]
        assert np.allclose(logprobs, [*calls[0][3], *calls[1][3]])
        assert one["rm_scores"][-1].item() == float(key.split("_")[1])
        tag = queue.tags[key]
        assert (tag["min_global_steps"], tag["max_global_steps"], tag["global_steps"]) == (7, 7, 3)
    sampling = client.seen[0][4]
    assert sampling["temperature"] == config.actor_rollout_ref.rollout.temperature
    assert sampling["logprobs"] is True
    keys = sorted(queue.fields)
    padded = {
        name: torch.nn.utils.rnn.pad_sequence([queue.fields[key][name] for key in keys], batch_first=True)
        for name in ("response_mask", "rm_scores")
    }
    data = DataProto.from_dict(
        {"response_mask": padded["response_mask"], "token_level_rewards": padded["rm_scores"]},
        {"uid": np.array([key.split("_")[0] for key in keys], dtype=object)},
    )
    made = compute_advantage_for_multi_trajectories(
        data, keys, config.algorithm.adv_estimator, config=config.algorithm, norm_adv_by_std_in_grpo=False
    )
    found = made.batch["advantages"][:, 0].tolist()
    assert np.allclose(found, [score - 4 / 3 for score in (0, 1, 3)] * 2), found


async def by_batch():
    """The workers of verl's first trainer, which take one output, and always one."""
    worker = AgentLoopWorker(config, Client())

    def batch(numbers):
        row = rows["a"]
        many = len(numbers)
        fields = {
            "raw_prompt": [row["prompt"]] * many,
            "extra_info": [row["extra_info"]] * many,
            "uid": ["a"] * many,
            "index": [*numbers],
        }
        arrays = {}
        for name, values in fields.items():
            arrays[name] = np.empty(many, dtype=object)
            arrays[name][:] = values
        return DataProto(batch=None, non_tensor_batch=arrays, meta_info={"global_steps": 5})

    made = await worker.generate_sequences(batch(range(2)))
    assert made.batch["rm_scores"].sum(1).tolist() == [0.0, 1.0]
    assert made.batch["response_mask"].sum().item() > 0
    assert made.non_tensor_batch["__num_turns__"].tolist() == [4, 4]
    assert made.non_tensor_batch["status"].tolist() == ["completed"] * 2
    failed = await asyncio.gather(worker.generate_sequences(batch(range(2))), return_exceptions=True)  # repeats 2 and 3
    assert isinstance(failed[0], UsageError), failed
    assert "the verifier broke" in str(failed[0])


async def main():
    from gym_training.verl_agent_loop import GymAgentLoop

    await by_the_queue()
    await GymAgentLoop.close()
    await by_batch()
    await GymAgentLoop.close()


if __name__ == "__main__":
    asyncio.run(main())
    said = "`AgentLoopWorkerTQ` and `AgentLoopWorker` run `GymAgentLoop` without a trainer; failures count in no mean"
    print(json.dumps({"package": f"verl {version('verl')}", "ran": {"verl": said}}))
