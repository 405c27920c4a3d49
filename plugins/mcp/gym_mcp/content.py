"""Results of tools in both languages: content blocks of MCP, text or content parts of the Responses API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gym_core import encode_json

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock

_DATA = re.compile(r"data:(?P<type>[^;,]+);base64,(?P<data>.*)", re.DOTALL)
_AUDIO_NAMES = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}
_AUDIO_TYPES = {"mp3": "audio/mpeg"}


# From MCP


def as_output(result: CallToolResult) -> Any:
    """A result as the output of a function call: text, or a list of parts where there is more than text.

    The structured content stands in for a text that is lacking: servers send it as text besides.
    """
    blocks = result.content
    if not blocks:
        structured = result.structured_content
        return "" if structured is None else encode_json(structured).decode()
    parts = [_part(block) for block in blocks]
    if all(part["type"] == "input_text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def text_of(result: CallToolResult) -> str:
    """What a result says, without images and the like."""
    return "\n".join(part["text"] for part in map(_part, result.content) if part["type"] == "input_text")


def _part(block: ContentBlock) -> dict[str, Any]:
    if block.type == "text":
        return _text(block.text)
    if block.type == "image":
        return {"type": "input_image", "image_url": f"data:{block.mime_type};base64,{block.data}"}
    if block.type == "audio":
        kind = block.mime_type.partition("/")[2]
        return {"type": "input_audio", "input_audio": {"data": block.data, "format": _AUDIO_NAMES.get(kind, kind)}}
    if block.type == "resource_link":
        return _text(f"{block.title or block.name}: {block.uri}")
    resource = block.resource
    if hasattr(resource, "text"):
        return _text(resource.text)
    kind = resource.mime_type or "application/octet-stream"
    data = f"data:{kind};base64,{resource.blob}"
    if kind.startswith("image/"):
        return {"type": "input_image", "image_url": data}
    name = str(resource.uri).rstrip("/").rpartition("/")[2] or "resource"
    return {"type": "input_file", "filename": name, "file_data": data}


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


# To MCP


def as_blocks(output: str | Sequence[Mapping[str, Any]]) -> list[ContentBlock]:
    """The output of a function call as content blocks. A part that MCP has no block for is sent as JSON text."""
    from mcp.types import TextContent

    if isinstance(output, str):
        return [TextContent(text=output)]
    return [_block(part) for part in output]


def _block(part: Mapping[str, Any]) -> ContentBlock:
    from mcp.types import AudioContent, ImageContent, ResourceLink, TextContent

    kind = part.get("type")
    if kind == "input_text":
        return TextContent(text=str(part.get("text", "")))
    if kind == "input_image" and isinstance(url := part.get("image_url"), str):
        if match := _DATA.fullmatch(url):
            return ImageContent(data=match["data"], mime_type=match["type"])
        return ResourceLink(name="image", uri=url)
    if kind == "input_audio" and isinstance(audio := part.get("input_audio"), Mapping):
        name = str(audio.get("format", ""))
        return AudioContent(data=str(audio.get("data", "")), mime_type=_AUDIO_TYPES.get(name, f"audio/{name}"))
    if kind == "input_file" and (block := _file(part)) is not None:
        return block
    return TextContent(text=encode_json(part).decode())


def _file(part: Mapping[str, Any]) -> ContentBlock | None:
    from mcp.types import BlobResourceContents, EmbeddedResource, ResourceLink

    name = str(part.get("filename") or "file")
    if isinstance(url := part.get("file_url"), str):
        return ResourceLink(name=name, uri=url)
    if match := _DATA.fullmatch(str(part.get("file_data", ""))):
        contents = BlobResourceContents(uri=f"file:///{name}", mime_type=match["type"], blob=match["data"])
        return EmbeddedResource(resource=contents)
    return None
