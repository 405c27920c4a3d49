"""An endpoint that says its tokens: a tokenizer, a chat template with the habits of real ones, and a script."""

from __future__ import annotations

import json
import re
from typing import Any

from gym_core import CallContext, Item, Request, Response, Tokens
from tests.support.models import ScriptedModel

_WORD = re.compile(r"\w+|\W")
_ROLES = {"system": 1, "developer": 1, "user": 2, "tool": 3, "assistant": 4}
_END = 5


class TokenModel(ScriptedModel):
    """A scripted model whose responses come with their tokens.

    `seen`: prompt, sampled ids and log probabilities of each.

    `words`: one id for each word, else for each byte. `splits`: what is sampled is split otherwise than the template's
    encoding splits it. `drops_thinking`, `respaces`: what the template makes of reasoning before the last question, and
    of the JSON of calls. `versions`: of the weights, call by call. `silent`: calls, by number, that say no tokens.
    `models`: who answers, call by call, as the endpoint says it.
    """

    def __init__(
        self,
        *script: Any,
        words: bool = True,
        splits: bool = False,
        drops_thinking: bool = False,
        respaces: bool = False,
        versions: tuple[str | None, ...] = (None,),
        silent: tuple[int, ...] = (),
        models: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(*script, **options)
        self.words, self.splits, self.drops, self.respaces = words, splits, drops_thinking, respaces
        self.versions, self.silent, self.models = versions, silent, models
        self.seen: list[tuple[list[int], list[int], list[float]]] = []
        self._ids: dict[str, int] = {}

    async def respond(self, request: Request, context: CallContext) -> Response:
        """The next turn, with its tokens."""
        response = await super().respond(request, context)
        number = len(self.seen)
        if self.models:
            response.body["model"] = self.models[number]
        prompt = [*self.rendered(request.input), _ROLES["assistant"]]
        sampled = [*(part for item in response.output for part in self._said(item, sampled=True)), _END]
        logprobs = [-(number * 1000 + place + 1) / 1024 for place in range(len(sampled))]
        self.seen.append((prompt, sampled, logprobs))
        if number in self.silent:
            return Response(response.body, Tokens(problem="the reply has no ids"))
        version = self.versions[min(number, len(self.versions) - 1)]
        return Response(response.body, Tokens(prompt, sampled, logprobs, version))

    def rendered(self, items: list[Item]) -> list[int]:
        """A conversation as the chat template writes it."""
        ids: list[int] = []
        asked = max((place for place, item in enumerate(items) if item.get("role") == "user"), default=-1)
        open_, spoke = False, False
        for place, item in enumerate(items):
            assistant = item.get("type") in ("reasoning", "function_call") or item.get("role") == "assistant"
            if open_ and (not assistant or (spoke and item.get("type") != "function_call")):
                ids.append(_END)
                open_ = spoke = False
            if not assistant:
                role = "tool" if item.get("type") == "function_call_output" else item.get("role", "user")
                ids += [_ROLES[role], *self._encoded(_text(item)), _END]
                continue
            if not open_:
                ids.append(_ROLES["assistant"])
                open_ = True
            spoke = spoke or item.get("type") != "reasoning"
            if not (self.drops and item.get("type") == "reasoning" and place < asked):
                ids += self._said(item)
        return [*ids, _END] if open_ else ids

    def _said(self, item: Item, *, sampled: bool = False) -> list[int]:
        text = _text(item)
        if self.respaces and not sampled and item.get("type") == "function_call":
            text = f"{item['name']}({json.dumps(json.loads(item['arguments']), indent=1)})"
        return self._encoded(text, split=sampled and self.splits)

    def _encoded(self, text: str, *, split: bool = False) -> list[int]:
        if not self.words:
            return [16 + byte for byte in text.encode()]
        parts = list(text) if split else _WORD.findall(text)
        return [self._ids.setdefault(part, 300 + len(self._ids)) for part in parts]


def _text(item: Item) -> str:
    if item.get("type") == "function_call":
        return f"{item['name']}({item['arguments']})"
    content = item.get("output", item.get("content"))
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())
