"""The server of `tests.support.forks`, run as a program: imports, then forks on request."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import marshal
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from typing import NamedTuple, NoReturn


class Request(NamedTuple):
    """What a client was started with. `closed`: which of its standard streams were not there."""

    arguments: list[str]
    variables: dict[str, str]
    folder: str
    closed: list[int]


def import_all(names: Iterable[str]) -> None:
    """Import modules, `package.*` with all that is in it; what cannot be had here is left out."""
    for name in names:
        package = name.removesuffix(".*")
        with contextlib.suppress(ImportError):
            imported = importlib.import_module(package)
            for module in pkgutil.walk_packages(imported.__path__ if name != package else (), f"{package}."):
                if not module.name.endswith("__main__"):
                    with contextlib.suppress(ImportError):
                        importlib.import_module(module.name)


def read(connection: socket.socket) -> tuple[Request, list[int]]:
    """What a client sends, and the standard streams that come with it."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    left, parts = int.from_bytes(head, "big"), []
    while left and (part := connection.recv(left)):
        parts.append(part)
        left -= len(part)
    return Request(*marshal.loads(b"".join(parts))), streams


def serve(address: str, lifeline: int) -> tuple[Request, list[int]] | None:
    """Fork for each client. Returns its request in the child, and None in the server when it is to end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    waking, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    clients: dict[int, socket.socket] = {}
    os.write(1, b"ready\n")
    while True:
        pids = {client.fileno(): pid for pid, client in clients.items()}
        ready, _, _ = select.select([lifeline, listener.fileno(), waking, *pids], [], [])
        for pid in [pids[number] for number in ready if number in pids]:
            pass_on(clients[pid], pid)
        if waking in ready:
            os.read(waking, 4096)
            tell_ends(clients)
        if lifeline in ready:
            for pid in clients:
                os.kill(pid, signal.SIGKILL)
            return None
        if listener.fileno() in ready:
            client, _ = listener.accept()
            request, streams = read(client)
            if pid := os.fork():
                clients[pid] = client
                for number in streams:
                    os.close(number)
                continue
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for held in (listener, client, *clients.values()):
                held.close()
            for number in (waking, wake, lifeline):
                os.close(number)
            return request, streams


def pass_on(client: socket.socket, pid: int) -> None:
    """Give a fork the signals that its client got; where there is no client any more, it is killed."""
    for number in client.recv(16) or [signal.SIGKILL]:
        os.kill(pid, number)


def tell_ends(clients: dict[int, socket.socket]) -> None:
    """Tell the clients of forks that have ended how they did."""
    while clients:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with clients.pop(pid) as client, contextlib.suppress(OSError):
            client.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(request: Request, streams: list[int], path: list[str]) -> None:
    """Make of this process what a fresh one would be."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request.variables)
    os.chdir(request.folder)
    before = filter(None, request.variables.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [*before, *path]
    importlib.invalidate_caches()
    sys.argv[1:] = request.arguments
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if number in request.closed:
            os.close(number)
            setattr(sys, name, None)
        elif name == "stdout":
            sys.stdout.reconfigure(line_buffering=os.isatty(number))  # type: ignore[union-attr]


def leave(status: int) -> NoReturn:
    """End as the interpreter ends, but for taking every module apart, which costs more than all that was done."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status & 0xFF)


def main() -> None:
    """Run as a program: `fork_server.py ADDRESS MODULE NAMES...`."""
    address, module, *names = sys.argv[1:]
    del sys.path[0]  # the folder of this file
    path = list(sys.path)
    import_all(names)
    lifeline = os.dup(0)
    gc.collect()
    gc.freeze()
    forked = serve(address, lifeline)
    if forked is not None:
        become(*forked, path)
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if ended.code is None or isinstance(ended.code, int):
                leave(ended.code or 0)
            raise


if __name__ == "__main__":
    main()
