"""What rows share of their requests, the tools and the sampling in force: found once, cited by its hash."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from gym_core.domain.json_text import JsonError, encode_json
from gym_core.domain.sampling import ASKED, BACKEND_FIELDS
from gym_core.engine.storage.requests import Cited, SharedRequest
from gym_core.engine.tasks.keys import DIGEST_SIZE

_NOT_IN_FORCE = ASKED | BACKEND_FIELDS | {"metadata", "prompt_cache_key", "safety_identifier", "user"}
"""Fields of requests that say what is asked, or only whose it is: not what tools there are, nor how it is sampled."""


class SharedRequests:
    """Finds what a request shares with others. `over`: what the policy's backend sets in each of its requests."""

    def __init__(self, over: Mapping[str, Any]) -> None:
        self._over = over
        self._last: dict[str, Any] | None = None
        self._cited: Cited = ()

    def of(self, body: Mapping[str, Any]) -> Cited:
        """What the row of a rollout with this request cites: the same object for requests that share it in a row."""
        asked = {name: value for name, value in body.items() if name not in _NOT_IN_FORCE}
        if asked != self._last:  # dictionaries of the same objects, mostly: nothing is hashed or encoded for a rollout
            self._cited = self._shared(asked)
            self._last = asked
        return self._cited

    def _shared(self, asked: Mapping[str, Any]) -> Cited:
        sampling = {**asked}
        tools = sampling.pop("tools", None) or []
        for name, value in self._over.items():
            known = sampling.get(name)
            both = isinstance(known, Mapping) and isinstance(value, Mapping)
            sampling[name] = {**known, **value} if both else value  # type: ignore[dict-item]
        fields = {"tools": tools, "sampling": sampling}
        try:
            digest = blake2b(encode_json(fields), digest_size=DIGEST_SIZE).hexdigest()
        except JsonError:  # no model was asked that: there is nothing to cite
            return ()
        return (SharedRequest(digest, fields),)
