"""Programs as processes of their own at the price of a fork: most of what a start costs is imports, done once here.

`gym_program()` is `gym`, and `forked` any module that can be run. What they give is a program that is started as any:
by `subprocess`, by asyncio, by a shell. It hands what it was started with (arguments, variables, working directory,
standard streams) to a server, one for each process that runs tests, which has imported what the module imports, and
forks. Signals are passed on, and it ends as the fork ends. Where it is killed, so is the fork, a moment later: who goes
on with what a killed one has left sends `KILL`, after which it ends when the fork has ended.

It is no test of a start: of imports, of Python's own options and variables, of limits of the process, of its group or
terminal, or of whose child it is. There `python -m gym_core` has to be started itself.
"""

from __future__ import annotations

import atexit
import functools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

KILL = signal.SIGUSR2
"""The signal that has a fork killed, and its program end as the killed one does."""
_GYM = (
    *("asyncio", "httptools", "httpx", "pydantic", "rich.console", "rich.live", "rich.table", "uvloop"),
    *("gym_core.*", "gym_check.*", "gym_http.*", "gym_http1.*"),
    *("gym_openai_model.*", "gym_simple_agent.*", "gym_simple_weather.*", "gym_workers.*"),
)
_SERVER = Path(__file__).with_name("fork_server.py")

# Built-in modules alone, which cost nothing: 10 ms of it are left, of which 9 are the interpreter's.
_CLIENT = """\
import _signal, _socket, marshal, os, sys

closed = []
for number in range(3):
    try:
        os.fstat(number)
    except OSError:
        closed.append(number)
        os.open(os.devnull, os.O_RDWR)
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({address!r})
asked = marshal.dumps((sys.argv[1:], dict(os.environ), os.getcwd(), closed))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server.sendmsg([len(asked).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(asked)
for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGUSR1):
    _signal.signal(number, lambda number, _: server.send(bytes([number])))  # also where it is ignored: the fork knows
_signal.signal({kill}, lambda *_: server.send(bytes([_signal.SIGKILL])))
for number in range(3):  # whoever is at the other end is to see what the fork does with its own
    os.dup2(os.open(os.devnull, os.O_RDWR), number)
status = int(server.recv(16) or b"70")
if status < 0:
    if -status != _signal.SIGKILL:
        _signal.signal(-status, _signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@functools.cache
def gym_program() -> Path:
    """A file named `gym`, alone in its folder, to be started instead of the script of that name."""
    return forked("gym_core", "gym", _GYM)


def forked(module: str, name: str, imports: Sequence[str], **variables: str) -> Path:
    """A program of this name that does what `python -m MODULE` does; to be made once.

    `imports`: what is imported beforehand; `package.*` is a package with all that is in it. `variables`: those that
    Python itself reads as it starts.
    """
    home = Path(tempfile.mkdtemp(prefix="gym-forks-"))  # a short path: that of a socket is bounded
    address, client, program = home / "socket", home / "client.py", home / "bin" / name
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    command = [sys.executable, str(_SERVER), str(address), module, *imports]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    atexit.register(_end, server, home)
    client.write_text(_CLIENT.format(address=str(address), kill=int(KILL)), encoding="utf-8")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {client} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", "the server of forks did not start"
    return program


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
