"""Tool use for models whose chat template ignores tools. Pure functions, no I/O.

**This is the harness's policy, not the model's.** A model of 135 million parameters neither decides when a tool is due
nor writes a call that can be parsed. So what is measured behind this adapter is the model's choice of function and
arguments and its wording of the answer, under these rules:

1. A call is due after a user message, when the request has function tools and `tool_choice` is not `none`. After a
   tool's result an answer is due.
2. A due call is asked for with the tools in the system prompt, two worked examples of a tool that does not exist, and a
   JSON schema over the tools that the sampler enforces. The reply is a list of calls: one, or several.
3. Of the calls, repetitions are dropped, and those whose text arguments share no word with the conversation: a model
   this small fills a gap with the first name that comes to mind. If none is left, an answer is due instead, unless
   `tool_choice` demands a call.
4. An answer is asked for with the results in words before the question, without braces, which the model would go on to
   imitate as code; and its first words are given ("According to get_weather, the"), so that it neither repeats the
   question nor answers from memory.

A model with a tool template of its own needs none of this.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gym_core import FunctionCall, Item, JsonError, encode_json, parse_json, responses

Message = dict[str, Any]

MAX_CALLS = 4
"""The most calls in one reply."""

_EXAMPLE_TOOL = "get_population(country: string): Return the number of people in a country."
_EXAMPLES = (
    ("How many people live in Chad and in Mali?", ("Chad", "Mali")),
    ("Do more people live in Cuba or in Nepal?", ("Cuba", "Nepal")),
)
_CALL_PROMPT = "Turn the question into function calls, one call for each thing that is asked about."
_ANSWER_PROMPT = "You answer questions in one short sentence, using only the given results."
_PLAIN_PROMPT = "Answer in one short sentence. If the question lacks something, ask for it."


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to send to a chat endpoint: its messages and, when a call is due, the format that the reply must have."""

    messages: list[Message]
    response_format: dict[str, Any] | None = None


def call_is_due(body: Mapping[str, Any]) -> bool:
    """Whether the next thing to ask of the model is a call; `body` is a Responses-API request."""
    if not allowed_tools(body):
        return False
    last: Mapping[str, Any] = next((item for item in reversed(body["input"]) if _kind(item) != "reasoning"), {})
    return _kind(last) == "message" and last.get("role") == "user"


def call_is_required(body: Mapping[str, Any]) -> bool:
    """Whether `tool_choice` demands a call."""
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping):
        return choice.get("type") == "function" or choice.get("mode") == "required"
    return choice == "required"


def allowed_tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The function tools of a request that its `tool_choice` leaves."""
    choice = body.get("tool_choice")
    tools = [tool for tool in body.get("tools") or () if tool.get("type", "function") == "function"]
    if choice == "none":
        return []
    if isinstance(choice, Mapping):
        named: Any = choice.get("tools") or [choice]
        names = {_function(tool).get("name") for tool in named if isinstance(tool, Mapping)}
        tools = [tool for tool in tools if _function(tool).get("name") in names]
    return tools


def call_prompt(body: Mapping[str, Any]) -> Prompt:
    """The prompt that asks for calls."""
    tools = [_function(tool) for tool in allowed_tools(body)]
    listed = "\n".join(f"- {line}" for line in (_EXAMPLE_TOOL, *map(_signature, tools)))
    system = "\n\n".join([*_system_texts(body), f"{_CALL_PROMPT}\n\nFunctions:\n{listed}"])
    messages: list[Message] = [{"role": "system", "content": system}]
    for question, countries in _EXAMPLES:
        calls = [{"name": "get_population", "arguments": {"country": country}} for country in countries]
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": json.dumps(calls)}]
    messages += _conversation(body["input"])
    most = 1 if body.get("parallel_tool_calls") is False else MAX_CALLS
    each = [_call_schema(tool) for tool in tools]
    schema = {
        "type": "array",
        "items": each[0] if len(each) == 1 else {"anyOf": each},
        "minItems": 1,
        "maxItems": most,
    }
    form = {"type": "json_schema", "json_schema": {"name": "calls", "schema": schema, "strict": True}}
    return Prompt(messages, form)


def answer_prompt(body: Mapping[str, Any]) -> Prompt:
    """The prompt that asks for an answer: from the results since the last question, where there are any."""
    items: Sequence[Item] = body["input"]
    last = max((i for i, item in enumerate(items) if item.get("role") == "user"), default=-1)
    results = _results(items[last + 1 :])
    texts = _system_texts(body)
    messages: list[Message] = []
    if not results or last < 0:
        # Without a word on how to answer, some templates put in their own, and a small model then rambles.
        messages.append({"role": "system", "content": "\n\n".join(texts) or _PLAIN_PROMPT})
        return Prompt([*messages, *_conversation(items)])
    messages.append({"role": "system", "content": "\n\n".join([*texts, _ANSWER_PROMPT])})
    messages += _conversation(items[:last])
    question = responses.item_text(items[last])
    messages.append({"role": "user", "content": "\n".join(results) + f"\n\n{question}"})
    names = dict.fromkeys(str(item.get("name")) for item in items[last + 1 :] if _kind(item) == "function_call")
    messages.append({"role": "assistant", "content": f"According to {' and '.join(names) or 'the results'}, the"})
    return Prompt(messages)


def calls_in(text: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of a reply, as `{"name": str, "arguments": {...}}`, by rule 3.

    Text that is no list of calls (cut off at the token limit, say) gives no calls.
    """
    try:
        found = parse_json(text)
        encode_json(found)  # a text may nest deeper than it can be written again
    except JsonError:
        return []
    calls: list[dict[str, Any]] = []
    for call in found if isinstance(found, list) else ():
        whole = isinstance(call, Mapping) and isinstance(call.get("arguments"), Mapping)
        if whole and call.get("name") and isinstance(call["name"], str) and call not in calls:
            calls.append(dict(call))
    known = _words(_spoken(body["input"]))
    grounded = [call for call in calls if _is_grounded(call["arguments"], known)]
    return grounded or (calls[:1] if call_is_required(body) else [])


def call_items(calls: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> list[Item]:
    """Calls as `function_call` items. Their ids are made from the conversation: the same request gives the same ids."""
    seen = encode_json(body["input"], fallback=str)
    stem = hashlib.sha256(seen).hexdigest()[:20]
    return [
        {
            "type": "function_call",
            "id": f"fc_{stem}{index}",
            "call_id": f"call_{stem}{index}",
            "name": call["name"],
            "arguments": encode_json(call["arguments"]).decode(),
            "status": "completed",
        }
        for index, call in enumerate(calls)
    ]


def _kind(item: Mapping[str, Any]) -> str:
    return str(item.get("type") or "message")


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool's definition, flat as in the Responses API or nested as in Chat Completions."""
    nested = tool.get("function")
    return nested if isinstance(nested, Mapping) else tool


def _properties(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters: Any = tool.get("parameters") or {}
    properties = parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _signature(tool: Mapping[str, Any]) -> str:
    properties = _properties(tool)
    arguments = ", ".join(f"{name}: {_type(schema)}" for name, schema in properties.items())
    about = [" ".join(str(tool.get("description") or "").split())]
    about += [
        f"{name}: {' '.join(str(schema['description']).split())}"
        for name, schema in properties.items()
        if isinstance(schema, Mapping) and schema.get("description")
    ]
    return f"{tool.get('name')}({arguments}): " + " ".join(filter(None, about))


def _type(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    if isinstance(schema.get("enum"), list):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kind = schema.get("type", "any")
    return " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _call_schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    given: Any = tool.get("parameters") or {"type": "object", "properties": {}}
    parameters: dict[str, Any] = dict(given)
    definitions: dict[str, Any] = {key: parameters.pop(key) for key in ("$defs", "definitions") if key in parameters}
    if definitions:
        parameters = _inlined(parameters, definitions)
    parameters.setdefault("additionalProperties", False)
    return {
        "type": "object",
        "properties": {"name": {"const": tool.get("name")}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _inlined(schema: Any, definitions: Mapping[str, Any], depth: int = 8) -> Any:
    """A schema with its local references replaced: once nested here they would point nowhere."""
    if isinstance(schema, list):
        return [_inlined(part, definitions, depth) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        _, group, name = reference.split("/", 2) if reference.count("/") >= 2 else ("", "", "")
        target = (definitions.get(group) or {}).get(name, {})
        # A recursive schema has to end somewhere; below that depth anything goes.
        return _inlined(target, definitions, depth - 1) if depth else {}
    return {key: _inlined(value, definitions, depth) for key, value in schema.items()}


def _system_texts(body: Mapping[str, Any]) -> list[str]:
    instructions = body.get("instructions")
    texts = [instructions] if isinstance(instructions, str) else []
    texts += [responses.item_text(item) for item in body["input"] if item.get("role") in ("system", "developer")]
    return [text for text in texts if text]


def _conversation(items: Iterable[Item]) -> list[Message]:
    """Items as alternating user and assistant messages: calls as the JSON they came from, results in words."""
    messages: list[Message] = []
    items = [*items]
    answered = responses.answered_calls(items)
    for place, item in enumerate(items):
        kind, role, text = _kind(item), item.get("role"), ""
        if kind == "message" and role in ("user", "assistant"):
            text = responses.item_text(item)
        elif kind == "function_call":
            call = {"name": item.get("name"), "arguments": _arguments(item)}
            role, text = "assistant", encode_json([call]).decode()
        elif kind == "function_call_output":
            made = items[answered[place]] if place in answered else None
            role, text = "user", _result(made, item)
        if not text:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n{text}"
        else:
            messages.append({"role": role, "content": text})
    return messages


def _results(items: Iterable[Item]) -> list[str]:
    items = [*items]
    answered = responses.answered_calls(items)
    return [
        _result(items[answered[place]] if place in answered else None, item)
        for place, item in enumerate(items)
        if _kind(item) == "function_call_output"
    ]


def _result(made: Item | None, item: Item) -> str:
    call = "The function" if made is None else _call_text(made)
    output = item.get("output")
    text = output if isinstance(output, str) else responses.item_text({"content": output})
    try:
        words = _in_words(parse_json(text))
    except (JsonError, RecursionError):
        words = text
    return f"{call} returned {words}"


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_in_words(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "; ".join(map(_in_words, value))
    return value if isinstance(value, str) else encode_json(value).decode()


def _arguments(item: Item) -> dict[str, Any]:
    try:
        arguments = FunctionCall(item).parsed()
        encode_json(arguments)
    except ValueError:  # JsonError among them
        return {}
    return arguments


def _call_text(item: Item) -> str:
    inside = ", ".join(f"{name}={_in_words(value)}" for name, value in _arguments(item).items())
    return f"{item.get('name')}({inside})"


def _spoken(items: Iterable[Item]) -> str:
    return "\n".join(
        responses.item_text(item) if _kind(item) == "message" else str(item.get("output") or "") for item in items
    )


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _is_grounded(arguments: Mapping[str, Any], known: set[str]) -> bool:
    texts = [value for value in arguments.values() if isinstance(value, str)]
    # Words of one or two letters ("in", "of", "a", "2") are in every conversation.
    words = [{word for word in _words(text) if len(word) > 2} or _words(text) for text in texts]
    return all(not found or found & known for found in words)
