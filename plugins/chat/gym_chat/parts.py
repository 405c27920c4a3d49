"""Content parts: `input_text`, `input_image`, `input_file`, `output_text` <-> `text`, `image_url`, `file`.

`input_audio` is the same in both APIs. Part types that only a server knows (`video_url`, `thinking`) pass through.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias

ToolMedia: TypeAlias = Literal["user", "tool"]
"""Which chat message holds what is no text of a tool's output: the user's that follows, or the tool's own."""

_MEDIA = {"image_url": "image", "file": "file", "input_audio": "audio", "video_url": "video"}
_OUTPUT_ONLY = frozenset({"annotations", "logprobs"})
_RESPONSES_ONLY = ("input_", "output_", "computer_")


def fields_of(wire: Mapping[str, Any], but: Collection[str] = ()) -> dict[str, Any]:
    """The fields of an object that hold something, without some of them."""
    return {name: value for name, value in wire.items() if value is not None and name not in but}


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """An object `{"type": T, ...}` as Chat Completions writes it: `{"type": T, T: {...}}`. Inverse of `flattened`."""
    kind = flat["type"]
    return {"type": kind, kind: {name: value for name, value in flat.items() if name != "type"}}


def chat_content(content: Any) -> Any:
    """The content of a Responses message, or a tool's output, as chat content: text, or a list of parts.

    Raises `ValueError` for a part that Chat Completions cannot carry.
    """
    if isinstance(content, list):
        return [chat_part(part) for part in content]
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    raise ValueError(f"content must be text or a list of parts, not {type(content).__name__}")


def chat_part(part: Any) -> dict[str, Any]:
    """One Responses content part as a chat content part. Raises `ValueError` where there is none."""
    if not isinstance(part, dict):
        raise ValueError("a content part must be an object")
    kind = part.get("type")
    if kind in ("input_text", "output_text"):
        return {**fields_of(part, _OUTPUT_ONLY), "type": "text"}
    fields = fields_of(part)
    if kind == "input_image":
        return _chat_image(fields)
    if kind == "input_file":
        return _chat_file(fields)
    if kind == "input_audio" or not isinstance(kind, str) or not kind.startswith(_RESPONSES_ONLY):
        return fields
    raise ValueError(f"Chat Completions has no content part like `{kind}`")


def text_and_media(content: list[dict[str, Any]], media: list[dict[str, Any]]) -> Any:
    """The content of a tool message without what is no text, which is added to `media`, numbered in both.

    OpenAI and most others take nothing but text in a tool message.
    """
    if all(part.get("type") == "text" for part in content):
        return content
    texts = []
    for part in content:
        kind = part.get("type")
        if kind == "text":
            texts.append(str(part.get("text", "")))
        else:
            label = f"{_MEDIA.get(str(kind), kind)} {len(media) // 2 + 1}"
            texts.append(f"[{label}: see the next message]")
            media += [{"type": "text", "text": f"[{label}]"}, part]
    return "\n".join(texts)


def _chat_image(fields: dict[str, Any]) -> dict[str, Any]:
    if "image_url" not in fields:
        raise ValueError("Chat Completions takes images by `image_url` (a URL or data), not by `file_id`")
    image = {"url": fields.pop("image_url")}
    if "detail" in fields:
        image["detail"] = fields.pop("detail")
    return {**fields, "type": "image_url", "image_url": image}


def _chat_file(fields: dict[str, Any]) -> dict[str, Any]:
    if "file_url" in fields:
        raise ValueError("Chat Completions takes files by `file_data` or `file_id`, not by `file_url`")
    file = {name: fields.pop(name) for name in ("file_data", "file_id", "filename") if name in fields}
    return {**fields, "type": "file", "file": file}


def responses_content(content: Any, text_type: str = "input_text") -> Any:
    """Chat content as the content of a Responses message; text stays text. Inverse of `chat_content`."""
    if isinstance(content, list):
        return [responses_part(part, text_type) for part in content]
    return "" if content is None else content


def responses_part(part: Any, text_type: str = "input_text") -> dict[str, Any]:
    """One chat content part as a Responses content part; `text_type` is what text is called there."""
    if isinstance(part, str):
        part = {"type": "text", "text": part}
    if not isinstance(part, dict):
        raise ValueError("a content part must be an object")
    fields = fields_of(part)
    kind = fields.get("type")
    if kind == "text":
        fields["type"] = text_type
    elif kind == "image_url":
        image = fields.pop("image_url")
        image = image if isinstance(image, dict) else {"url": image}
        fields["type"] = "input_image"
        fields["image_url"] = image.get("url")
        if image.get("detail") is not None:
            fields["detail"] = image["detail"]
    elif kind == "file":
        file = fields.pop("file")
        fields["type"] = "input_file"
        fields.update(fields_of(file))
    return fields
