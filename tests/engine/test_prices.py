"""What tokens cost: the user's file, the bundled tables, and what becomes of a price nobody knows."""

from __future__ import annotations

import socket
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import ComponentContext, Usage, UsageError
from gym_core.engine.model_calls.prices import Price, Rates, cost_of, dollars, find_prices, rates, read_prices
from tests.support.models import USAGE, ScriptedModel
from tests.support.running import collect

TOML = '["gpt-4.1-mini"]\ninput = 0.4\ncached_input = 0.1\noutput = 1.6\n\n[m]\ninput = 1\noutput = 2\n'


class Hosted(ScriptedModel):
    """A model of some provider."""

    def __init__(self, model: str, endpoint: str, name: str = "openai") -> None:
        super().__init__()
        self.context = ComponentContext(name=name)
        self.model, self.url = model, endpoint

    @property
    def model_id(self) -> str:
        return self.model

    @property
    def endpoint(self) -> str:
        return self.url


def listed(model: str, endpoint: str = "https://api.openai.com/v1", name: str = "openai") -> Price | None:
    return find_prices({"policy": Hosted(model, endpoint, name)}, {}).get("policy")


def test_a_toml_file_gives_prices(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(TOML)
    prices = read_prices(file)
    assert prices["gpt-4.1-mini"] == Price(rates(0.4, 1.6, 0.1))
    assert prices["m"].base.cached == prices["m"].base.input, (
        "without a price of their own, cached tokens cost as others"
    )


def test_a_json_file_gives_the_same(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"gpt-4.1-mini": {"input": 0.4, "cached_input": 0.1, "output": 1.6}}')
    assert read_prices(file) == {"gpt-4.1-mini": Price(rates(0.4, 1.6, 0.1))}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.toml", "[gpt-4.1]\ninput = 1\noutput = 2\n", "in quotes"),
        ("p.toml", "[m]\ninput = 1\n", "m.output: field required"),
        ("p.toml", "[m]\ninput = -1\noutput = 2\n", "m.input"),
        ("p.toml", "[m]\ninput = nan\noutput = 2\n", "m.input"),
        ("p.toml", "[m]\ninput = 1\noutput = 2\nouptut = 3\n", "m.ouptut"),
        ("p.toml", "not toml", "not a TOML file"),
        ("p.json", "{", "not a JSON file"),
        ("p.json", "[1]", "dictionary"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, name: str, text: str, words: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as refused:
        read_prices(file)
    assert str(file) in refused.value.message


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: No such file"):
        read_prices(tmp_path / "none.toml")


def test_cached_tokens_have_their_own_price() -> None:
    price = Price(rates(10, 100, 1))
    usage = {"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}}
    assert cost_of(price, usage) == pytest.approx((6 * 10 + 4 * 1 + 2 * 100) / 1e6)


@pytest.mark.parametrize("usage", [None, {}, {"output_tokens": 3}, "many"])
def test_an_answer_without_usage_has_no_cost(usage: Any) -> None:
    assert cost_of(Price(rates(1, 1)), usage) is None


def test_a_long_request_pays_its_tier_for_all_of_its_tokens() -> None:
    price = Price(rates(1, 10), (Rates(2_000_000, 2_000_000, 20_000_000, above=100),))
    assert dollars(price.of(Usage(100, 1))) == pytest.approx((100 + 10) / 1e6)
    assert dollars(price.of(Usage(101, 1))) == pytest.approx((2 * 101 + 20) / 1e6)


prices = st.builds(
    Price,
    st.builds(Rates, *[st.integers(0, 10**9)] * 3),
    st.lists(st.builds(Rates, *[st.integers(0, 10**9)] * 3, above=st.integers(0, 10_000)), max_size=3).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above))
    ),
    st.integers(0, 10**9),
)


@given(prices, st.integers(0, 20_000), st.integers(0, 20_000), st.data())
def test_no_call_costs_more_than_its_bound(price: Price, inputs: int, outputs: int, data: st.DataObject) -> None:
    used = Usage(
        data.draw(st.integers(0, inputs)),
        data.draw(st.integers(0, outputs)),
        cached_tokens=data.draw(st.integers(0, 99)),
    )
    assert price.of(used) <= price.at_most(inputs, outputs)


def test_the_tables_know_openai() -> None:
    price = listed("gpt-4.1-mini")
    assert price is not None
    assert price.base.cached < price.base.input < price.base.output


def test_the_tables_agree_with_their_library() -> None:
    import genai_prices

    for model in ("gpt-4.1-mini", "gpt-4o", "o3", "gpt-5", "gpt-5.4"):
        price = listed(model)
        assert price is not None, model
        for tokens in (1_000, 300_000):
            usage = genai_prices.Usage(input_tokens=tokens, cache_read_tokens=tokens // 3, output_tokens=777)
            expected = genai_prices.calc_price(usage, model, provider_id="openai").total_price
            found = Decimal(price.of(Usage(tokens, 777, tokens // 3))) / 10**12
            assert abs(found - expected) < Decimal("1e-9"), (model, tokens)


@pytest.mark.parametrize(
    ("model", "endpoint", "name"),
    [
        ("gpt-4.1-mini", "http://127.0.0.1:8000/v1", "openai"),
        ("gpt-4.1-mini", "https://models.example.org/v1", "openai"),
        ("deepseek-r1", "local:policy", "local"),
        ("no-such-model", "https://api.openai.com/v1", "openai"),
        ("", "https://api.openai.com/v1", "openai"),
    ],
)
def test_no_price_is_guessed(model: str, endpoint: str, name: str) -> None:
    assert listed(model, endpoint, name) is None


def test_a_backend_without_a_url_is_priced_by_its_name() -> None:
    assert listed("claude-sonnet-4-5", "anthropic:policy", "anthropic") is not None


def test_the_price_of_the_dearest_hour_counts() -> None:
    price = listed("deepseek-chat", "https://api.deepseek.com/v1")
    assert price is not None
    assert price.base.output >= rates(0, 1.1).output


def test_given_prices_go_over_listed_ones() -> None:
    own = Price(rates(9, 9))
    model = Hosted("gpt-4.1-mini", "https://api.openai.com/v1")
    assert find_prices({"policy": model}, {"gpt-4.1-mini": own}) == {"policy": own}


def test_looking_prices_up_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise AssertionError("a request was sent")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert listed("gpt-4o-mini") is not None


def test_without_the_tables_a_limit_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    model = Hosted("gpt-4.1-mini", "https://api.openai.com/v1")
    with pytest.raises(UsageError, match=r"no price|there is none") as refused:
        collect(model, max_cost=1.0)
    assert "gpt-4.1-mini" in refused.value.message
    assert "`prices=FILE`" in refused.value.hint
    assert "gym-core[cost]" in refused.value.hint
    assert not model.requests


def test_an_unknown_price_with_a_limit_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('["scripted"]\ninput = 1\noutput = 1\n')
    policy, judge = ScriptedModel(), Hosted("judge-7b", "http://127.0.0.1:9/v1")
    with pytest.raises(UsageError, match=r"`judge-7b` \(role judge\) at http://127.0.0.1:9/v1") as refused:
        collect({"policy": policy, "judge": judge}, max_cost=1.0, prices=file, output=tmp_path / "x.jsonl")
    assert "`prices=FILE`" in refused.value.hint
    assert not policy.requests
    assert not (tmp_path / "x.jsonl").exists()


def test_rows_and_calls_carry_their_cost(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text("[scripted]\ninput = 100\ncached_input = 10\noutput = 1000\n")
    (rollout,) = collect(prices=file)
    expected = (6 * 100 + 4 * 10 + 2 * 1000) / 1e6
    assert USAGE["input_tokens"] == 10
    assert rollout.row["rollout"]["cost"] == pytest.approx(expected)
    assert rollout.model_calls[0]["cost"] == pytest.approx(expected)


def test_a_cost_that_nobody_knows_is_null() -> None:
    (rollout,) = collect()
    assert rollout.row["rollout"]["cost"] is None
    assert "cost" not in rollout.model_calls[0]
