"""What model backends, resource servers and agents share: options, context, life cycle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, ForwardRef, Generic, Self, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar


class Options(BaseModel):
    """The options of a component. Every field carries a description; the CLI, config files and the docs read them.

    Each option can be given as `-M/-E/-A field=value` or as the environment variable `GYM_<NAME>_<FIELD>`, where NAME
    is the component's; `Annotated[str, FromEnv("OPENAI_API_KEY")]` names further variables, read after that one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class FromEnv:
    """Marks an option: the environment variables it is also read from, the first one that is set winning."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class Selector:
    """Marks the one option that the part after the colon of a reference fills: `openai:gpt-4.1` -> `model`."""


@dataclass(frozen=True, slots=True)
class Operational:
    """Marks an option that changes how a run goes but not its results, such as a timeout: it may differ on resuming."""


@dataclass(frozen=True, slots=True)
class ComponentContext:
    """What a component is told about the run it serves.

    `name`: its own, as the user typed it. `role`: of a model backend, which model it is. `seed`: of the run.
    `concurrency`: how many rollouts run at once, for sizing pools. `redact`: masks the
    secrets of the run in a text, for a component that tells others what went wrong.
    """

    name: str = ""
    role: str = ""
    seed: int = 0
    concurrency: int = 1
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("gym"))
    redact: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentInfo:
    """What a component says of itself, as data. Nobody writes one: `describe` derives it from what is overridden.

    `component`: of one that works through another one, behind a URL say, what it knows of that one once it is open:
    `name`, `distribution`, `version` and `options`, which is what rows and the manifest call it. Empty for all others.
    `calls_from`: the host from which it will call endpoints of the run, where that is known; None where it is not, or
    where it calls none.
    """

    component: Mapping[str, Any] = field(default_factory=dict)
    calls_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Venv:
    """What a component needs around it and lacks here: packages that pin much, in a venv of their own.

    `name`: by what that venv is known, the reference that needs it: `verifiers:wordle`. `packages`: what is installed
    into it besides the component's own distribution, as pip takes it; the last one is what goes by the selector.
    `python`: the version that they want, `3.12`; empty for the one that gym runs on. `near`: says the references of
    what is known to exist and called much alike, for who has mistyped it; it is asked where that venv is not made.
    """

    name: str
    packages: Sequence[str]
    python: str = ""
    near: Callable[[], Iterable[str]] = field(default=tuple, compare=False)


OptionsT_co = TypeVar("OptionsT_co", bound=Options, default=Options, covariant=True)


class Component(Generic[OptionsT_co]):
    """The base of model backends, resource servers and agents.

    Its parameter is the class of its options, `class Counter(ResourceServer[CounterOptions])`, and `Options` of the
    class then, too; one without options has none. One instance serves a whole run. It is an async context manager:
    clients, pools and child processes are opened in `__aenter__` and closed in `__aexit__`. The docstring of the class
    is its documentation; its first line the summary.
    """

    Options: ClassVar[type[Options]] = Options
    options: OptionsT_co
    context: ComponentContext

    def __init_subclass__(cls, **settings: Any) -> None:
        """Take the class of the options from the parameter, see `options_of`."""
        super().__init_subclass__(**settings)
        given = options_of(cls, Component)
        if given is not None:
            cls.Options = given

    def __init__(self, options: OptionsT_co | None = None, context: ComponentContext | None = None) -> None:
        self.options = cast("OptionsT_co", self.Options()) if options is None else options
        self.context = context or ComponentContext()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def describe(self) -> ComponentInfo:
        """What it is capable of. May be asked as soon as it is made, and says its last word once it is open."""
        return ComponentInfo()

    @property
    def secrets(self) -> Sequence[str]:
        """Values that must appear in no output, besides those of `SecretStr` options: a key read from a file, say."""
        return ()

    @classmethod
    def venv(cls, selector: str | None) -> Venv | None:
        """The venv that it has to live in, where what it needs is not importable here; None where it needs none.

        For adapters of other frameworks: gym makes that venv once it is told to, and runs the component there.
        `selector`: what stands after the colon of the reference; empty for the one that several share, which is made by
        the adapter's name alone. Raises `UsageError` for one that can have no venv.
        """
        return None

    @classmethod
    def choices(cls) -> Sequence[str]:
        """What may stand after the colon of a reference, where that can be listed without asking a server."""
        return ()


def options_of(cls: type, root: type) -> type[Options] | None:
    """The class of options that a class gives as the parameter of its base, a kind of `root`; None where it gives none.

    Raises `TypeError` for options that are named by a text: there is no class to read them with.
    """
    found = None
    for base in vars(cls).get("__orig_bases__", ()):
        origin = get_origin(base)
        if not (isinstance(origin, type) and issubclass(origin, root)):
            continue
        for parameter in get_args(base):
            if isinstance(parameter, ForwardRef):
                raise TypeError(
                    f"{cls.__name__}: its options are {parameter.__forward_arg__!r}, a text; name the class itself, "
                    "and write it above"
                )
            if isinstance(parameter, type) and issubclass(parameter, Options):
                found = parameter
    return found
