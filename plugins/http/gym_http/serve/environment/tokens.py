"""What proves that a request may touch a session. All of it follows from the session's id and a secret of the process.

Nothing is kept per session, and whether a session exists plays no part in the check: a wrong token says nothing of it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Literal

from gym_http.serve.auth import same

TokenKind = Literal["owner", "tool"]
COOKIE = "gym_session"
_PREFIX: dict[TokenKind, str] = {"owner": "gso_", "tool": "gst_"}


class Tokens:
    """Makes and checks the tokens of one process; those of an earlier one are worth nothing."""

    __slots__ = ("_cookies", "_secret")

    def __init__(self) -> None:
        from itsdangerous import Signer

        self._secret = secrets.token_bytes(32)
        self._cookies = Signer(
            secrets.token_bytes(32), salt=COOKIE, key_derivation="hmac", digest_method=hashlib.sha256
        )

    @staticmethod
    def new_id() -> str:
        """An id that nobody can guess."""
        return secrets.token_urlsafe(15)

    def make(self, kind: TokenKind, ident: str) -> str:
        """The token of a session: the owner's, which opens all of it, or the one for its tools and replies."""
        return _PREFIX[kind] + self._mac(f"{kind}/{ident}")

    def kind(self, ident: str, token: str) -> TokenKind | None:
        """Which token of this session it is, None for one that is none of them. Compares in constant time."""
        kind: TokenKind = "tool" if token.startswith(_PREFIX["tool"]) else "owner"
        return kind if same(self.make(kind, ident), token) else None

    def sign(self, text: str) -> str:
        """A text that a client carries and cannot change, such as the cookie that names its session."""
        return self._cookies.sign(text).decode()

    def unsign(self, signed: str) -> str | None:
        """The text again, None when it was not signed here."""
        from itsdangerous import BadSignature

        try:
            return self._cookies.unsign(signed).decode()
        except (BadSignature, ValueError):
            return None

    def _mac(self, text: str) -> str:
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), key=self._secret, digest_size=24).digest()
        return base64.urlsafe_b64encode(digest).decode()
