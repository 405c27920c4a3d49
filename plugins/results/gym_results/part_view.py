"""Content parts that are no text, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_part(part: Mapping[str, Any]) -> str | None:
    """A part that is no text in a few words: what it is, its type and its size, or its URL. None where it is text."""
    kind = part.get("type")
    if kind in ("input_image", "image_url"):
        image: Any = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        return _described("image", url if url is not None else part.get("file_id"))
    if kind in ("input_audio", "audio"):
        audio: Any = part.get("input_audio", part.get("audio"))
        if isinstance(audio, Mapping) and isinstance(audio.get("data"), str):
            return f"audio, {audio.get('format')}, {_size(audio['data'])}"
        return "audio"
    if kind in ("input_file", "file"):
        inner: Any = part.get("file")
        file = inner if isinstance(inner, Mapping) else part
        name = file.get("filename")
        said = f"file {name}" if name else "file"
        return _described(
            said, next((file[key] for key in ("file_data", "file_url", "file_id") if file.get(key)), None)
        )
    return None


def shorten_data(text: str) -> str | None:
    """A `data:` URL with its type and size in place of its content; None for any other text."""
    if not text.startswith("data:"):
        return None
    head, comma, data = text.partition(",")
    return f"{head[:100]},… ({_size(data)})" if comma and head.endswith(";base64") else None


def _described(what: str, where: Any) -> str:
    if not isinstance(where, str):
        return what
    head, comma, data = where.partition(",")
    if where.startswith("data:") and comma:
        return f"{what}, {head[5:].partition(';')[0][:100] or 'of no type'}, {_size(data)}"
    return f"{what} {where}" if len(where) <= 300 else f"{what}, {_size(where)}"


def _size(encoded: str) -> str:
    """The size of what base64 says."""
    size = len(encoded) * 3 // 4 - encoded[-2:].count("=")
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
