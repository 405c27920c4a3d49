"""Content parts: made of files, bytes and URLs, and sent in both dialects."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from gym_chat import chat_request
from gym_core import Request, Task, audio_part, file_part, image_part, text_part, user_message


def png(width: int = 1, height: int = 1) -> bytes:
    """A black image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\0\0\0" * width for _ in range(height)))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PNG = png()
DATA = "data:image/png;base64," + base64.b64encode(PNG).decode()


def test_an_image_comes_from_a_file_bytes_or_a_url(tmp_path: Path) -> None:
    path = tmp_path / "no-ending"
    path.write_bytes(PNG)
    expected = {"type": "input_image", "image_url": DATA, "detail": "auto"}
    assert image_part(path) == image_part(PNG) == image_part(DATA) == expected
    assert image_part("https://example.com/a.png", detail="low") == {
        "type": "input_image", "image_url": "https://example.com/a.png", "detail": "low",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x20ftypavif", "image/avif"),
        (b"BM....", "image/bmp"),
        (b"II*\0....", "image/tiff"),
    ],
)
def test_an_image_is_known_by_its_content(data: bytes, media_type: str) -> None:
    assert image_part(data)["image_url"].startswith(f"data:{media_type};base64,")


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"fLaC", "flac"),
        (b"OggS", "ogg"),
        (b"\0\0\0\x20ftypM4A ", "m4a"),
    ],
)
def test_audio_is_known_by_its_content(data: bytes, format: str) -> None:
    encoded = base64.b64encode(data).decode()
    assert audio_part(data) == {"type": "input_audio", "input_audio": {"data": encoded, "format": format}}


def test_a_file_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.pdf"
    path.write_bytes(b"%PDF-1.7")
    encoded = base64.b64encode(b"%PDF-1.7").decode()
    expected = {"type": "input_file", "filename": "notes.pdf", "file_data": f"data:application/pdf;base64,{encoded}"}
    assert file_part(path) == file_part(b"%PDF-1.7", name="notes.pdf") == expected
    assert file_part("https://example.com/a.pdf") == {"type": "input_file", "file_url": "https://example.com/a.pdf"}
    assert file_part(b"a,b\n", name="README")["file_data"].startswith("data:text/plain;base64,")
    assert file_part(b"\0\xff", name="blob")["file_data"].startswith("data:application/octet-stream;base64,")


def wrong(function: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        function(*arguments, **named)
    return str(refused.value)


def test_what_cannot_be_a_part_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    assert "is no URL" in wrong(image_part, str(secret))  # what a model wrote opens no file
    assert "is no URL" in wrong(file_part, "file:///etc/passwd")
    assert len(wrong(image_part, "iVBOR" * 10000)) < 300
    assert "media_type=" in wrong(image_part, b"what is this")
    assert "format=" in wrong(audio_part, b"what is this")
    assert "is empty" in wrong(image_part, b"")
    assert "need a `name=`" in wrong(file_part, b"x")
    assert "needs a `name=`" in wrong(file_part, "data:application/pdf;base64,AA")
    large = tmp_path / "large.png"
    large.write_bytes(PNG + bytes(3_000_000))
    assert wrong(image_part, large, max_mb=2) == (
        "image_part: large.png has 3.0 MB and a part at most 2; `max_mb=` allows more"
    )
    assert "allows more" in wrong(file_part, bytes(21_000_000), name="x.bin")
    with pytest.raises(FileNotFoundError, match="missing"):
        image_part(tmp_path / "missing.png")
    with pytest.raises(TypeError, match="neither a path nor bytes"):
        audio_part("https://example.com/a.wav")  # type: ignore[arg-type]


def test_a_message_is_text_or_texts_and_parts() -> None:
    image = image_part(PNG)
    assert user_message("Hi")["content"] == "Hi"
    assert user_message("What is this?", image)["content"] == [text_part("What is this?"), image]
    assert user_message(image)["content"] == [image]
    assert Request.ask("What?", image).input == [user_message("What?", image)]
    task = Task.ask("What?", image, task_id="t", text="a field", answer="cat")
    assert task.input == [user_message("What?", image)]
    assert task["text"] == "a field"
    bad: Any
    with pytest.raises(ValueError, match="needs a text or a part"):
        user_message()
    for bad in [(3,), ("a", None), ({"type": "output_text"},)]:
        with pytest.raises(ValueError, match="content is text and parts"):
            user_message(*bad)


def output(call_id: str, *parts: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": list(parts)}


def test_images_of_tools_go_into_the_next_message_of_the_user() -> None:
    first, second = image_part(PNG), image_part("https://example.com/b.png", detail="high")
    items = [
        user_message("Look."),
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "look", "arguments": "{}"},
        output("a", text_part("To the north:"), first),
        output("b", second),
        {"type": "message", "role": "assistant", "content": "I see."},
    ]
    _, called, one, two, shown, said = chat_request({"input": items})["messages"]
    assert len(called["tool_calls"]) == 2
    assert one == {"role": "tool", "tool_call_id": "a", "content": "To the north:\n[image 1: see the next message]"}
    assert two == {"role": "tool", "tool_call_id": "b", "content": "[image 2: see the next message]"}
    assert shown == {
        "role": "user",
        "content": [
            {"type": "text", "text": "[image 1]"},
            {"type": "image_url", "image_url": {"url": DATA, "detail": "auto"}},
            {"type": "text", "text": "[image 2]"},
            {"type": "image_url", "image_url": {"url": "https://example.com/b.png", "detail": "high"}},
        ],
    }
    assert said["role"] == "assistant"
    inside = chat_request({"input": items}, tool_media="tool")["messages"]
    assert [message["role"] for message in inside] == ["user", "assistant", "tool", "tool", "assistant"]
    assert inside[2]["content"][1]["type"] == "image_url"
