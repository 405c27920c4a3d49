"""The addresses of one model: those that `base_url` names, or those in a file that may change while it is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from gym_core import UsageError
from gym_openai_model.endpoint import Endpoint, parse_endpoint

LOOK_SECONDS = 2.0
"""How often it is looked whether a file of addresses has changed."""

logger = logging.getLogger("gym")


def file_of(base_url: str) -> Path | None:
    """The file that `base_url` names, as `@FILE` or as a path to one; None where it names addresses."""
    text = base_url.strip()
    if text.startswith("@"):
        return Path(text[1:].strip()).expanduser()
    path = Path(text).expanduser()
    return path if "://" not in text and text and path.is_file() else None


def read_addresses(base_url: str, query: Mapping[str, str] | None = None) -> tuple[Endpoint, ...]:
    """The endpoints that `base_url` names: one URL, several with commas between them, or a file of them.

    Raises `UsageError`: for what is no URL, a list that is empty or names one twice, or endpoints of different kinds.
    """
    path = file_of(base_url)
    if path is None:
        return _parsed([*base_url.split(",")], "base_url", query)
    return read_file(path, query)


def read_file(path: Path, query: Mapping[str, str] | None = None) -> tuple[Endpoint, ...]:
    """The endpoints in a file: one URL a line, what follows a `#` is a comment. Raises `UsageError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"base_url: {path} cannot be read: {reason}") from None
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    urls = [url.strip() for line in lines if line for url in line.rstrip(",").split(",")]
    if not urls:
        raise UsageError(f"base_url: {path} names no endpoint", hint="write one URL a line")
    return _parsed(urls, f"base_url: {path}", query)


def _parsed(urls: list[str], where: str, query: Mapping[str, str] | None) -> tuple[Endpoint, ...]:
    if len(urls) > 1 and not all(url.strip() for url in urls):
        raise UsageError(f"{where}: an address is missing between commas", hint="write URL,URL")
    found: dict[str, Endpoint] = {}
    for url in urls:
        try:
            endpoint = parse_endpoint(url, query)
        except UsageError as error:
            raise UsageError(error.message.replace("base_url", where, 1), hint=error.hint) from None
        if endpoint.base_url in found:
            raise UsageError(f"{where}: {endpoint.base_url} is there twice", hint="name each endpoint once")
        found[endpoint.base_url] = endpoint
    first, *others = found.values()
    for other in others:
        if other.kind != first.kind:
            raise UsageError(
                f"{where}: {first.base_url} and {other.base_url} are spoken to in different ways",
                hint="the endpoints of one model are of one kind: all of your own, or all of one provider",
            )
    return tuple(found.values())


async def follow(
    path: Path,
    query: Mapping[str, str] | None,
    current: tuple[Endpoint, ...],
    changed: Callable[[tuple[Endpoint, ...]], None],
) -> None:
    """Look at a file of addresses every now and then, and tell of each list in it that is not the `current` one.

    A file that has vanished or cannot be used changes nothing; that is said once, until it can be used again. To be
    cancelled.
    """
    before: tuple[int, ...] | None = ()  # it may have changed since it was read
    said = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        stamp = await asyncio.to_thread(_stamp, path)
        if stamp == before and not said:
            continue
        try:
            endpoints = await asyncio.to_thread(read_file, path, query)
            if endpoints[0].kind != current[0].kind:
                raise UsageError(f"base_url: {path}: {endpoints[0].base_url} is of another kind than those before")
        except UsageError as error:
            if not said:
                logger.warning("%s; the endpoints stay as they were", error.message)
            said = error.message
            continue
        before, said = stamp, ""
        if endpoints != current:
            current = endpoints
            changed(endpoints)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes with the file; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino
