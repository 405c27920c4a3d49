"""SmolLM2-135M-Instruct in torch, from the file that the local model runs, and sums of small numbers to learn."""

import os
import random
import re

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gym_core import ResourceServer, Session, Task
from gym_local_model.weights import find_default

SETTINGS = {"steps": 14, "tasks": 8, "repeats": 8, "rate": 2e-5}


class Model(torch.nn.Module):
    """Causal attention alone: prompts of a batch are filled up on the right for training, on the left for sampling."""

    most = 4

    def __init__(self):
        super().__init__()
        torch.set_num_threads(os.cpu_count() or 1)  # of which a model of this size makes use
        file = find_default()
        self.tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        self.model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        self.model.is_quantized = False  # the file is; here its weights are numbers of 32 bits
        self.end = self.tokenizer.eos_token_id

    def forward(self, ids):
        return self.model(input_ids=ids, use_cache=False).logits

    def encode(self, messages):
        return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)

    def decode(self, ids):
        return self.tokenizer.decode(ids)

    @torch.no_grad()
    def sample(self, prompts):
        """The ids that follow each prompt, with the log probability of each. A prompt of several is read once."""
        number = {ids: place for place, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
        width = max(map(len, number))
        step = torch.tensor([[self.end] * (width - len(ids)) + [*ids] for ids in number])
        seen = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in number])
        rows, past, tokens, known = torch.tensor([number[tuple(ids)] for ids in prompts]), None, [], []
        for _ in range(self.most):
            places = (seen.cumsum(1) - 1).clamp(min=0)[:, -step.shape[1] :]
            seen_before = {"cache": past, "use_cache": True}  # which trainers turn off in the configuration
            said = self.model(input_ids=step, attention_mask=seen, position_ids=places, logits_to_keep=1, **seen_before)
            logprobs, past = said.logits[:, -1].log_softmax(-1), said.cache
            if not tokens:  # from here on, each has an answer of its own
                past.batch_select_indices(rows)
                logprobs, seen = logprobs[rows], seen[rows]
            step = logprobs.exp().multinomial(1)
            tokens.append(step)
            known.append(logprobs.gather(1, step))
            if (torch.cat(tokens, 1) == self.end).any(1).all():
                break
            seen = torch.cat([seen, torch.ones_like(step)], 1)
        answers = zip(torch.cat(tokens, 1).tolist(), torch.cat(known, 1).tolist(), strict=True)
        sizes = ((ids, logprobs, [*ids, self.end].index(self.end) + 1) for ids, logprobs in answers)
        return [(ids[:size], logprobs[:size]) for ids, logprobs, size in sizes]


class Add(Session):
    """The last number of the answer is the sum."""

    def verify(self, trajectory):
        numbers = re.findall(r"\d+", trajectory.output_text)
        return float(bool(numbers) and int(numbers[-1]) == self.task["sum"])


class Server(ResourceServer):
    """Eight sums, after one that shows how to answer."""

    session_type = Add

    def tasks(self):
        shown = [("system", "Add."), ("user", "2 + 5 ="), ("assistant", "7")]
        for number in range(8):
            a, b = random.Random(number).choices(range(1, 10), k=2)
            asked = [{"role": role, "content": text} for role, text in [*shown, ("user", f"{a} + {b} =")]]
            yield Task({"task_id": f"sum-{number}", "sum": a + b, "responses_create_params": {"input": asked}})
