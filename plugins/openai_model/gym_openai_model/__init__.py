"""OpenAI and OpenAI-compatible endpoints as the model backend `openai`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gym_core import ModelBackend


@hookimpl(contract=1)
def gym_model_backends() -> Mapping[str, type[ModelBackend]]:
    """The backend `openai`."""
    from gym_openai_model.backend import OpenAIModel

    return {"openai": OpenAIModel}
