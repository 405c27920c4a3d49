from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import UsageError
from gym_core.spi import Reference

words = st.text(st.characters(exclude_characters="/:", exclude_categories=["Z", "C"]), min_size=1).filter(
    lambda text: not text.lower().startswith(("http", "unix", ".", "~")) and not text.endswith(".py")
)
selectors = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1)


def remote(url: str) -> Reference:
    return Reference("", selector=url, url=url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openai", Reference("", "openai")),
        ("openai:gpt-4.1-mini", Reference("", "openai", selector="gpt-4.1-mini")),
        ("local:/path/to/file.gguf", Reference("", "local", selector="/path/to/file.gguf")),
        ("openai:ft:gpt:x/y", Reference("", "openai", selector="ft:gpt:x/y")),
        ("gym-openai-model/openai:m", Reference("", "openai", "gym-openai-model", "m")),
        (" openai ", Reference("", "openai")),
        ("http://host:80/v1", remote("http://host:80/v1")),
        ("HTTPS://host", remote("HTTPS://host")),
        ("unix:/run/x.sock", remote("unix:/run/x.sock")),
    ],
)
def test_parts(text: str, expected: Reference) -> None:
    assert Reference.parse(text) == expected
    assert Reference.parse(text).text == text.strip()


@pytest.mark.parametrize("text", ["", " ", ":x", "a/", "a/b/c", "a b", "a:", "a: ", "a/:x"])
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"openai:gpt-4\.1-mini"):
        Reference.parse(text)


@given(words, st.none() | words, st.none() | selectors)
def test_text_and_parts_are_the_same(name: str, distribution: str | None, selector: str | None) -> None:
    reference = Reference("", name, distribution, selector)
    assert Reference.parse(str(reference)) == reference
