"""A look at every model before the first rollout: what would fail all of them is found before anything is paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gym_core.contract.model import ModelBackend
from gym_core.domain.abandoned import Late, within
from gym_core.domain.blame import blaming
from gym_core.domain.errors import ConnectionFailedError, ModelError, UsageError
from gym_core.engine.model_calls.prices import Price, find_prices


@dataclass(slots=True)
class FirstLook:
    """What the look came to. `answered`: the roles whose endpoints said something. `notices`: warnings for the user.

    `prices`: of the models by role, where somebody has looked for them.
    """

    answered: set[str] = field(default_factory=set)
    notices: list[str] = field(default_factory=list)
    prices: Mapping[str, Price] = field(default_factory=dict)


async def look_at_models(
    models: Mapping[str, ModelBackend], seconds: float, given_prices: Mapping[str, Price]
) -> FirstLook:
    """Have each checked, and find its price meanwhile: as given by model, else as listed. Raises as `check_models`."""
    pricing = asyncio.create_task(asyncio.to_thread(find_prices, models, given_prices))
    try:
        look = await check_models(models, seconds)
    finally:
        prices = await pricing
    look.prices = prices
    return look


async def check_models(models: Mapping[str, ModelBackend], seconds: float) -> FirstLook:
    """Have each backend check itself, within `seconds`. Raises `UsageError` for what no rollout would survive."""
    look = FirstLook()
    for role, model in models.items():
        try:
            warnings, answered = await _asked(model, seconds)
            if answered:
                look.answered.add(role)
        except ModelError as error:
            if error.fatal or isinstance(error, ConnectionFailedError):
                raise UsageError(error.message, hint=error.hint or error.remedy) from error
            warnings = [error.message]
        look.notices += [warning if role == "policy" else f"{role}: {warning}" for warning in warnings]
    return look


async def _asked(model: ModelBackend, seconds: float) -> tuple[Sequence[str], bool]:
    """What a backend says of itself, and whether it has asked its endpoint for that."""
    info = model.describe()
    with blaming(model.context.name or type(model).__name__, "its first look at the model failed"):
        try:
            warnings = await within(model.check(), seconds, f"the first look of {info.endpoint}")
        except Late:
            return [f"{info.endpoint} did not answer a first look within {seconds:g} s"], False
    return warnings, info.checks
