from __future__ import annotations

import json

import pytest

from gym_core.domain.quoting import quote, quote_json
from gym_core.spi import one_line

ACTING = [
    "\x1b]0;title\x07", "\x1b[2J", "\x00", "\x08", "\x0b", "\x0c", "\r", "\x7f", "\x84", "\x9b31m", "\u061c", "\u200e",
    "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\u206a", "\udc80", "\ud83d",
]  # fmt: skip
WORDS = [
    "日本語", "naïve", "שלום", "é", "👍", "a b", "tab\tand\nline", "C:\\u0041", "👩‍👩‍👧", "می‌خواهم", "क्‍ष", "❤️",
    "葛\U000e0100", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "ภาษา\u200bไทย", "Donau\xaddampf",
]  # fmt: skip


@pytest.mark.parametrize("text", ACTING, ids=ascii)
def test_what_acts_on_a_terminal_is_written_out(text: str) -> None:
    quoted = quote(f"a{text}b\n\tc")
    assert quoted.isascii()
    assert all(character.isprintable() or character in "\n\t" for character in quoted)
    assert quoted.startswith("a\\u")
    assert quoted.endswith("b\n\tc")
    assert quote(quoted) == quoted


@pytest.mark.parametrize("text", WORDS, ids=ascii)
def test_words_stay_as_they_are(text: str) -> None:
    assert quote(text) == text
    assert quote_json(text.encode()) == text.encode()


def test_line_ends_of_another_system_are_line_ends() -> None:
    assert quote("a\r\nb\rc") == "a\nb\\u000dc"
    assert one_line(" a\r\n\tb\u2028c ") == "a b c"


@pytest.mark.parametrize("text", [text for text in ACTING if not "\ud800" <= text <= "\udfff"], ids=ascii)
def test_json_says_the_same_in_characters_that_do_nothing(text: str) -> None:
    value = {f"k{text}": [f"v{text}", "日本語"]}
    quoted = quote_json(json.dumps(value, ensure_ascii=False).encode())
    assert json.loads(quoted) == value
    assert text.encode() not in quoted
    assert "日本語".encode() in quoted
