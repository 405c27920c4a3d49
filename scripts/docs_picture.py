"""Draws docs/images/run.svg from a real run in a terminal.

    python scripts/docs_picture.py

It runs the commands below in a pseudo-terminal, in a folder of its own, and draws what stands on the screen at the end.
The picture fetches nothing: its font is the reader's own.
"""

from __future__ import annotations

import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "run.svg"
COMMANDS = (
    "gym run --model local --env simple_weather --limit 8 --output weather.jsonl",
    "gym show weather.jsonl paris",
)
COLUMNS = 96
_CODES = re.compile(r"\x1b\[(\d*)([AK])|\x1b\[\?\d+[hl]|\x1b\]8;[^\x1b]*\x1b\\|(\r)|(\n)")
_UNWANTED = re.compile(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", re.DOTALL)


def record(command: str, folder: Path) -> str:
    """What a command writes to a terminal of `COLUMNS` columns, codes and all."""
    parent, child = pty.openpty()
    ioctl(child, TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    env = {**os.environ, "PATH": path, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "PAGER": "cat"}
    with subprocess.Popen(command.split(), cwd=folder, env=env, stdin=child, stdout=child, stderr=child) as process:
        os.close(child)
        chunks = []
        while chunk := _read(parent):
            chunks.append(chunk)
        os.close(parent)
    if process.returncode:
        raise SystemExit(f"{command}: exit status {process.returncode}")
    return b"".join(chunks).decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # on Linux, what ends the output of a pseudo-terminal
        return b""


def screen(written: str) -> list[str]:
    """The lines that stand on the screen once everything was written; colours stay as they are."""
    lines, row, position, fresh = [""], 0, 0, False

    def put(text: str) -> None:
        nonlocal fresh
        if text:
            lines[row] = text if fresh else lines[row] + text
            fresh = False

    for code in _CODES.finditer(written):
        put(written[position : code.start()])
        position = code.end()
        if code[2] == "A":
            row = max(0, row - int(code[1] or 1))
        elif code[2] == "K":
            lines[row] = ""
        elif code[3]:
            fresh = True
        elif code[4]:
            row, fresh = row + 1, False
            if row == len(lines):
                lines.append("")
    put(written[position:])
    return lines


def draw(screens: list[tuple[str, list[str]]]) -> str:
    """The screens of several commands, one after the other, as SVG."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for command, lines in screens:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        while lines and not lines[-1].strip():
            lines.pop()
        for line in lines:
            console.print(Text.from_ansi(line), soft_wrap=False)
        console.print()
    frame = _UNWANTED.sub("", CONSOLE_SVG_FORMAT)
    svg = console.export_svg(title="gym", theme=MONOKAI, code_format=frame, unique_id="run")
    svg = svg.replace("Fira Code", "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def main() -> None:
    """Run, draw, write."""
    with tempfile.TemporaryDirectory() as folder:
        screens = [(command, screen(record(command, Path(folder)))) for command in COMMANDS]
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(draw(screens), encoding="utf-8")


if __name__ == "__main__":
    main()
