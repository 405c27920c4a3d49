"""What an author's code may do to the process, and what it raises: put back, and said in one line."""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from gym_core import UsageError
from gym_core.spi import asked_to_end, described
from gym_verifiers.names import Named

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "PRIME_API_KEY", "OPENROUTER_API_KEY", "AZURE_OPENAI_API_KEY")
_URL = re.compile(r"https?://[^\s'\"<>)]+|host='([\w.-]+)'")
_UNREACHABLE = ("connect", "resolve", "offline", "unreachable", "timed out", "max retries", "name or service")


@contextmanager
def by_its_author(
    wanted: Named, *, hide: tuple[str, ...] = (), shown: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Code of an environment: what it changes of the process is put back, and what it raises is one line.

    `hide`: variables that it does not see, but for what is `shown` of them.
    """
    try:
        with ExitStack() as stack:
            stack.enter_context(_without(hide, shown or {}))
            stack.enter_context(_own_handlers())
            yield
    except UsageError:
        raise
    except BaseException as error:
        if asked_to_end(error):
            raise
        logging.getLogger("gym").debug("%s could not be loaded", wanted, exc_info=error)
        raise UsageError(f"{wanted} cannot be loaded: {_words(error)}", hint=_hint(wanted, error)) from error


@contextmanager
def _without(names: tuple[str, ...], shown: Mapping[str, str]) -> Iterator[None]:
    hidden = {name: os.environ.pop(name) for name in (*names, *shown) if name in os.environ}
    os.environ.update(shown)
    try:
        yield
    finally:
        for name in shown:
            os.environ.pop(name, None)
        os.environ.update(hidden)


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Signals and the end of the process stay gym's: it closes what it has opened, and ends when it is told to.

    verifiers tears an environment down at exit and on signals, which is done here when it is closed.
    """
    register: Callable[..., Any] = atexit.register

    def registered(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function if function.__name__ == "_sync_teardown" else register(function, *args, **kwargs)

    with mock.patch.object(atexit, "register", registered):
        if threading.current_thread() is not threading.main_thread():
            with mock.patch.object(signal, "signal", return_value=None):
                yield
            return
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it left with sys.exit({error.code!r})"
    root = list(_causes(error))[-1]
    return " ".join(described(root).split())[:300]


def _hint(wanted: Named, error: BaseException) -> str:
    text = " | ".join(str(one) for one in _causes(error))
    if "module 'verifiers' has no attribute" in text:
        return f"it is written for verifiers before 0.4: --env {wanted.at('0.3')}"
    if isinstance(missing := list(_causes(error))[-1], ModuleNotFoundError):
        return f"gym install --isolated {wanted} --with {wanted.package} --with {missing.name}"
    if "api_key" in text.lower() or any(key in text for key in KEYS):
        return (
            "it asks a model of its own: with -E judge=true the run's --model judge=REF answers; -E see_keys=true lets "
            "it see keys, and what it asks passes by gym"
        )
    if any(word in text.lower() for word in _UNREACHABLE):
        found = _URL.search(text)
        where = f" from {found[1] or found[0]}" if found else ""
        return f"it fetches something{where} when it is loaded, and did not get there"
    return "the log of the run, or -v, shows where"
