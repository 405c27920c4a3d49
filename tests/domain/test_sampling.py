"""Fields of one request as keywords: what there is, what goes into `extra`, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from gym_core import Request, Sampling
from gym_core.spi import BACKEND_FIELDS, read_sampling


def asked(**keywords: Any) -> dict[str, Any]:
    return Request.ask("Hi.", **keywords).body


def test_fields_and_extra_ones_are_fields_of_the_body() -> None:
    body = asked(temperature=0, instructions=None, text={"verbosity": "low"}, extra={"top_k": 20, "chat": {"a": 1}})
    del body["input"]
    assert body == {
        "temperature": 0,
        "instructions": None,
        "text": {"verbosity": "low"},
        "top_k": 20,
        "chat": {"a": 1},
    }


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"temprature": 1}, "no sampling parameter `temprature`; did you mean `temperature`? What only some servers"),
        ({"top_k": 1}, "no sampling parameter `top_k`; did you mean `top_p`? What only some servers know goes into"),
        ({"zzz": 1}, "no sampling parameter `zzz`; what only some servers know goes into `extra`, by its name"),
        ({"model": "x"}, "`model` is no sampling parameter: that is the backend's, by its options"),
        ({"input": []}, "`input` is no sampling parameter: the conversation is what is asked"),
        ({"extra": {"stream": True}}, "`extra` cannot hold `stream`: that is the backend's"),
        ({"extra": {"input": []}}, "`extra` cannot hold `input`: the conversation is what is asked"),
        ({"extra": [1]}, "`extra` must be a mapping of further fields by name, not list"),
        ({"seed": 1, "extra": {"seed": 2}}, "`seed` is given twice, as a keyword and in `extra`"),
    ],
)
def test_what_is_no_parameter_is_refused_and_the_nearest_named(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        asked(**keywords)


def test_a_body_from_elsewhere_is_read_whatever_it_holds() -> None:
    body = {"input": [], "model": "m", "stream": True, "top_p": 1, "top_k": 3, "extra": {"x": 1}}
    assert read_sampling(body) == {"top_p": 1, "extra": {"top_k": 3, "extra": {"x": 1}}}
    assert read_sampling({"input": "Hi."}) == {}
    assert asked(**read_sampling(body))["extra"] == {"x": 1}


def test_the_fields_of_the_responses_api_are_there() -> None:
    foreign = {"access_programs", "background_options", "image", "moderation", "prompt_cache_options"}  # of one vendor
    theirs = set(ResponseCreateParamsBase.__annotations__) - BACKEND_FIELDS - {"input"} - foreign
    assert theirs <= set(Sampling.__annotations__)
