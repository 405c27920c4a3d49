"""Writes which resources servers a wheel of NeMo Gym has, and what each needs: `python scripts/nemo_servers.py WHEEL`.

It reads the files and runs nothing of them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "plugins" / "nemo_servers" / "gym_nemo_servers" / "servers.json"
_OWN = re.compile(r"-e\s|nemo-gym\b")
_REQUIRED = re.compile(r"^Requires-Dist: (.*)$", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+)\(([^)]*)\):", re.MULTILINE)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def main(wheel: str) -> None:
    """Write the table. `wheel`: a path."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        apps = sorted(name for name in names if re.fullmatch(r"resources_servers/\w+/app\.py", name))
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = archive.read(metadata).decode()
        there = {_bare(line) for line in _REQUIRED.findall(said) if "extra ==" not in line}
        servers, aliases = {}, {}
        for app in apps:
            folder = app.rpartition("/")[0]
            ident = folder.rpartition("/")[2]
            text = archive.read(app).decode()
            wants = f"{folder}/requirements.txt"
            lines = archive.read(wants).decode().splitlines() if wants in names else []
            needs = [one for one in _needs(lines) if one.lower() not in there]
            servers[ident] = {**({"needs": needs} if needs else {}), **({"steps": True} if _steps(text) else {})}
            if (alias := _alias(text)) is not None and alias != ident:
                aliases.setdefault(alias, []).append(ident)
    only = {alias: idents[0] for alias, idents in aliases.items() if len(idents) == 1 and alias not in servers}
    version = Path(wheel).name.split("-")[1]
    lines = ",\n".join(f"{json.dumps(ident)}: {json.dumps(about)}" for ident, about in servers.items())
    text = f'{{"version": "{version}",\n"aliases": {json.dumps(only)},\n"servers": {{\n{lines}\n}}}}\n'
    TABLE.write_text(text, encoding="utf-8")


def _bare(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower()


def _needs(lines: list[str]) -> list[str]:
    """The packages of an index or of a URL; a folder of the repository is none, NeMo Gym itself is there anyway."""
    plain = [line.partition(" #")[0].strip() for line in lines]
    return [line for line in plain if line and not line.startswith("#") and not _OWN.match(line)]


def _steps(text: str) -> bool:
    return "GymnasiumServer)" in text or ("/reset" in text and "/step" in text and "async def verify" not in text)


def _alias(text: str) -> str | None:
    """What the class is called, as a folder would be: `SimpleWeatherResourcesServer` is `simple_weather`."""
    found = [name for name, _ in _CLASS.findall(text) if name.endswith("ResourcesServer")]
    return _WORDS.sub("_", found[-1].removesuffix("ResourcesServer")).lower() if found else None


if __name__ == "__main__":
    main(sys.argv[1])
