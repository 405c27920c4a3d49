"""A Python file with a class as a plugin: no package, no entry point.

Whatever the class came from is hashed, so that rewards of two versions of it are not mixed: the file, and the files of
its folder that it imports, directly or by way of others. That is read from the source, without running it: imports
within functions count, those by a computed name do not, nor do the files that the code opens.

A script is a module with a name of its own, so that two `env.py` can be loaded at once. Its folder comes last on the
import path: `import helpers` finds `helpers.py` beside it, and nothing that lies there replaces an installed module by
accident. One that is hidden by another module of its name is an error. Scripts of two folders may each have their
`helpers.py`: whoever is loaded gets its own, and only one that would import it later, within a function, cannot.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.errors import UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.wiring.components import BrokenContract, offered_under
from gym_core.wiring.kinds import MAY_BE_ELSEWHERE, Kind
from gym_core.wiring.reference import Reference

_PREFIX = "gym_script_"


@dataclass(frozen=True, slots=True)
class Script:
    """A script that is loaded.

    `files`: the SHA-256 of it and of those beside it that it imports, by their names. `late`: the modules that it may
    import only once a function is called.
    """

    path: Path
    module: ModuleType
    files: Mapping[str, str]
    late: frozenset[str] = frozenset()


_loaded: dict[Path, Script] = {}
_folders: set[Path] = set()


def require_file(kind: Kind | None, reference: Reference) -> None:
    """Raise `UsageError` for a script that is not there, or that cannot be what is wanted."""
    path = reference.file
    if kind is not None and kind not in MAY_BE_ELSEWHERE:
        raise UsageError(f"{reference}: {kind.called} is a plugin that is installed", hint="name one")
    if path.is_dir():
        raise UsageError(f"{reference.path} is a folder", hint="a script is a Python file: FILE.py or FILE.py:CLASS")
    if not path.is_file():
        guess = did_you_mean(path.name, (file.name for file in path.parent.glob("*.py")), cutoff=0.75, shown=str)
        raise UsageError(
            f"{reference.path}: there is no such file{guess}", hint=f"it would be {path}, a Python file with a class"
        )


def load_script(kind: Kind, reference: Reference) -> tuple[Kind, type[Any], Script]:
    """The class of a script that a reference means, and its kind: that one, or one accepted in its place.

    Raises `UsageError`.
    """
    require_file(kind, reference)
    script = _script(reference.file, str(reference.path))
    cls = _named(kind, reference, script.module) if reference.member is not None else _only(kind, reference, script)
    found = next((one for one in kind.accepted if cls in _classes(one, script.module, cls.__name__).values()), kind)
    try:
        offered: type[Any] = offered_under(found, cls.__name__, {cls.__name__: cls})
    except BrokenContract as error:
        problem = str(error).replace(f"{found.hook}()[{cls.__name__!r}]", cls.__name__)
        raise UsageError(f"{reference.path}: {problem}", hint="`gym new` shows a whole one") from error
    return found, offered, script


def kinds_in(reference: Reference) -> list[Kind]:
    """The kinds of what a script has, or of the class that is named. Raises `UsageError`."""
    require_file(None, reference)
    module = _script(reference.file, str(reference.path)).module
    found = [kind for kind in MAY_BE_ELSEWHERE if _classes(kind, module, reference.member)]
    if not found:
        raise UsageError(f"{reference}: there is no environment, agent or model backend", hint=_WANTED)
    return found


def script_member(path: str, name: str) -> Any:
    """A class or a function of a script, by its qualified name: how another process finds it. Raises `UsageError`."""
    return reduce(getattr, name.split("."), _script(Path(path), path).module)


def member_of_script(value: Any) -> tuple[Callable[..., Any], tuple[str, str]] | None:
    """How a class or a function of a script is to be pickled, see `script_member`; None for any other."""
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or not module.startswith(_PREFIX):
        return None
    return script_member, (str(sys.modules[module].__file__), value.__qualname__)


def source_of_class(cls: type[Any]) -> str | None:
    """A reference to a class that is no part of a package: `/path/FILE.py:CLASS`; None where there can be none."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or "<locals>" in cls.__qualname__ or getattr(module, "__package__", None):
        return None
    return f"{os.path.abspath(file)}:{cls.__qualname__}"


def files_of(path: Path, late: set[str] | None = None) -> dict[str, str]:
    """The SHA-256 of a script and of those of its folder that it imports, by name. What is not there is left out.

    `late` is given the modules that functions import.
    """
    sources = _sources(path, late if late is not None else set())
    return {name: hashlib.sha256(source).hexdigest() for name, source in sorted(sources.items())}


_WANTED = "extend gym_core.ResourceServer, gym_core.Agent or gym_core.ModelBackend"


def _script(path: Path, shown: str) -> Script:
    """A script as a module; imported again where one of its files has changed."""
    late: set[str] = set()
    files = files_of(path, late)
    before = _loaded.get(path)
    if before is not None:
        if before.files == files:
            return before
        _forget(before)
    _give_way(path, files, shown)
    script = _loaded[path] = Script(path, _imported(path, shown), files, frozenset(late))
    return script


def _forget(script: Script) -> None:
    for name in script.files:
        sys.modules.pop(_module_name(name), None)
    sys.modules.pop(script.module.__name__, None)
    del _loaded[script.path]


def _imported(path: Path, shown: str) -> ModuleType:
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses, pickle and typing look their module up
    before = sys.dont_write_bytecode
    # a cache goes by seconds and sizes: what was edited since would run as it was
    sys.dont_write_bytecode = True
    try:
        # what a script prints when imported must not end up in the output that a command writes
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        del sys.modules[name]
        if asked_to_end(error):
            raise
        raise _broken(error, path, shown) from error
    finally:
        sys.dont_write_bytecode = before
    return module


def _broken(error: BaseException, path: Path, shown: str) -> UsageError:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        place = shown if error.filename in (None, str(path)) else error.filename
        line = (error.text or "").strip()
        return UsageError(f"{place}:{error.lineno}: {error.msg}" + (f": {line:.200}" if line else ""))
    if isinstance(error, OSError) and error.filename == str(path):
        return UsageError(f"{shown}: {error.strerror}")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f"{shown}:{lines[-1]}" if lines else shown
    return UsageError(f"{place}: {described(error)}", hint=_way_out(error))


def _way_out(error: BaseException) -> str:
    if isinstance(error, ImportError) and "relative import" in str(error):
        return "a script is in no package: `import helpers` finds helpers.py beside it"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install what offers {error.name.partition('.')[0]!r} where gym is, with `gym install`"
    if "event loop" in str(error):
        return 'put what is to run only when the file is the program below `if __name__ == "__main__":`'
    return "--debug shows the traceback"


def _classes(kind: Kind, module: ModuleType, member: str | None = None) -> dict[str, type[Any]]:
    """The classes of a kind by name: those that the file defines for others to use, the whole ones if there are any."""
    contract = kind.contract()
    found = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, contract)
        and (name == member if member else value.__module__ == module.__name__ and value.__name__ == name)
    }
    public = {name: cls for name, cls in found.items() if member or not name.startswith("_")}
    return {name: cls for name, cls in public.items() if not inspect.isabstract(cls)} or public


def _only(kind: Kind, reference: Reference, script: Script) -> type[Any]:
    found = _accepted(kind, script.module)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        names = ", ".join(found)
        raise UsageError(
            f"{reference.path} has {len(found)} {kind.label}s: {names}",
            hint=f"name one: {reference.path}:{next(iter(found))}",
        )
    for other in MAY_BE_ELSEWHERE:
        if classes := _classes(other, script.module):
            raise UsageError(
                f"{reference.path} has no {kind.label}; its class {next(iter(classes))} is {other.called}",
                hint=f"`{other.usage} {reference.path}`",
            )
    contract = kind.contract()
    raise UsageError(
        f"{reference.path} has no {kind.label}",
        hint=f"write a class in it that extends gym_core.{contract.__name__}",
    )


def _accepted(kind: Kind, module: ModuleType) -> dict[str, type[Any]]:
    return {name: cls for one in kind.accepted for name, cls in _classes(one, module).items()}


def _named(kind: Kind, reference: Reference, module: ModuleType) -> type[Any]:
    name = str(reference.member)
    found: Any = vars(module).get(name)
    if found is None:
        names = _accepted(kind, module)
        guess = did_you_mean(name, names)
        has = f"it has {', '.join(names)}" if names else f"it has no {kind.label} at all"
        raise UsageError(f"{reference.path} has no class {name!r}{guess}", hint=has)
    if not isinstance(found, type):
        raise UsageError(f"{reference}: {name} is no class but of {type(found).__name__}", hint="name a class")
    return found


def _module_name(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _give_way(path: Path, files: Mapping[str, str], shown: str) -> None:
    """Have imports of a script find what lies beside it. Raises `UsageError` where a name means another module."""
    first = next((index for index, entry in enumerate(sys.path) if Path(entry) in _folders), len(sys.path))
    if sys.path[first : first + 1] != [str(path.parent)]:
        sys.path.insert(first, str(path.parent))
    _folders.add(path.parent)
    for file in files:
        name = _module_name(file).partition(".")[0]
        if file == path.name or (where := _origin(name)) is None or _is_beside(where, path.parent, name):
            continue
        owner = next((folder for folder in _folders if _is_beside(where, folder, name)), None)
        needed = any(name in script.late for script in _loaded.values() if script.path.parent == owner)
        if owner is not None and not needed:
            for module in [module for module in sys.modules if module.partition(".")[0] == name]:
                del sys.modules[module]
            if (where := _origin(name)) is None or _is_beside(where, path.parent, name):
                continue
        raise UsageError(
            f"{shown} imports {name!r}, which is {path.parent / file} and {where}",
            hint=f"rename {file.partition('/')[0]}",
        )


def _origin(module: str) -> Path | None:
    """Where a module is imported from; None where nothing is known of that."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    where = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    return Path(where) if where is not None else None


def _is_beside(origin: Path, folder: Path, name: str) -> bool:
    top = next((parent for parent in (origin, *origin.parents) if parent.name in (name, f"{name}.py")), origin)
    with contextlib.suppress(OSError):
        return top.parent.samefile(folder)
    return False


def _sources(path: Path, late: set[str]) -> dict[str, bytes]:
    """A script and what it imports from its folder, by name with slashes."""
    found: dict[str, bytes] = {}
    waiting = [path.name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            source = (path.parent / name).read_bytes()
        except OSError:
            continue
        found[name] = source
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue  # said when it is imported
        package = name.split("/")[:-1]
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        late |= {module.partition(".")[0] for function in functions for module in _imports(function, package)}
        for module in set(_imports(tree, package)):
            waiting += _beside(path.parent, module)
    return found


def _imports(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """The modules that a source may import, with dots; `package`: where it lies."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [] if not node.level else package[: len(package) - node.level + 1]
            stem = ".".join([*base, *filter(None, [node.module])])
            yield stem
            yield from (f"{stem}.{alias.name}" if stem else alias.name for alias in node.names)


def _beside(folder: Path, module: str) -> Iterator[str]:
    """The files of a folder that importing a module runs."""
    parts = module.split(".")
    for number in range(1, len(parts) + 1):
        stem = "/".join(parts[:number])
        for file in (f"{stem}.py", f"{stem}/__init__.py"):
            if stem and (folder / file).is_file():
                yield file
