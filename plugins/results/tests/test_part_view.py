"""Content parts in a few words."""

from __future__ import annotations

import base64

from gym_core import audio_part, file_part, image_part, text_part
from gym_results.part_view import describe_part, shorten_data

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
DATA = "data:image/png;base64," + base64.b64encode(PNG).decode()


def test_a_part_is_described_in_a_few_words() -> None:
    assert describe_part(image_part(PNG)) == f"image, image/png, {len(PNG)} bytes"
    assert describe_part(image_part("https://example.com/a.png")) == "image https://example.com/a.png"
    assert describe_part({"type": "input_image", "file_id": "file-1"}) == "image file-1"
    assert describe_part({"type": "image_url", "image_url": {"url": DATA}}) == f"image, image/png, {len(PNG)} bytes"
    assert describe_part(audio_part(b"RIFF\0\0\0\0WAVE" + bytes(5000))) == "audio, wav, 5.0 kB"
    assert describe_part(file_part(bytes(2_500_000), name="a.pdf")) == "file a.pdf, application/pdf, 2.5 MB"
    assert describe_part(text_part("a")) is None
    assert shorten_data(DATA) == f"data:image/png;base64,… ({len(PNG)} bytes)"
    assert shorten_data("data: none") is None
    for odd in ({"type": "input_image"}, {"type": "input_image", "image_url": 3}, {"type": "input_audio"},
                {"type": "input_file", "file_data": None}, {"type": "file", "file": 3}):  # fmt: skip
        assert describe_part(odd)
