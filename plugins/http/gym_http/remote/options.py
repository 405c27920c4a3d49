"""What everybody sets who uses a component behind a URL."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, SecretStr

from gym_core import Operational, Options, Selector
from gym_http1 import MAX_REPLY_MB


class RemoteOptions(Options):
    """Where the component is, and how long it may be silent."""

    url: Annotated[str, Selector()] = Field(description="The URL: http(s)://host:port or unix:/path/to/socket.")
    token: SecretStr | None = Field(default=None, description="The server's token, where it was started with one.")
    stall: Annotated[PositiveFloat, Operational()] = Field(
        default=30.0, description="Seconds after which a server that answers nothing at all has stalled."
    )
    max_reply_mb: Annotated[PositiveFloat, Operational()] = Field(
        default=MAX_REPLY_MB,
        description="Megabytes that are read of one answer, decompressed; a longer one is refused.",
    )


class RolloutOptions(RemoteOptions):
    """Those of a component that is given rollouts, and that may call back while it works on them."""

    wait: Annotated[float, Operational()] = Field(
        default=60.0,
        ge=0,
        description="Seconds to go on trying to hand a rollout over when nobody answers or all places are taken.",
    )
