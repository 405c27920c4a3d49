"""Content parts of messages and of tools' outputs: text, images, audio and files, as the Responses API writes them.

A `bytes` is content, a `Path` a file of this machine, and a `str` a URL: text that a model wrote never opens a file.
What is not a URL travels within the part as base64, and stands so in the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

Part: TypeAlias = dict[str, Any]
"""One content part: `{"type": "input_text" | "input_image" | "input_audio" | "input_file", ...}`."""

Content: TypeAlias = str | Part
"""What a message is made of; a string is a text part."""

Detail: TypeAlias = Literal["auto", "low", "high", "original"]

MAX_MB = 20.0
"""The largest part that is made unless the caller allows more, in megabytes of content."""

_MEGABYTE = 1_000_000
_WEB = ("http://", "https://")
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)
_AUDIO = ((b"ID3", "mp3"), (b"fLaC", "flac"), (b"OggS", "ogg"))


def text_part(text: str) -> Part:
    """A part of text."""
    return {"type": "input_text", "text": text}


def image_part(
    image: str | Path | bytes, *, detail: Detail = "auto", media_type: str = "", max_mb: float = MAX_MB
) -> Part:
    """A part with an image: a URL (also a `data:` URL), a file, or its bytes.

    `detail`: how closely the model looks. `media_type`: such as `image/png`, by default found by the content. Raises
    `ValueError` for a string that is no URL, for what is no image or empty, and for one of more than `max_mb`
    megabytes; `OSError` for a file that cannot be read.
    """
    if isinstance(image, str):
        return {"type": "input_image", "image_url": _url(image, "image_part"), "detail": detail}
    data, name = _read(image, "image_part", max_mb)
    found = media_type or _image_type(data)
    if not found:
        raise ValueError(
            f"image_part: {name} is no PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF image; `media_type=` says what it is"
        )
    return {"type": "input_image", "image_url": _data_url(found, data), "detail": detail}


def audio_part(audio: Path | bytes, *, format: str = "", max_mb: float = MAX_MB) -> Part:
    """A part with audio: a file, or its bytes. Neither API takes a URL.

    `format`: such as `wav` or `mp3`, by default found by the content; OpenAI takes these two, and in Chat Completions
    alone. Raises `ValueError` for what is no audio that is known or empty, and for one of more than `max_mb` megabytes;
    `OSError` for a file that cannot be read.
    """
    data, name = _read(audio, "audio_part", max_mb)
    found = format or _audio_format(data)
    if not found:
        raise ValueError(f"audio_part: {name} is no WAV, MP3, FLAC, Ogg or MP4 audio; `format=` says what it is")
    return {"type": "input_audio", "input_audio": {"data": _base64(data), "format": found}}


def file_part(file: str | Path | bytes, *, name: str = "", media_type: str = "", max_mb: float = MAX_MB) -> Part:
    """A part with a file, a PDF say: a URL, a file, or its bytes. Chat Completions takes no URL.

    `name`: what the model is told, by default the file's own; bytes need one, since the endings of names say what they
    are. Raises `ValueError` for a string that is no URL, for bytes without a name, for an empty file, and for one of
    more than `max_mb` megabytes; `OSError` for a file that cannot be read.
    """
    if isinstance(file, str):
        url = _url(file, "file_part")
        if url.startswith(_WEB):
            return {"type": "input_file", "file_url": url, **({"filename": name} if name else {})}
        if not name:
            raise ValueError("file_part: a `data:` URL needs a `name=`, such as `report.pdf`")
        return {"type": "input_file", "filename": name, "file_data": url}
    data, found = _read(file, "file_part", max_mb)
    if not name and isinstance(file, bytes):
        raise ValueError("file_part: bytes need a `name=`, such as `report.pdf`")
    import mimetypes  # only files need it

    name = name or found
    kind = (
        media_type or mimetypes.guess_type(name)[0] or ("text/plain" if _is_text(data) else "application/octet-stream")
    )
    return {"type": "input_file", "filename": name, "file_data": _data_url(kind, data)}


def content_of(content: Content | Sequence[Content]) -> str | list[Part]:
    """The content of a message: text alone stays text, else a list of parts. Raises `ValueError` for anything else."""
    if isinstance(content, str):
        return content
    if isinstance(content, list | tuple) and not content:
        raise ValueError("a message needs a text or a part")
    parts = as_parts([content] if isinstance(content, Mapping) else content)
    if parts is None:
        raise ValueError(f"content is text and parts, not {content!r:.100}")
    return parts


def as_parts(content: Any) -> list[Part] | None:
    """A sequence of parts, and of texts between them, as parts; None for anything else."""
    if not isinstance(content, list | tuple) or not content:
        return None
    parts = [text_part(each) if isinstance(each, str) else each for each in content]
    return parts if all(map(is_part, parts)) else None


def is_part(value: Any) -> bool:
    """Whether a value is a content part that a tool or a user may say."""
    return isinstance(value, dict) and str(value.get("type", "")).startswith("input_")


def _url(text: str, function: str) -> str:
    if text.startswith(_WEB) or (text.startswith("data:") and "," in text):
        return text
    raise ValueError(
        f"{function}: {text if len(text) <= 60 else text[:60] + '…'!r} is no URL; a file of this machine goes as "
        "`pathlib.Path`, content as bytes"
    )


def _read(source: Path | bytes, function: str, max_mb: float) -> tuple[bytes, str]:
    """Content and the name for it. Raises `ValueError` for what is empty or too large, before it is read."""
    if isinstance(source, bytes | bytearray | memoryview):
        data, name, size = bytes(source), "the content", len(source)
    elif isinstance(source, Path):
        size, name, data = source.stat().st_size, source.name, b""
    else:
        raise TypeError(f"{function}: {type(source).__name__} is neither a path nor bytes")
    if size > max_mb * _MEGABYTE:
        raise ValueError(
            f"{function}: {name} has {size / _MEGABYTE:.1f} MB and a part at most {max_mb:g}; `max_mb=` allows more"
        )
    if isinstance(source, Path):
        data = source.read_bytes()
    if not data:
        raise ValueError(f"{function}: {name} is empty")
    return data, name


def _image_type(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return next((kind for magic, kind in _IMAGES if data.startswith(magic)), "")


def _audio_format(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[4:8] == b"ftyp":
        return "m4a"
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:  # a frame of MPEG audio, layer III
        return "mp3"
    return next((kind for magic, kind in _AUDIO if data.startswith(magic)), "")


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode("ascii")


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{_base64(data)}"
