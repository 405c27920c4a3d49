"""Other people's words as text and nothing else: what would act on a terminal is written out.

Control characters (C0, C1, DEL) move the cursor, clear the screen and set titles; the marks of bidirectional text put
characters in another order than they are read in; some take two further characters for the end of a line. Each is shown
as the escape that Python and TOML have for it. Line breaks and tabs stay, and so does what only shapes the text beside
it, such as the joiners in emoji and Persian, and the selectors of variants.
"""

from __future__ import annotations

import re

_ACTING = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff"
_IN_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f{_ACTING}]")
_IN_JSON = re.compile(f"[{_ACTING}]")  # JSON has escaped the others already


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
    return _IN_JSON.sub(_escaped, data.decode("utf-8", "replace")).encode()


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
