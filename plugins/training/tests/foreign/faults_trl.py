"""What environments in TRL's own loop make of faults: `faults_trl.py BASE_URL ROLLOUTS FAULTS [gym]`.

It runs where TRL is installed. The environments are TRL's own, or with `gym` those of a `GymSpec`, for which gym has to
be installed there, too. Groups of four, of which the fault befalls the later two; `benchmarks/false_zeros.py` has the
endpoint of the judge. The model is a tiny one whose answers come from a script: it calls the tool, and then says what
it has to say, or that it cannot where the tool failed, as models do. All else is TRL's.

The last line is JSON: by fault, how many rollouts it befell, how many of those have 0.0 for a reward, and what became
of the training. With `gym`: how many of all rewards are false, and of how many `groups` the mean is not that of the
true rewards, by the advantages that TRL trains on; and of a fault that ends the training, how many rewards came
`before` it, which all of that is of.
"""

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import tiny
import torch
import trl
from datasets import Dataset
from trl.chat_template_utils import qwen3_chat_template

URL, ROLLOUTS = sys.argv[1], int(sys.argv[2])
WELL, SIZE, TRUE, BATCH = 2, 4, (0.25, 0.75), 40
FAULTS = json.loads(sys.argv[3])
GYM = sys.argv[4:] == ["gym"]
WAITED = 20
"""Seconds after which a training that does not go on hangs."""

torch.set_num_threads(1)
tokenizer = tiny.tokenizer()
tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"], "eos_token": "<|im_end|>"})
tokenizer.chat_template = qwen3_chat_template
PROMPT = re.compile(r"Group (\d+) of ([^.]+)\.\s+Number (\d+)\.")


def whole(member):
    """All that a member has to say."""
    return f"This is all that member {member} has to say."


class Room:
    """One tool. `count` is how many rollouts have begun, so that each is a member of its group."""

    count = 0
    fault = ""

    def reset(self, **others):
        """Begin as the next member."""
        self.member = Room.count % SIZE
        self.hit = Room.fault if self.member >= WELL else ""
        Room.count += 1
        return f" Number {self.member}."

    def look(self) -> str:
        """Look around, by a program."""
        if self.hit == "time-out":
            time.sleep(3600)
        if self.hit == "killed tool":
            done = subprocess.run(["/bin/sh", "-c", "kill -9 $$; echo seen"], check=False)
            raise RuntimeError(f"the program that looks ended with {done.returncode}")
        return "seen"


class Scripted(trl.GRPOTrainer):
    """A model that says what it is told to. `trained`: the advantages of all, in groups."""

    def _generate_and_score_completions(self, inputs):
        scored = super()._generate_and_score_completions(inputs)
        advantages = scored["advantages"].tolist()
        self.trained += [advantages[start : start + SIZE] for start in range(0, len(advantages), SIZE)]
        return scored

    def _generate_single_turn(self, prompt_ids, *others, **more):
        said = []
        for ids in prompt_ids:
            text = tokenizer.decode(ids)
            answer = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
            if "<tool_response>" in text:
                answer = "I cannot look." if "error" in text else whole(int(PROMPT.search(text)[3]))
            said.append([*tokenizer.encode(answer), tokenizer.eos_token_id])
        return said, None


def rooms(fault, seen):
    """TRL's own environments and a reward function; `seen`: whether the fault befell it, and the reward, of each."""
    Room.count, Room.fault = 0, fault

    def reward(completions, environments, **others):
        rewards = []
        for completion, room in zip(completions, environments, strict=True):
            if room.hit == "raising verifier":
                raise ZeroDivisionError("no tests were found")
            if room.hit == "judge answers 429":
                body = {"model": "judge", "messages": [{"role": "user", "content": "Group 0 of x. Member 2."}]}
                head = {"content-type": "application/json"}
                urllib.request.urlopen(
                    urllib.request.Request(f"{URL}/chat/completions", json.dumps(body).encode(), head)
                )
            rewards.append(TRUE[room.member % 2] if completion[-1]["content"] == whole(room.member) else 0.0)
        seen.extend((room.member, one) for room, one in zip(environments, rewards, strict=True))
        return rewards

    rows = [
        {"prompt": [{"role": "user", "content": f"Group {group} of {fault}."}], "group": group}
        for group in range(ROLLOUTS // (SIZE - WELL))
    ]
    return rows, reward, Room


def gym_rooms(fault, seen, stack):
    """The same of a `GymSpec`."""
    from faulty_gym import spec_of

    output = Path(tempfile.mkdtemp(prefix="faults-gym-")) / "x.jsonl"
    spec = stack.enter_context(spec_of(fault, ROLLOUTS // (SIZE - WELL), output))

    def reward(prompts, completions, environments, **others):
        members = [int(PROMPT.search(prompt[-1]["content"])[3]) for prompt in prompts]
        if fault == "full disk" and seen:
            most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (output.stat().st_size + 500, most))
        rewards = spec.reward(prompts, completions, environments, **others)
        seen.extend(zip(members, rewards, strict=True))
        return rewards

    return spec.prompts, reward, spec.environment_factory


def befallen(fault):
    """Train on the groups of a fault, and look at the rollouts that it befell."""
    seen, ended = [], []
    stack = contextlib.ExitStack()
    rows, reward, factory = gym_rooms(fault, seen, stack) if GYM else rooms(fault, seen)
    folder = tempfile.mkdtemp(prefix="faults-trl-")
    trainer = Scripted(
        tiny.model(Path(folder), tokens=len(tokenizer)),
        reward,
        trl.GRPOConfig(
            folder,
            max_steps=max(len(rows) * SIZE // BATCH, 1),
            per_device_train_batch_size=BATCH,
            num_generations=SIZE,
            max_completion_length=256,
            scale_rewards="none",
            **tiny.ON_CPU,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        environment_factory=factory,
    )
    trainer.trained = []

    def train():
        try:
            trainer.train()
            ended.append("goes on")
        except Exception as error:
            ended.append(f"stops with {type(error).__name__}")

    working = threading.Thread(target=train, daemon=True)
    working.start()
    while working.is_alive():
        before = Room.count, len(seen), trainer.state.global_step
        working.join(WAITED)
        if working.is_alive() and before == (Room.count, len(seen), trainer.state.global_step):
            ended.append(f"hangs: nothing came for {WAITED} s")
            break
    hit = [one for member, one in seen if member >= WELL]
    if GYM:
        return gym_found(fault, seen, trainer.trained, ended[0])
    assert [one for member, one in seen if member < WELL] == [*TRUE] * (len(seen) // SIZE)
    return {"befell": len(hit) or Room.count // 2, "rewards": sum(one == 0.0 for one in hit), "training": ended[0]}


def gym_found(fault, seen, trained, ended):
    """What became of gym's environments."""
    full = fault == "full disk"
    true = [TRUE[member % 2] if full or member < WELL else None for member, _ in seen]
    false = sum(reward is not None and reward != one for (_, reward), one in zip(seen, true, strict=True))
    shifted = 0
    for number, advantages in enumerate(trained):
        place = slice(number * SIZE, (number + 1) * SIZE)
        valid = [one for one in true[place] if one is not None]
        expected = [0.0 if one is None else one - sum(valid) / len(valid) for one in true[place]]
        shifted += any(abs(one - other) > 1e-6 for one, other in zip(advantages, expected, strict=True))
    told = {"false": false, "groups": len(trained), "shifted": shifted, "training": ended}
    if not full:
        return {"befell": len(seen) // 2, **told}
    assert ended.startswith("stops"), ended
    return {"before": len(seen), **told}  # TRL gets no reward of the batch that it befalls


found = {fault: befallen(fault) for fault in FAULTS}
print(json.dumps({"package": f"trl {trl.__version__}", "found": found}), flush=True)
os._exit(0)  # whatever hangs
