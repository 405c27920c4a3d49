"""An observation as content for a model: fields as text, images as image parts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from gym_core import Content, encode_json, image_part, text_part

_BEGINNINGS = {"/9j/": "image/jpeg", "iVBORw0KGgo": "image/png", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""How images in base64 begin."""
_LEAST = 64
"""Characters below which no text is taken for an image."""
_SMALLEST = 8
"""Pixels of a side below which no array is taken for an image: it is a board."""
_COLOURS = {1: 0, 3: 2, 4: 6}
"""PNG's number for so many values of a pixel."""
_SHAPE = "_shape"
"""What the field is called, behind the name of a flat array, that says its shape: as in OpenEnv's Atari."""


def content(observation: Mapping[str, Any]) -> list[Content]:
    """The parts of an observation: one text of all fields that say something, and the images; empty for none.

    An image is base64, a `data:` URL, or pixels: numbers of 0 to 255 by height, width and, perhaps, colour.
    """
    images: list[Content] = []
    fields: dict[str, Any] = {}
    for name, value in observation.items():
        if name == "metadata":  # for those who look at a run, not for who plays
            continue
        flat = _shaped(value, observation.get(name + _SHAPE))
        fields[name] = _without_images(value, images) if flat is None else _put(flat, images)
    said = {name: value for name, value in fields.items() if value not in (None, "", [], {})}
    if len(said) == 1 and isinstance(alone := next(iter(said.values())), str):
        text = alone
    else:
        text = "\n".join(f"{name}: {_text(value)}" for name, value in said.items())
    return [text_part(text), *images] if text else images


def tool_result(observation: Mapping[str, Any]) -> list[Content]:
    """What a tool has answered: the texts and images of an MCP result, or its error; then what else there is to see."""
    error, result = observation.get("error"), observation.get("result")
    others = {name: value for name, value in observation.items() if name not in ("tool_name", "error", "result")}
    blocks = result.get("content") if isinstance(result, Mapping) else None
    if isinstance(error, Mapping):
        parts: list[Content] = [text_part(f"error: {error.get('message')}")]
    elif isinstance(blocks, list):
        parts = [_block(block) for block in blocks if isinstance(block, Mapping)]
    else:
        parts = content({"result": result})
    return [*parts, *content(others)]


def _block(block: Mapping[str, Any]) -> Content:
    if block.get("type") == "image":
        return image_part(f"data:{block.get('mimeType') or 'image/png'};base64,{block.get('data')}")
    text = block.get("text")
    return text_part(text if isinstance(text, str) else encode_json(dict(block)).decode())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode_json(value).decode()


def _put(image: Content, images: list[Content]) -> str:
    images.append(image)
    return f"(image {len(images)})"


def _without_images(value: Any, images: list[Content]) -> Any:
    if isinstance(value, str):
        url = _image_url(value)
        return value if url is None else _put(image_part(url), images)
    if isinstance(value, Mapping):
        if value.get("type") == "image" and isinstance(value.get("data"), str):
            return _put(_block(value), images)
        return {name: _without_images(inner, images) for name, inner in value.items()}
    if isinstance(value, list):
        pixels = _pixels(value)
        if pixels is not None:
            return _put(pixels, images)
        return [_without_images(inner, images) for inner in value]
    return value


def _image_url(text: str) -> str | None:
    if text.startswith("data:image/"):
        return text
    if len(text) < _LEAST:
        return None
    kind = next((kind for start, kind in _BEGINNINGS.items() if text.startswith(start)), None)
    return f"data:{kind};base64,{text}" if kind else None


def _shaped(values: Any, shape: Any) -> Content | None:
    """The image that a flat array is, by its shape."""
    if not isinstance(values, list) or not isinstance(shape, list) or len(shape) not in (2, 3):
        return None
    if not all(type(side) is int and side > 0 for side in shape):
        return None
    return _png(values, *shape)


def _pixels(rows: Sequence[Any]) -> Content | None:
    """The image that an array of rows is, one value or several to a pixel."""
    if len(rows) < _SMALLEST or not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows):
        return None
    flat = [pixel for row in rows for pixel in row]
    if not flat or not isinstance(flat[0], list):  # of numbers alone it may be a board just as well
        return None
    depth = len(flat[0])
    if not all(isinstance(pixel, list) and len(pixel) == depth for pixel in flat):
        return None
    return _png([value for pixel in flat for value in pixel], len(rows), len(rows[0]), depth)


def _png(values: list[Any], height: int, width: int, depth: int = 1) -> Content | None:
    if depth not in _COLOURS or min(height, width) < _SMALLEST or len(values) != height * width * depth:
        return None
    try:
        data = bytes(values)
    except (TypeError, ValueError):  # no whole numbers of 0 to 255
        return None
    step = width * depth
    lines = b"".join(b"\0" + data[start : start + step] for start in range(0, len(data), step))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[depth], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held)) for kind, held in chunks
    )
    return image_part(b"\x89PNG\r\n\x1a\n" + body, max_mb=float("inf"))
