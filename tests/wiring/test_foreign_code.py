"""Code of others that is loaded: what it raises is one line with a way out, and variables are put back."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from gym_core import UsageError
from gym_core.spi import LoadFailure, changed_variables, loading, model_keys


def no_hints(failure: LoadFailure) -> tuple[str, ...]:
    return ()


def failing(error: BaseException, *beneath: BaseException) -> None:
    for cause in beneath:
        error.__cause__ = cause
    raise error


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (SystemExit(3), "it left with sys.exit(3)", "the log of the run, or -v, shows where"),
        (ValueError("two\n lines"), "ValueError: two lines", "the log of the run, or -v, shows where"),
        (
            OSError("Max retries exceeded with url https://data.example/x.json: refused"),
            "OSError: Max retries",
            "it fetches something from https://data.example/x.json when it is loaded, and did not get there",
        ),
        (
            FileNotFoundError("Dataset a/b is not cached in None"),
            "FileNotFoundError: Dataset a/b",
            "it fetches something from a/b when it is loaded, and did not get there",
        ),
    ],
)
def test_what_is_raised_is_one_line_with_a_way_out(error: BaseException, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised, loading("home:env", no_hints):
        failing(error)
    assert raised.value.message.startswith(f"home:env cannot be loaded: {words}")
    assert "\n" not in raised.value.message
    assert raised.value.hint == hint


def test_where_it_wanted_to_go_is_told_though_the_error_does_not_say() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UsageError) as raised, loading("home:env", no_hints):
        urllib.request.urlopen(f"http://localhost:{port}/questions.parquet", timeout=5)
    assert "localhost" not in raised.value.message
    assert raised.value.hint == "it fetches something from localhost when it is loaded, and did not get there"


def test_the_innermost_cause_is_told_unless_it_was_suppressed() -> None:
    assert LoadFailure(chained(suppressed=False)).words == "KeyError: 'inner'"
    assert LoadFailure(chained(suppressed=True)).words == "ValueError: outer"


def chained(*, suppressed: bool) -> ValueError:
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            if suppressed:
                raise ValueError("outer") from None
            raise ValueError("outer")  # noqa: B904
    except ValueError as error:
        return error


def test_a_hint_of_its_kind_comes_before_those_of_all_code() -> None:
    def hints(failure: LoadFailure) -> Iterator[str]:
        if failure.missing_module:
            yield f"install {failure.missing_module}"

    with pytest.raises(UsageError) as raised, loading("home:env", hints):
        importlib.import_module("no_such_module_at_all")
    assert raised.value.hint == "install no_such_module_at_all"


def test_what_gym_says_and_an_end_that_was_asked_for_pass() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # interrupts may be ignored here
    try:
        passes()
    finally:
        signal.signal(signal.SIGINT, before)


def passes() -> None:
    with pytest.raises(UsageError, match=r"^as it is$"), loading("home:env", no_hints):
        raise UsageError("as it is")
    with pytest.raises(KeyboardInterrupt), loading("home:env", no_hints):
        raise KeyboardInterrupt


def test_variables_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("HOME_OF_DATA", "here")
    assert "SOME_API_KEY" in model_keys()
    with changed_variables(model_keys(), {"SOME_API_KEY": "x", "NEW": "y"}):
        assert (os.environ["SOME_API_KEY"], os.environ["NEW"], os.environ["HOME_OF_DATA"]) == ("x", "y", "here")
    with pytest.raises(KeyError), changed_variables(["SOME_API_KEY"]):
        os.environ["SOME_API_KEY"]
    assert os.environ["SOME_API_KEY"] == "secret"
    assert "NEW" not in os.environ
