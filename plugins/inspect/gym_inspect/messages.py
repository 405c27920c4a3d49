"""Messages, tools and settings of Inspect as items of the Responses API, and answers back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gym_core import Response, TaskFailed

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, GenerateConfig, ModelOutput
    from inspect_ai.tool import ToolChoice, ToolInfo

_SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_output_tokens",
    "stop_seqs": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "top_k": "top_k",
    "top_logprobs": "top_logprobs",
    "parallel_tool_calls": "parallel_tool_calls",
}
_STOPS = {"max_output_tokens": "max_tokens", "context_length": "model_length"}
_STOPS |= dict.fromkeys(("content_filter", "refusal"), "content_filter")


def to_items(messages: Sequence[ChatMessage], said: Mapping[str, list[Any]]) -> list[Any]:
    """A conversation as items. `said`: what a model answered, by the id of the message that was made of it."""
    items: list[Any] = []
    for message in messages:
        if message.role == "assistant":
            items += said.get(message.id or "") or _assistant(message)
        elif message.role == "tool":
            output = f"Error: {message.error.message}" if message.error is not None else message.text
            items.append({"type": "function_call_output", "call_id": message.tool_call_id or "", "output": output})
        else:
            items.append({"role": message.role, "content": _content(message.content)})
    return items


def _assistant(message: Any) -> Iterator[Any]:
    if text := message.text:
        yield {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    for call in message.tool_calls or ():
        arguments = json.dumps(call.arguments)
        yield {"type": "function_call", "call_id": call.id, "name": call.function, "arguments": arguments}


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    if all(part.type == "text" for part in content):
        return "\n".join(part.text for part in content) if len(content) == 1 else [_part(part) for part in content]
    return [_part(part) for part in content]


def _part(part: Any) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "input_text", "text": part.text}
    if part.type == "image":
        return {"type": "input_image", "image_url": part.image, "detail": part.detail}
    raise TaskFailed(f"a message of the task holds {part.type}, which no model here is given", phase="setup")


def to_messages(items: Sequence[Mapping[str, Any]]) -> list[ChatMessage]:
    """Items as messages of Inspect: what was said at once by an assistant is one message."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser
    from inspect_ai.model._call_tools import parse_tool_call

    messages: list[Any] = []
    functions: dict[str, str] = {}
    for item in items:
        kind, role = item.get("type", "message"), item.get("role")
        if kind == "function_call":
            functions[item["call_id"]] = item["name"]
            call = parse_tool_call(item["call_id"], item["name"], item["arguments"], None)
            if not messages or messages[-1].role != "assistant":
                messages.append(ChatMessageAssistant(content=""))
            messages[-1].tool_calls = [*(messages[-1].tool_calls or ()), call]
        elif kind == "function_call_output":
            ident = item["call_id"]
            messages.append(
                ChatMessageTool(content=_text(item["output"]), tool_call_id=ident, function=functions.get(ident))
            )
        elif kind == "message" and role == "assistant":
            messages.append(ChatMessageAssistant(content=_text(item["content"])))
        elif kind == "message":
            made = ChatMessageUser if role == "user" else ChatMessageSystem
            messages.append(made(content=_text(item["content"])))
    return messages


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in content)


def to_settings(tools: Sequence[ToolInfo], choice: ToolChoice, config: GenerateConfig) -> dict[str, Any]:
    """Tools and settings as fields of a request."""
    if (config.num_choices or 1) > 1:
        raise TaskFailed(f"the task wants {config.num_choices} choices of one call", phase="agent")
    body: dict[str, Any] = {}
    for name, field in _SETTINGS.items():
        if (value := getattr(config, name)) is not None:
            body[field] = value
    if config.reasoning_effort is not None:
        body["reasoning"] = {"effort": config.reasoning_effort}
    if (wanted := config.response_schema) is not None:
        schema = wanted.json_schema.model_dump(exclude_none=True, by_alias=True)
        body["text"] = {"format": {"type": "json_schema", "name": wanted.name, "schema": schema}}
    body |= config.extra_body or {}
    if tools:
        body["tools"] = [tool_schema(tool) for tool in tools]
        body["tool_choice"] = {"type": "function", "name": choice.name} if not isinstance(choice, str) else choice
        if choice == "any":
            body["tool_choice"] = "required"
    return body


def tool_schema(tool: ToolInfo) -> dict[str, Any]:
    """A tool as the Responses API has it."""
    parameters = tool.parameters.model_dump(exclude_none=True, by_alias=True)
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": parameters}


def to_output(response: Response, model: str, tools: list[ToolInfo], ident: str) -> ModelOutput:
    """A response as Inspect has it; its message is called `ident`."""
    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ContentReasoning, ContentText, ModelOutput
    from inspect_ai.model._call_tools import parse_tool_call

    calls = [parse_tool_call(one.call_id, one.name, one.arguments, tools) for one in response.function_calls]
    text = response.output_text
    thoughts = [ContentReasoning(reasoning=thought) for thought in _thoughts(response.output)]
    content: Any = [*thoughts, ContentText(text=text)] if thoughts else text
    message = ChatMessageAssistant(id=ident, content=content, tool_calls=calls or None, model=model, source="generate")
    stop: Any = _STOPS.get(str(response.stop_reason), "tool_calls" if calls else "stop")
    return ModelOutput(
        model=model, choices=[ChatCompletionChoice(message=message, stop_reason=stop)], usage=_usage(response)
    )


def _thoughts(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for item in items:
        if item.get("type") == "reasoning":
            for part in (item.get("content") or []) + (item.get("summary") or []):
                if text := part.get("text"):
                    yield str(text)


def _usage(response: Response) -> Any:
    from inspect_ai.model import ModelUsage

    usage = response.usage
    wire = usage.to_wire()
    cached = (wire.get("input_tokens_details") or {}).get("cached_tokens") or 0
    thought = (wire.get("output_tokens_details") or {}).get("reasoning_tokens")
    return ModelUsage(
        input_tokens=usage.input_tokens - cached,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_tokens_cache_read=cached or None,
        reasoning_tokens=thought or None,
    )
