"""What a token costs: from a file of the user's, else from the bundled tables of `genai-prices`.

Money is counted in whole picodollars (1e-12 USD), so that sums are exact and a limit is kept to the last call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from gym_core.contract.model import ModelBackend
from gym_core.domain.errors import UsageError
from gym_core.domain.json_text import parse_json
from gym_core.domain.responses import Usage, token_count

PICO = 10**12
"""Picodollars in a dollar."""
_PER_TOKEN = 10**6
"""Picodollars per token in one USD per million tokens."""

EXAMPLE = '["MODEL"] with `input = USD` and `output = USD` per million tokens'


@dataclass(frozen=True, slots=True)
class Rates:
    """Picodollars per token. They hold for requests of more than `above` input tokens."""

    input: int
    cached: int
    output: int
    above: int = -1


@dataclass(frozen=True, slots=True)
class Price:
    """What calls of one model cost.

    `tiers`: other rates for long requests, by rising `above`; the last one that applies holds for all tokens of the
    request. `per_call`: picodollars for the call itself.
    """

    base: Rates
    tiers: tuple[Rates, ...] = ()
    per_call: int = 0

    def of(self, usage: Usage) -> int:
        """What a call cost, in picodollars."""
        return self.amount(usage.input_tokens, usage.output_tokens, usage.cached_tokens)

    def amount(self, input_tokens: int, output_tokens: int, cached_tokens: int) -> int:
        """What a call of so many tokens costs, in picodollars; the cached ones are among the input."""
        rates = self.base
        for tier in self.tiers:
            if input_tokens > tier.above:
                rates = tier
        cached = min(cached_tokens, input_tokens)
        fresh = input_tokens - cached
        return fresh * rates.input + cached * rates.cached + output_tokens * rates.output + self.per_call

    def at_most(self, input_tokens: int, output_tokens: int) -> int:
        """What a call of at most so many tokens can cost, in picodollars."""
        reached = [self.base, *(tier for tier in self.tiers if input_tokens > tier.above)]
        before = max(max(rates.input, rates.cached) for rates in reached)
        after = max(rates.output for rates in reached)
        return input_tokens * before + output_tokens * after + self.per_call

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the manifest: USD per million tokens."""
        shown = [
            {"input": tier.input / _PER_TOKEN, "cached_input": tier.cached / _PER_TOKEN}
            | {"output": tier.output / _PER_TOKEN}
            | ({"above": tier.above} if tier.above >= 0 else {})
            for tier in (self.base, *self.tiers)
        ]
        wire: dict[str, Any] = shown[0]
        if len(shown) > 1:
            wire["tiers"] = shown[1:]
        if self.per_call:
            wire["per_call"] = self.per_call / PICO
        return wire


def rates(input: Decimal | float, output: Decimal | float, cached: Decimal | float | None = None) -> Rates:
    """Rates given in USD per million tokens; `cached` defaults to `input`."""
    return Rates(_pico(input), _pico(input if cached is None else cached), _pico(output))


def dollars(pico: int) -> float:
    """Picodollars as USD."""
    return pico / PICO


def cost_of(price: Price, usage: Any) -> float | None:
    """What a call cost in USD, by its usage object; None where that says nothing."""
    # once per call of every run: `Usage.of` would cost more than the rest
    asked = token_count(usage, "input_tokens")
    if not asked:
        return None
    cached = token_count(usage.get("input_tokens_details"), "cached_tokens")
    return price.amount(asked, token_count(usage, "output_tokens"), cached) / PICO


def find_prices(models: Mapping[str, ModelBackend], given: Mapping[str, Price]) -> dict[str, Price]:
    """The price of each role's model: as given by model id, else as listed. A role nobody has a price for is missing.

    Takes a while the first time: the tables are large. Sends nothing.
    """
    found: dict[str, Price] = {}
    for role, model in models.items():
        price = given.get(model.describe().model_id) or _listed(model)
        if price is not None:
            found[role] = price
    return found


def unknown_price(role: str, model: ModelBackend, file: str | Path | None) -> UsageError:
    """The error for a model without a price where a price is needed."""
    info = model.describe()
    which = f"`{info.model_id}`" + (f" (role {role})" if role != "policy" else "")
    place = f" in {file} and none" if file is not None else ""
    extra = "" if _tables() is not None else "; or install the price tables: `pip install 'gym-core[cost]'`"
    return UsageError(
        f"--max-cost needs prices, and there is none{place} known for the model {which} at {info.endpoint}",
        hint=f"--prices FILE gives it, a TOML file: {EXAMPLE}{extra}",
    )


def read_prices(path: str | Path) -> dict[str, Price]:
    """Prices by model id from a TOML or JSON file, see the how-to page on cost. Raises `UsageError`."""
    import tomllib

    from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

    class Row(BaseModel):
        model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

        input: Decimal = Field(ge=0)
        output: Decimal = Field(ge=0)
        cached_input: Decimal | None = Field(None, ge=0)

    path = Path(path)
    try:
        text = path.read_bytes()
        stored = parse_json(text, strict=True) if path.suffix == ".json" else tomllib.loads(text.decode("utf-8-sig"))
        rows = TypeAdapter(dict[str, Row]).validate_python(stored)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", hint="--prices names a TOML or JSON file") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path}: {place}: {first['msg'].lower()}", hint=f"write {EXAMPLE}, the name in quotes"
        ) from error
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise UsageError(f"{path}: not a {kind} file: {error}", hint=f"write {EXAMPLE}") from error
    return {model: Price(rates(row.input, row.output, row.cached_input)) for model, row in rows.items()}


def _listed(model: ModelBackend) -> Price | None:
    """The price in the bundled tables, of exactly the provider that the endpoint belongs to."""
    model_id, endpoint = (info := model.describe()).model_id, info.endpoint
    if endpoint.startswith(("http://", "unix:")) or not model_id:
        return None  # a server of one's own; no provider sells without TLS
    tables = _tables()
    if tables is None:
        return None
    # The same model costs different amounts at different providers: its name alone says nothing.
    seller = {"provider_api_url": endpoint} if endpoint.startswith("https://") else {"provider_id": model.context.name}
    usage = tables.Usage(input_tokens=1, output_tokens=1)
    now = datetime.now(UTC)
    try:
        found = tables.calc_price(usage, model_id, genai_request_timestamp=now, **seller)
        offers = [found.model_price]
        if isinstance(found.model.prices, list):  # it may depend on the time of day: take the dearest hour
            hours = [now + timedelta(minutes=30 * number) for number in range(48)]
            offers = [found.model.get_prices(hour) for hour in hours]
    except (LookupError, ValueError):
        return None
    prices = [price for price in map(_converted, offers) if price is not None]
    return max(prices, key=lambda price: price.at_most(1000, 1000)) if prices else None


def _converted(offer: Any) -> Price | None:
    """A price of the tables as ours; None where it is not one per token."""
    if offer.input_mtok is None or offer.output_mtok is None:
        return None
    cached = offer.input_mtok if offer.cache_read_mtok is None else offer.cache_read_mtok
    parts = (offer.input_mtok, cached, offer.output_mtok)
    starts = sorted({tier.start for part in parts for tier in getattr(part, "tiers", ())})
    base, *tiers = (_rates(parts, start) for start in (-1, *starts))
    per_thousand = _at(offer.requests_kcount, -1) if offer.requests_kcount is not None else Decimal(0)
    return Price(base, tuple(tiers), _whole(per_thousand * PICO / 1000))


def _rates(parts: tuple[Any, Any, Any], above: int) -> Rates:
    input, cached, output = (_pico(_at(part, above)) for part in parts)
    return Rates(input, cached, output, above)


def _at(price: Any, start: int) -> Decimal:
    """A price for requests of more than `start` input tokens."""
    value: Decimal = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if tier.start <= start:
            value = tier.price
    return value


def _tables() -> Any:
    try:
        import genai_prices
    except ImportError:
        return None
    return genai_prices


def _pico(usd_per_million: Decimal | float) -> int:
    return _whole(Decimal(str(usd_per_million)) * _PER_TOKEN)


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))
