"""Packages of others in venvs of their own, and what was seen of them: for tests with the mark `foreign`.

`make test-foreign` runs these and writes what they recorded into the documentation. The venvs lie in `.foreign` and are
made once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".foreign"
RESULTS = CACHE / "results.jsonl"


def foreign_python(
    name: str, requirements: Sequence[str], alone: Sequence[str] = (), instead: Sequence[str] = ()
) -> Path:
    """The interpreter of a venv with these requirements.

    `alone`: what is installed without what it depends on. `instead`: what stands in place of what others ask for by
    these names.
    """
    folder = CACHE / name
    python = folder / "bin" / "python"
    wanted = json.dumps([*requirements, *alone, *instead])
    stamp = folder / "requirements.json"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        uv = [sys.executable, "-m", "uv"]
        environment = {name: value for name, value in os.environ.items() if name not in ("UV_OFFLINE", "PIP_NO_INDEX")}
        _done([*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], environment)
        install = [*uv, "pip", "install", "--quiet", "--python", str(python)]
        if instead:
            overrides = folder / "overrides.txt"
            overrides.write_text("\n".join(instead), encoding="utf-8")
            install += ["--overrides", str(overrides)]
        if "PIP_FIND_LINKS" in environment:
            install += ["--find-links", environment["PIP_FIND_LINKS"]]
        if requirements:
            _done([*install, *requirements], environment)
        if alone:
            _done([*install, "--no-deps", *alone], environment)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def foreign_check(python: Path, script: Path, *arguments: str) -> None:
    """Run a script there. Its last line is JSON: `package`, and `ran`, what was loaded by what, which is recorded.

    `table`, where it is there, names another table of the documentation than the one of trainers.
    """
    environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    output = _done([str(python), str(script), *arguments], environment)
    said = json.loads(output.splitlines()[-1])
    with RESULTS.open("a", encoding="utf-8") as file:
        for what, loaded in said["ran"].items():
            line = {"what": what, "package": said["package"], "loaded": loaded, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
            if "table" in said:
                line["table"] = said["table"]
            file.write(json.dumps(line) + "\n")


def record_parity(python: Path, script: Path, table: str, fewest: int, *arguments: str) -> None:
    """Have environments played by both runners, and keep what was seen for the `table` of a page.

    The script's last line is JSON: `package`, and `environments`, each with its `environment`, and whether both had the
    `same_requests` and the `same_rewards`.
    """
    variables = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    said = json.loads(_done([str(python), str(script), *arguments], variables).splitlines()[-1])
    folder = CACHE / "parity"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{table}.json").write_text(json.dumps({**said, "date": f"{datetime.now(UTC):%Y-%m-%d}"}))
    different = [one for one in said["environments"] if not (one["same_requests"] and one["same_rewards"])]
    assert not different, f"{different}: what differs is told by {script}"
    assert len(said["environments"]) >= fewest


def _done(command: Sequence[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"
    return done.stdout
