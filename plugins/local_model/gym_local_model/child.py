"""What the child process of `server.LlamaServer` does: llama.cpp's HTTP server until its parent lets go.

It is asked once, for the settings, loads the model, and answers `{"address": "http://127.0.0.1:PORT"}`, or `{"error":
CLASS, "message": TEXT}`. Everything llama.cpp prints goes to standard error. `xllamacpp` is imported here alone.
"""

from __future__ import annotations

import json
import os
from typing import IO, Any

from gym_core.spi import read_message, write_message


def serve(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """Serve what the one request says until the parent lets go."""
    try:
        server = start(json.loads(read_message(requests)))
        answer = {"address": server.listening_address}
    except (ImportError, OSError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    write_message(replies, json.dumps(answer).encode())
    if "address" in answer:
        requests.read()
        # Not sys.exit: the server's threads are C++ and may be in the middle of a reply that nobody reads any more.
        os._exit(0)


def start(settings: dict[str, Any]) -> Any:
    """Load the model and start the server on a port of the system's choice; the object keeps it alive."""
    import xllamacpp  # type: ignore[import-untyped]  # it ships no types

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = settings["context_size"] * settings["slots"]
    params.n_parallel = settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.use_jinja = True
    params.ui = False
    params.cors_origins = "http://127.0.0.1"
    params.cors_origins_explicit = True
    params.endpoint_slots = False
    # Half of what a start costs: there is no device whose memory all has to fit, and the first call warms up as well.
    params.fit_params = False
    params.warmup = False
    # Requests of one run share their beginnings; what a slot has read is kept for the next one that begins alike.
    params.cache_ram_mib = 256
    return xllamacpp.Server(params)
