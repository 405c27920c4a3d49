"""Writing a plugin's package from its templates."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import gym_core
from gym_check.scaffold.names import Names
from gym_core import UsageError
from gym_core.spi import Kind

LICENSES = ("Apache-2.0", "MIT")


@dataclass(frozen=True, slots=True)
class _Wording:
    """What the common files say of a kind of plugin. `run`: how to try it, `check`: how to check it."""

    folder: str
    summary: str
    about: str
    parts: str
    run: str
    check: str


_WORDINGS = {
    Kind.RESOURCE_SERVER: _Wording(
        "env",
        "An environment for gym: questions about prices that only a tool knows",
        "The model is asked what some things cost together, looks each price up with the tool `look_up`, and ends with "
        "the\ntotal. The reward is 1 when the last number of its answer is the total, otherwise 0.",
        "| the state of one rollout, its tools, its verifier | `{cls}Session` in `{package}/__init__.py` |\n"
        "| the tasks it ships | `{cls}.tasks` |",
        "gym run --model openai --env {name}",
        "gym check {name}",
    ),
    Kind.MODEL: _Wording(
        "model",
        "A model backend for gym that gives one answer to everything",
        "Without an answer, as in `--model {name}`, it repeats the last message. It costs nothing, which makes it a "
        "stand-in for\na model where only the rest is to be tried.",
        "| the model call | `{cls}.respond` in `{package}/__init__.py` |\n| what users may set | `{cls}Options` |",
        'gym run --model "{name}:I do not know." --env simple_weather',
        "gym plugins check",
    ),
    Kind.AGENT: _Wording(
        "agent",
        "An agent for gym: calls tools until the model answers",
        "Each turn sends the whole conversation. Calls are answered by the environment, and so is a response without "
        "calls;\nwhere the environment has nothing to say, the rollout is done.",
        "| the loop | `{cls}.run` in `{package}/__init__.py` |\n| what users may set | `{cls}Options` |",
        "gym run --model openai --env simple_weather --agent {name}",
        "gym plugins check",
    ),
}


@dataclass(frozen=True, slots=True)
class Project:
    """A package to be written. `license`: one of `LICENSES`, or None to leave the choice to the author."""

    kind: Kind
    names: Names
    license: str | None = None

    @property
    def run_command(self) -> str:
        """How a user tries it."""
        return self._say(self._wording.run)

    @property
    def check_command(self) -> str:
        """How its author checks it."""
        return self._say(self._wording.check)

    @property
    def _wording(self) -> _Wording:
        return _WORDINGS[self.kind]

    def _say(self, text: str) -> str:
        return text.format(name=self.names.name, cls=self.names.cls, package=self.names.package)

    def files(self) -> dict[str, str]:
        """The text of every file by its path in the folder."""
        templates = files("gym_check.scaffold") / "templates"
        words, names, own = self._words(), self.names, templates / self._wording.folder
        rendered = {
            "pyproject.toml": _render(templates / "common" / "pyproject.toml.in", words),
            "README.md": _render(templates / "common" / "README.md.in", words),
            ".gitignore": _render(templates / "common" / "gitignore.in", words),
            ".github/workflows/ci.yml": _render(templates / "common" / "ci.yml.in", words),
            f"{names.package}/__init__.py": _render(own / "package.py.in", words),
            f"{names.package}/py.typed": "",
            f"tests/test_{names.package}.py": _render(own / "tests.py.in", words),
        }
        if self.license is not None:
            rendered["LICENSE"] = _render(templates / "licenses" / f"{self.license}.txt", words)
        return rendered

    def write(self, folder: Path) -> list[Path]:
        """Make the folder and everything in it. Raises `UsageError`; what is there already is left as it is."""
        rendered = self.files()
        if os.path.lexists(folder):
            raise UsageError(
                f"{folder} is there already, and nothing was written", hint="--path DIR names another folder"
            )
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made: {error.strerror or error}") from error
        try:
            for name, text in rendered.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)  # ours: it was not there a moment ago
            raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from error
        return [folder / name for name in rendered]

    def _words(self) -> dict[str, str]:
        names, wording = self.names, self._wording
        license_lines = f'license = "{self.license}"\nlicense-files = ["LICENSE"]\n' if self.license is not None else ""
        contents = [f"/{names.package}", *(["/LICENSE"] if self.license is not None else []), "/README.md", "/tests"]
        return {
            "name": names.name,
            "quoted_name": f'"{names.name}"' if "." in names.name else names.name,
            "distribution": names.distribution,
            "package": names.package,
            "cls": names.cls,
            "title": names.title,
            "group": self.kind.group,
            "core_version": _compatible(gym_core.__version__),
            "summary": wording.summary,
            "about": self._say(wording.about),
            "parts": self._say(wording.parts),
            "try_command": self.run_command,
            "check_command": self.check_command,
            "license_lines": license_lines,
            "sdist": ", ".join(f'"{path}"' for path in contents),
            "year": str(date.today().year),
        }


def _render(template: Traversable, words: Mapping[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(words)


def _compatible(version: str) -> str:
    """The versions of the core that a package made by this one goes with: `>=0.1,<1` for 0.1.0."""
    major, minor = version.split(".")[:2]
    return f">={major}.{minor},<{int(major) + 1}"
