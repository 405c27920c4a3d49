"""What gym exports as verl's own classes read it; runs where verl is installed."""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.path.insert(0, str(Path(__file__).parent))

import tiny
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.utils.dataset.rl_dataset import RLHFDataset

folder = Path(sys.argv[1])
ran = {}

rows = [json.loads(line) for line in (folder / "verl.jsonl").read_text().splitlines()]
tokens = [json.loads(line) for line in (folder / "tokens.jsonl").read_text().splitlines()]
expected = [row for row in tokens if row["reward"] is not None]
assert len(rows) == len(expected) < len(tokens), "failures are left out"
for row, sample in zip(rows, expected, strict=True):
    output = AgentLoopOutput(**row)
    made = output.as_dict()
    assert [*output.prompt_ids, *output.response_ids] == sample["ids"]
    assert made["response_mask"].tolist() == sample["mask"][len(output.prompt_ids) :]
    assert abs(made["rollout_log_probs"].sum().item() - sum(sample["logprobs"])) < 1e-2
    assert made["rm_scores"][-1].item() == sample["reward"]
ran["verl"] = "`AgentLoopOutput`, and its tensors"

config = OmegaConf.create(
    {
        "prompt_key": "prompt",
        "max_prompt_length": 512,
        "cache_dir": str(folder / "cache"),
        "filter_overlong_prompts": False,
    }
)
data = RLHFDataset(str(folder / "prompts.parquet"), tiny.tokenizer(), config)
assert len(data) == 4
first = data[0]
assert [message["content"] for message in first["raw_prompt"]] == ["Be brief.", "calls please"]
assert first["reward_model"] == {"style": "rule", "ground_truth": "calls"}
assert first["extra_info"]["task_id"] == "calls"
ran["prompts"] = "`RLHFDataset`"
print(json.dumps({"package": f"verl {version('verl')}", "ran": ran}))
