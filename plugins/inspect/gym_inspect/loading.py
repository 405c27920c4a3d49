"""Loading a task, by Inspect's own rules; what its author's code raises is one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Any

from gym_core import UsageError
from gym_core.spi import LoadFailure, changed_variables, did_you_mean, loading, model_keys
from gym_inspect.model import POLICY, model, standing_in
from gym_inspect.names import REQUIREMENT, Named, registered

SANDBOXES = ("local",)
"""The kinds of Inspect's sandboxes that are opened here: others have to be started for a whole task."""


def load(wanted: Named, args: Mapping[str, Any], sandbox: str | None) -> Any:
    """An `inspect_ai.Task`. `sandbox`: the kind to take instead of its own. Raises `UsageError`."""
    try:
        import inspect_ai  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"Inspect is not installed here: {error}", hint=f"gym install --isolated {wanted}, or {REQUIREMENT}"
        ) from error
    with loading(wanted, lambda failure: _hints(wanted, failure)):
        # in a context of its own: that the policy is the model at work ends with the loading
        task = copy_context().run(_made, wanted, args)
        if sandbox is not None:
            task.sandbox = _spec(sandbox)
            for sample in task.dataset:
                sample.sandbox = None
        kinds = {one.type for one in (task.sandbox, *(sample.sandbox for sample in task.dataset)) if one is not None}
    for kind in sorted(kinds.difference(SANDBOXES)):
        raise UsageError(
            f"{wanted} wants a sandbox of Inspect's kind `{kind}`, and only `local` can be opened here",
            hint="-E sandbox=local runs its commands in a folder of this machine, which protects nothing",
        )
    return task


def _made(wanted: Named, args: Mapping[str, Any]) -> Any:
    from inspect_ai.model import GenerateConfig
    from inspect_ai.model._model import init_active_model

    with standing_in(), changed_variables(model_keys()):  # it must not ask a model past the run
        init_active_model(model(POLICY), GenerateConfig())
        return _of_file(wanted, args) if wanted.file else _of_package(wanted, args)


def _spec(kind: str) -> Any:
    from inspect_ai.util import SandboxEnvironmentSpec

    return SandboxEnvironmentSpec(kind)


def _of_package(wanted: Named, args: Mapping[str, Any]) -> Any:
    from inspect_ai._eval.registry import task_create
    from inspect_ai._util.registry import registry_find, registry_info, registry_lookup

    if wanted.package not in registered():
        guess = did_you_mean(wanted.package, registered() - {"inspect_ai"}, most=3, shown=str)
        raise UsageError(
            f"no package {wanted.package} that registers with Inspect is installed here{guess}",
            hint=f"gym install --isolated {wanted} --with PKG names the package that brings it",
        )
    name = f"{wanted.package}/{wanted.task}"
    factory = registry_lookup("task", name) if wanted.task else None
    if factory is None:
        tasks = [registry_info(one).name for one in registry_find(lambda info: info.type == "task")]
        own = sorted(one for one in tasks if one.startswith(f"{wanted.package}/"))
        guess = did_you_mean(name, own, most=3, shown=str) if wanted.task else ""
        lacking = f"has no task {wanted.task!r}" if wanted.task else "is a package, and no task of it is named"
        raise UsageError(f"{wanted.package} {lacking}{guess}", hint=f"it has {len(own)}: {', '.join(own)[:200]}")
    _check_args(wanted, args, registry_info(factory).metadata.get("params", ()))
    return task_create(name, **args)


def _of_file(wanted: Named, args: Mapping[str, Any]) -> Any:
    from inspect_ai._eval.loader import create_file_tasks, load_file_tasks
    from inspect_ai._util.decorator import parse_decorators

    path = Path(wanted.file).absolute()
    if not path.is_file():
        raise UsageError(f"there is no file {wanted.file}", hint="inspect:./FILE.py@TASK")
    names = [name for name, _ in parse_decorators(path, "task")]
    if not wanted.task and len(names) != 1:
        raise UsageError(f"{wanted.file} has {len(names)} tasks", hint=f"inspect:{wanted.file}@{'|'.join(names)}"[:300])
    task = wanted.task or names[0]
    if task not in names:
        guess = did_you_mean(task, names, most=3, shown=str)
        raise UsageError(f"{wanted.file} has no task {task!r}{guess}", hint=f"it has {', '.join(names)}"[:300])
    load_file_tasks(path)
    return create_file_tasks(path, [task], dict(args))[0]


def _check_args(wanted: Named, args: Mapping[str, Any], known: Any) -> None:
    """Inspect goes on without an argument that it does not know."""
    for name in args:
        if name not in known and "kwargs" not in known:
            raise UsageError(
                f"{wanted} takes no argument {name!r}{did_you_mean(name, known, most=3, shown=str)}",
                hint=f"it takes {', '.join(known) or 'none'}",
            )


def _hints(wanted: Named, failure: LoadFailure) -> Iterator[str]:
    if failure.missing_module:
        yield f"gym install --isolated {wanted} --with {wanted.package or wanted.file} --with {failure.missing_module}"
    if "docker" in failure.text.lower():
        yield "it wants Docker, which is not here or does not work"
