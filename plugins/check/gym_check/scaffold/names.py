"""What a new plugin may be called, and the names that follow from it."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass

from gym_core import UsageError

LONGEST = 40
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[._-][A-Za-z0-9]+)*")
_RESERVED = frozenset({"gym", "test", "tests", "plugin", "plugins"})
_HINT = "use letters, digits and single `_`, `-` or `.` between them, such as my_env"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one plugin. `name`: of the entry point, which users type. `cls`: of its class."""

    name: str

    @property
    def distribution(self) -> str:
        """What is installed, and the name of its folder: `gym-my-env`."""
        return "gym-" + re.sub(r"[._-]+", "-", self.name).lower()

    @property
    def package(self) -> str:
        """What is imported: `gym_my_env`."""
        return self.distribution.replace("-", "_")

    @property
    def cls(self) -> str:
        """The class: `MyEnv`."""
        return "".join(word[0].upper() + word[1:] for word in re.split(r"[._-]+", self.name))

    @property
    def title(self) -> str:
        """In words: `My env`."""
        words = " ".join(re.split(r"[._-]+", self.name))
        return words[0].upper() + words[1:]


def check_name(name: str) -> Names:
    """The names that follow from one that a user chose. Raises `UsageError` for one that would make trouble."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a plugin", hint=_HINT)
    if len(name) > LONGEST:
        raise UsageError(f"{name!r} is too long: a name has at most {LONGEST} characters", hint="choose a shorter one")
    names = Names(name)
    if re.match(r"gym[._-]", name, re.IGNORECASE):
        raise UsageError(f"{name!r}: the package is called gym-... by itself", hint=f"write {name[4:]}")
    if name.lower() in _RESERVED or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UsageError(f"{name!r} is reserved", hint="choose another name")
    if name in sys.stdlib_module_names:
        raise UsageError(f"{name!r} is a module of Python's standard library", hint="choose another name")
    if importlib.util.find_spec(names.package) is not None:
        raise UsageError(
            f"a package `{names.package}` is installed already, and {names.distribution} would replace it",
            hint="choose another name, or uninstall it first",
        )
    return names
