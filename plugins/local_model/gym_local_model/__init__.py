"""The model backend `local`: a language model that runs on this machine, without a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core import ModelBackend

__version__ = "0.1.0"


@hookimpl(contract=1)
def gym_model_backends() -> Mapping[str, type[ModelBackend]]:
    """The model backends of this package."""
    from gym_local_model.backend import LocalModel

    return {"local": LocalModel}
