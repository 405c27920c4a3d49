"""Other people's words as text and nothing else: what would act on a terminal, or hide in it, is written out.

Control characters (C0, C1, DEL) move the cursor, clear the screen and set titles; the marks of bidirectional text put
characters in another order than they are read in; zero-width ones and the tags of plane 14 are not seen at all. Each is
shown as the escape that Python and TOML have for it. Line breaks and tabs stay.
"""

from __future__ import annotations

import re

_UNSEEN = (
    "\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_IN_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f{_UNSEEN}]")
_IN_JSON = re.compile(f"[{_UNSEEN}]")  # JSON has escaped the others already


def quote(text: str) -> str:
    """The text with such characters as `\\u001b`, of any number of lines."""
    return _IN_TEXT.sub(_escaped, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same on a single line."""
    return quote(" ".join(text.split()))


def quote_json(data: bytes) -> bytes:
    """The same JSON with such characters as JSON escapes them."""
    if data.isascii() and b"\x7f" not in data:
        return data
    return _IN_JSON.sub(_escaped_for_json, data.decode("utf-8", "replace")).encode()


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped_for_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
