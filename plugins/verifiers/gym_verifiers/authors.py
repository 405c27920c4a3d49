"""What an author's code may do to the process, and what it raises: put back, and said in one line."""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from gym_core.spi import LoadFailure, changed_variables, loading
from gym_verifiers.names import Named


@contextmanager
def by_its_author(
    wanted: Named, *, hide: Collection[str] = (), shown: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Code of an environment: what it changes of the process is put back, and what it raises is one line.

    `hide`: variables that it does not see, but for what is `shown` of them.
    """
    with loading(wanted, lambda failure: _hints(wanted, failure)), changed_variables(hide, shown), _own_handlers():
        yield


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Signals and the end of the process stay gym's: it closes what it has opened, and ends when it is told to.

    verifiers tears an environment down at exit and on signals, which is done here when it is closed.
    """
    register: Callable[..., Any] = atexit.register

    def registered(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function if function.__name__ == "_sync_teardown" else register(function, *args, **kwargs)

    with mock.patch.object(atexit, "register", registered):
        if threading.current_thread() is not threading.main_thread():  # which sets none
            yield
            return
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


def _hints(wanted: Named, failure: LoadFailure) -> Iterator[str]:
    if "module 'verifiers' has no attribute" in failure.text:
        yield f"it is written for verifiers before 0.4: --env {wanted.at('0.3')}"
    if failure.missing_module:
        yield f"gym install --isolated {wanted} --with {wanted.package} --with {failure.missing_module}"
    if failure.wants_key:
        yield (
            "it asks a model of its own: with -E judge=true the run's --model judge=REF answers; -E see_keys=true lets "
            "it see keys, and what it asks passes by gym"
        )
