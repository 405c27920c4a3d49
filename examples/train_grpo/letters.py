"""A model that starts from nothing, and what it learns: to say letters back, over two turns."""

import random

import torch
from torch import nn

from gym_core import ResourceServer, Session, Task, user_message
from gym_core.responses import item_text

SETTINGS = {"steps": 150, "tasks": 16, "repeats": 8, "rate": 1e-3}

SIGNS = " \n><abcdefgh"
"""Padding, the end of a turn, who speaks (user, assistant), and letters: each is a token."""


class Model(nn.Module):
    """A causal transformer of 70,000 parameters, with its chat template."""

    end, most = SIGNS.index("\n"), 2

    def __init__(self, width=64):
        super().__init__()
        self.sign, self.place = nn.Embedding(len(SIGNS), width), nn.Embedding(32, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, len(SIGNS))

    def forward(self, ids):
        size = ids.shape[1]
        causal = nn.Transformer.generate_square_subsequent_mask(size)
        return self.head(self.blocks(self.sign(ids) + self.place(torch.arange(size)), mask=causal, is_causal=True))

    def encode(self, messages):
        text = "".join(f"{'<' if m['role'] == 'assistant' else '>'}{m['content']}\n" for m in messages)
        return [SIGNS.index(sign) for sign in f"{text}<"]

    def decode(self, ids):
        return "".join(SIGNS[number] for number in ids)

    @torch.no_grad()
    def sample(self, prompts):
        """The ids that follow each prompt, with the log probability of each."""
        found = [([], []) for _ in prompts]
        for _ in range(self.most):
            live = [place for place, (ids, _) in enumerate(found) if self.end not in ids]
            if not live:
                break
            whole = [prompts[place] + found[place][0] for place in live]
            logprobs = self(padded(whole))[range(len(live)), [len(ids) - 1 for ids in whole]].log_softmax(-1)
            picked = logprobs.exp().multinomial(1)[:, 0].tolist()
            for place, known, token in zip(live, logprobs, picked, strict=True):
                found[place][0].append(token)
                found[place][1].append(known[token].item())
        return found


def padded(rows):
    """Rows of numbers as one tensor, filled up on the right, where a causal model does not look."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])


class SayBack(Session):
    """The user says a letter, twice."""

    def setup(self):
        self.next = iter(self.task["letters"][1:])

    def reply(self, response):
        return [user_message(letter) for letter in [next(self.next, None)] if letter]

    def verify(self, trajectory):
        said = [item_text(item) for item in trajectory.items if item.get("role") == "assistant"]
        return sum(a == b for a, b in zip(said, self.task["letters"], strict=False)) / len(self.task["letters"])


class Server(ResourceServer):
    """Pairs of letters."""

    session_type = SayBack

    def tasks(self):
        for number in range(400):
            letters = random.Random(number).choices("abcdefgh", k=2)
            yield Task.ask(letters[0], task_id=f"pair-{number}", letters=letters)
