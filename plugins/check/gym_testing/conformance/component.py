"""What is asked of every plugin, whatever it offers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from gym_core import ComponentContext, GymError, Options
from gym_core.spi import Kind, Plugin, PluginManager, Reference, option_fields, resolve_options
from gym_testing.conformance.imports import PROBE

HEAVY = frozenset(
    {
        *("aiohttp", "anthropic", "fastapi", "httpx", "openai", "requests", "tiktoken"),
        *("numpy", "pandas", "scipy", "sklearn", "sympy", "matplotlib", "PIL"),
        *("datasets", "tensorflow", "torch", "transformers", "vllm", "xllamacpp"),
        *("boto3", "docker", "playwright", "rich", "selenium", "sqlalchemy"),
    }
)
"""Packages that cost everybody who lists plugins, where the module of an entry point imports them."""


class ComponentConformance:
    """The part that all suites share.

    `reference`: what a user types, such as `"my_env"` or `"my_env:family"`. `options`: those of the component in all
    tests. `heavy`: top-level packages that the entry point's module must not import. `over_http`: True to look at the
    component as it is behind a port. All may be set for the class or, in a fixture, for the test. Override `make` where
    a component needs more than options.
    """

    kind: ClassVar[Kind]
    reference: str = ""
    options: Mapping[str, Any] = {}
    heavy: Collection[str] = HEAVY
    over_http: bool = False

    def plugin(self) -> Plugin:
        """The installed entry point behind `reference`."""
        try:
            return PluginManager(environ={}).find(self.kind, self.reference)
        except GymError as error:
            raise AssertionError(
                f"{error}; is the package installed, and `reference` the entry point's name?"
            ) from None

    def component(self) -> type[Any]:
        """The component's class, by way of its entry point, or of its file."""
        plugin, reference = self.plugin(), Reference.parse(self.reference)
        wanted = plugin.qualified_name if reference.path is None else replace(reference, selector=None)
        try:
            cls: type[Any] = PluginManager(environ={}).load(self.kind, wanted).component
        except GymError as error:
            raise AssertionError(str(error)) from error
        return cls

    def make(self) -> Any:
        """A new component with `options`, not yet opened."""
        reference = Reference.parse(self.reference)
        cls = self.component()
        try:
            resolved = resolve_options(
                cls, reference.name, self.options, reference.selector, environ={}, what="options "
            )
        except GymError as error:
            raise AssertionError(f"`options` of this suite do not fit: {error}") from None
        return cls(resolved.options, ComponentContext(name=reference.name, concurrency=2))

    def test_entry_point_offers_the_component(self) -> None:
        """The name of the entry point is the one that the hook offers, with a whole class of the right kind."""
        assert self.reference, f"{type(self).__name__}.reference is not set: write what a user types"
        self.component()

    def test_import_is_light(self) -> None:
        """The entry point's module imports nothing heavy, and prints nothing. Nobody lists a script unasked."""
        if Reference.parse(self.reference).path is not None:
            return
        module = self.plugin().module.partition(":")[0]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", PROBE, module], env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, f"{module} cannot be imported:\n{done.stderr}"
        *printed, modules = done.stdout.splitlines()
        assert not printed, f"importing {module} prints {printed[0]!r}; nothing may be printed there"
        found = sorted(set(json.loads(modules)) & set(self.heavy))
        assert not found, (
            f"importing {module} imports {', '.join(found)}: import it in the function that needs it, "
            "since listing and checking plugins imports this module"
        )

    def test_is_documented(self) -> None:
        """The class has a docstring of its own; its first line is the summary that users see."""
        cls = self.component()
        words = (cls.__dict__.get("__doc__") or "").strip()
        assert words, f"{cls.__name__} has no docstring; `gym plugins show` shows it to users"
        assert words.splitlines()[0].strip(), f"the docstring of {cls.__name__} must begin with a summary"

    def test_options_are_described(self) -> None:
        """Every option says what it does, and a mistyped one is refused."""
        cls = self.component()
        assert issubclass(cls.Options, Options), f"{cls.__name__}.Options must be a subclass of gym_core.Options"
        assert cls.Options.model_config.get("extra") == "forbid", (
            f"{cls.__name__}.Options takes options that it does not know, so that a typo goes unnoticed"
        )
        silent = [option.name for option in option_fields(cls) if not option.description.strip()]
        assert not silent, f"options of {cls.__name__} without a description: {', '.join(silent)}"

    def test_options_resolve(self) -> None:
        """The options of this suite make a component that keeps them."""
        made = self.make()
        assert made.options is not None, f"{type(made).__name__} loses its options: pass them to super().__init__"
        assert made.context.name == Reference.parse(self.reference).name, (
            f"{type(made).__name__} loses its context: pass it to super().__init__"
        )
