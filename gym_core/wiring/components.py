"""Whether what a plugin offers keeps the contract of its kind."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from gym_core.wiring.kinds import Kind


class BrokenContract(Exception):
    """What is wrong with an offer, in words that follow the plugin's name."""


def offered_under(kind: Kind, name: str, offered: Any) -> Any:
    """What a hook's return value holds under an entry point's name: a component's class, or another object.

    Raises `BrokenContract`.
    """
    if not isinstance(offered, Mapping):
        what = "classes" if kind.is_component else f"{kind.label}s"
        raise BrokenContract(f"{kind.hook}() must return a mapping of names to {what}, not {_shown(offered)}")
    if name not in offered:
        names = ", ".join(repr(key) for key in offered) or "nothing"
        raise BrokenContract(f"{kind.hook}() offers {names}, but the entry point's name is {name!r}")
    cls = offered[name]
    contract = kind.contract()
    if not kind.is_component:
        if not isinstance(cls, contract):
            raise BrokenContract(f"{kind.hook}()[{name!r}] must be a {contract.__name__}, not {_shown(cls)}")
        return cls
    if not (isinstance(cls, type) and issubclass(cls, contract)):
        raise BrokenContract(f"{kind.hook}()[{name!r}] must be a subclass of {contract.__name__}, not {_shown(cls)}")
    _check_whole(cls)
    if kind is Kind.RESOURCE_SERVER:
        _check_sessions(cls)
    return cls


def _check_whole(cls: type[Any]) -> None:
    if inspect.isabstract(cls):
        missing = ", ".join(f"`{name}`" for name in sorted(cls.__abstractmethods__))
        raise BrokenContract(f"{cls.__name__} does not define {missing}")


def _check_sessions(cls: type[Any]) -> None:
    from gym_core.contract.resource_server import ResourceServer, Session
    from gym_core.contract.tools import class_tools

    session = getattr(cls, "session_type", None)
    if session is None:
        if cls.open_session is ResourceServer.open_session:
            raise BrokenContract(f"{cls.__name__} has neither `session_type` nor `open_session`")
        return
    if not (isinstance(session, type) and issubclass(session, Session)):
        raise BrokenContract(f"{cls.__name__}.session_type must be a subclass of Session, not {_shown(session)}")
    _check_whole(session)
    try:
        class_tools(session)
    except TypeError as error:
        raise BrokenContract(f"{session.__name__}: {error}") from error


def _shown(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__} {value!r:.80}"
