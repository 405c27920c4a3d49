"""Components found by their references, given their options, made and opened: every command and server comes this way.

So whoever looks at a component sees the same one, and whatever goes wrong on the way has the name of its plugin.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gym_core.contract.component import Component, ComponentContext
from gym_core.domain.abandoned import lifespan
from gym_core.domain.blame import blaming
from gym_core.domain.errors import ModelError, UsageError
from gym_core.wiring.config_file import AGENT, PLACES, POLICY, Configured
from gym_core.wiring.kinds import Kind
from gym_core.wiring.manager import Loaded, PluginManager
from gym_core.wiring.options import Resolved, resolve_options
from gym_core.wiring.reference import Reference
from gym_core.wiring.secrets import Redactor

CLOSING_SECONDS = 30.0
"""How long a component may take to close."""
_PLACES = {Kind.RUNNER: AGENT, **{kind: place for place, kind in PLACES.items()}}


def place_of(kind: Kind, role: str = "") -> str:
    """What files and manifests call a component's place in a run: the role of a model, `env`, ..."""
    return (role or POLICY) if kind is Kind.MODEL else _PLACES[kind]


@dataclass(frozen=True, slots=True)
class Made:
    """A component that is not open yet, and where it came from."""

    component: Any
    loaded: Loaded
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the components of a command. `configured`: what a file gives each place, see `place_of`.

    Secrets that it meets are added to `redactor`.
    """

    manager: PluginManager
    redactor: Redactor
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    configured: Mapping[str, Configured] = field(default_factory=dict)

    def make(
        self,
        kind: Kind,
        reference: Reference | str,
        given: Mapping[str, Any],
        *,
        role: str = "",
        seed: int = 0,
        concurrency: int = 1,
        environment: Loaded | None = None,
    ) -> Made:
        """Load a component's class, resolve its options and make it, which opens nothing yet.

        `environment`: of the run, where it is made already: its own runners live where it does.
        Raises `UsageError`, `PluginError`.
        """
        loaded = self.manager.load_in_venv(kind, reference, environment)
        flag = kind.setter if role in ("", POLICY) else f"{kind.setter} {role}."
        offered, name, selector = loaded.component, loaded.reference.name, loaded.reference.selector
        configured = self.configured.get(place_of(kind, role))
        if loaded.source is not None:
            resolved = loaded.source.resolve(offered, given, selector, what=flag, configured=configured)
        else:
            shown = str(loaded.reference.path) if loaded.script is not None else ""
            resolved = resolve_options(
                offered, name, given, selector, environ=self.environ, what=flag, configured=configured, shown=shown
            )
        self.redactor.keep(name, selector or "", loaded.plugin.distribution)
        self.redactor.add(*resolved.secrets)
        context = ComponentContext(
            name=name, role=role, seed=seed, concurrency=concurrency, redact=self.redactor.redact
        )
        component = construct(loaded, resolved.options, context)
        self.redactor.add(*component.secrets)
        return Made(component, loaded, resolved)


def construct(loaded: Loaded, options: Any, context: ComponentContext) -> Component:
    """A component of a class. Raises `PluginError` for whatever its code raises that is no error of gym's."""
    with blaming(loaded.plugin.distribution, f"{loaded.reference} cannot be made"):
        component: Component = loaded.component(options, context)
        _look_at(component)
    return component


def _look_at(component: Component) -> None:
    """Have it say what it is, so that a property that raises is met where its owner is known."""
    _ = component.secrets
    component.describe()


async def enter(
    stack: AsyncExitStack, component: Any, kind: Kind, owner: str = "", *, closing: float = CLOSING_SECONDS
) -> Any:
    """Open a component, which `stack` closes within `closing` seconds.

    `owner`: the distribution to blame, by default the component's name. Raises `UsageError` for an endpoint that
    refuses, `PluginError` for whatever else goes wrong on opening or closing.
    """
    return await stack.enter_async_context(_opened(component, kind, owner, closing))


@asynccontextmanager
async def _opened(component: Any, kind: Kind, owner: str, closing: float) -> AsyncIterator[Any]:
    name = component.context.name or type(component).__name__
    owner = owner or name
    life = lifespan(component, closing, f"the {kind.label} {name}")
    try:
        with blaming(owner, f"the {kind.label} could not start"):
            opened = await life.__aenter__()
            _look_at(opened)
    except ModelError as error:
        raise UsageError(error.message, hint=error.hint or error.remedy) from error
    try:
        yield opened
    finally:
        with blaming(owner, f"the {kind.label} could not stop"):
            await life.__aexit__(None, None, None)
