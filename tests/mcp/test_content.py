"""Outputs of tools keep what they say from one language to the other."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from gym_mcp.content import as_blocks, as_output

TEXT = {"type": "input_text", "text": "said"}
SAID = TextContent(text="said")


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (TEXT, SAID),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            ImageContent(data="AAAA", mime_type="image/png"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            AudioContent(data="AAAA", mime_type="audio/mpeg"),
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
            EmbeddedResource(
                resource=BlobResourceContents(uri="file:///a.pdf", mime_type="application/pdf", blob="AAAA")
            ),
        ),
    ],
    ids=["text", "image", "audio", "file"],
)
def test_a_part_is_a_block_and_back(part: dict[str, Any], block: ContentBlock) -> None:
    assert as_blocks([part]) == [block]
    image = ImageContent(data="BBBB", mime_type="image/gif")  # besides, or a text alone would be plain
    parts = as_output(CallToolResult(content=[block, image]))
    assert parts[0] == part


@pytest.mark.parametrize(
    ("content", "structured", "output"),
    [
        ([SAID], None, "said"),
        ([SAID, SAID], {"ignored": 1}, "said\nsaid"),
        ([], {"a": [1]}, '{"a":[1]}'),
        ([], None, ""),
        ([EmbeddedResource(resource=TextResourceContents(uri="file:///a.txt", text="read"))], None, "read"),
        ([ResourceLink(name="a", uri="file:///a.txt")], None, "a: file:///a.txt"),
    ],
)
def test_what_can_be_text_is_text(content: list[ContentBlock], structured: Any, output: str) -> None:
    assert as_output(CallToolResult(content=content, structured_content=structured)) == output


@pytest.mark.parametrize(
    ("output", "block"),
    [
        ("plain", TextContent(text="plain")),
        (
            [{"type": "input_image", "image_url": "https://x.example/a.png"}],
            ResourceLink(name="image", uri="https://x.example/a.png"),
        ),
        (
            [{"type": "input_file", "file_url": "https://x.example/a.pdf"}],
            ResourceLink(name="file", uri="https://x.example/a.pdf"),
        ),
        ([{"type": "input_other", "n": 1}], TextContent(text='{"type":"input_other","n":1}')),
    ],
)
def test_what_has_no_block_of_its_own_is_not_lost(output: Any, block: ContentBlock) -> None:
    assert as_blocks(output) == [block]
