"""Loading a package: by `load_environment`, or as a taskset, as its version of verifiers has it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from packaging.version import Version

from gym_core import UsageError
from gym_core.spi import model_keys
from gym_verifiers.authors import by_its_author
from gym_verifiers.names import TASKSETS, Named, fits, installed_version, is_here, unknown
from gym_verifiers.own_models import KEY, own_models

if TYPE_CHECKING:
    from gym_verifiers.environment import VerifiersOptions
    from gym_verifiers.loaded import Loaded


def load(wanted: Named, options: VerifiersOptions) -> Loaded:
    """Load an environment. Raises `UsageError` for one that cannot be, whatever its code raises."""
    version = installed_version()
    if version is None:
        raise UsageError("verifiers is not installed here", hint=f"gym install --isolated {wanted}")
    if not fits(wanted, version):
        raise UsageError(
            f"{wanted} wants another verifiers than the {version} that is installed here",
            hint=f"gym install --isolated --upgrade {wanted}",
        )
    if not is_here(wanted):
        raise unknown(wanted)
    args, env = options.args, options.env
    hide = () if options.see_keys else model_keys()
    shown = {"OPENAI_API_KEY": KEY} if options.judge else {}
    with by_its_author(wanted, hide=hide, shown=shown), own_models(options.own_models()):
        module = importlib.import_module(wanted.module)
        if Version(version) >= TASKSETS:
            _require_taskset(wanted, module, version)
            from gym_verifiers.taskset import LoadedTaskset

            return LoadedTaskset(wanted, args, env)
        if not hasattr(module, "load_environment"):
            raise UsageError(
                f"{wanted.ident} has no `load_environment`, which verifiers {version} looks for",
                hint=f"a taskset needs verifiers 0.4: {wanted.at('0.4')}",
            )
        if env:
            raise UsageError("-E env= is for tasksets", hint="what `load_environment` takes is -E args.NAME=VALUE")
        from gym_verifiers.classic import LoadedEnvironment

        return LoadedEnvironment(wanted, args, options)


def _require_taskset(wanted: Named, module: ModuleType, version: str) -> None:
    if hasattr(module, "load_environment") and not hasattr(module, "__all__"):
        raise UsageError(
            f"{wanted.ident} is written for verifiers before 0.4, with `load_environment`, and {version} is here",
            hint=f"--env {wanted.at('0.3')}",
        )
