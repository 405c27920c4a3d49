from __future__ import annotations

import html
import json
import shlex
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from gym_core import UsageError
from gym_core.spi import Redactor, load_dotenv
from gym_core.wiring.secrets import names_secret, secrets_within


def test_values_are_hidden_wherever_they_stand() -> None:
    redactor = Redactor(["sk-123456"])
    assert redactor.redact("key=sk-123456, sk-1234567") == "key=***, ***7"
    assert redactor.redact_bytes(b'{"key":"sk-123456"}') == b'{"key":"***"}'


def test_a_secret_within_another_leaves_no_rest() -> None:
    assert Redactor(["secret", "secret-and-more"]).redact("secret-and-more secret") == "*** ***"


def test_a_secret_is_hidden_in_json_too() -> None:
    secret = 'pass"wörd\\'
    redactor = Redactor([secret])
    for text in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), secret):
        assert "pass" not in redactor.redact(text)


def test_short_and_empty_values_are_no_secrets() -> None:
    redactor = Redactor(["", "no", "12345", "      "])
    assert not redactor
    assert redactor.redact("no 12345") == "no 12345"


def test_variables_tell_by_their_names() -> None:
    names = ["OPENAI_API_KEY", "HF_TOKEN", "DB_PASSWORD", "CLIENT_SECRET", "APIKEY", "my_key"]
    assert all(map(names_secret, names))
    assert not any(map(names_secret, ["MAX_TOKENS", "KEYBOARD", "SECRETARY", "MODEL", "TOKENIZER"]))
    redactor = Redactor()
    redactor.add_variables({"A_KEY", "MODEL", "GONE_KEY"}, {"A_KEY": "hidden!", "MODEL": "visible"})
    assert redactor.redact("hidden! visible") == "*** visible"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a process that works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    variables: dict[str, str] = {}
    monkeypatch.setattr("os.environ", variables)
    return variables


def test_dotenv_fills_what_is_not_set(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / ".env").write_text("A=from file\nB='quoted'\nEMPTY\n# comment\nexport C=3\n")
    environ["A"] = "set"
    assert load_dotenv() == {"B", "C"}
    assert {name: environ[name] for name in "ABC"} == {"A": "set", "B": "quoted", "C": "3"}


def test_dotenv_can_be_switched_off_and_be_missing(tmp_path: Path, environ: dict[str, str]) -> None:
    assert load_dotenv() == set()
    (tmp_path / ".env").write_text("A=1\n")
    environ["GYM_NO_DOTENV"] = "1"
    assert load_dotenv() == set()


@pytest.mark.usefixtures("environ")
def test_a_directory_called_dotenv_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert load_dotenv() == set()


@pytest.mark.usefixtures("environ")
def test_an_unreadable_dotenv_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(UsageError, match=r"\.env cannot be read.*GYM_NO_DOTENV"):
        load_dotenv()


# What is a secret


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("http://bob:p%40ss-word@host/v1", {"p%40ss-word", "p@ss-word", b64encode(b"bob:p@ss-word").decode()}),
        ("https://gh-token-1234@host/", {"gh-token-1234"}),
        ("https://gh-token-1234:@host/", {"gh-token-1234", b64encode(b"gh-token-1234:").decode()}),
        ("https://host/v1?api-key=azure-key-1&api-version=2", {"azure-key-1"}),
        ("https://host/v1?code=func-key-1&sig=a%2Fsig%3D1", {"func-key-1", "a/sig=1"}),
        ({"metadata": {"apiKey": "nested-key-1"}, "hf_token": "hf_abcdef"}, {"nested-key-1", "hf_abcdef"}),
        ([{"headers": {"Authorization": "Bearer bearer-1"}}], {"Bearer bearer-1", "bearer-1"}),
        ({"Authorization": "Basic " + b64encode(b"bob:basic-pw-1").decode()}, {"basic-pw-1"}),
        ({"proxy": "http://bob:proxy-pw-1@proxy:3128"}, {"proxy-pw-1"}),
        (SecretStr("https://bob:within-1@host"), {"within-1"}),
        ({"max_tokens": "7 tokens", "stop_token": "</s> </s>", "prompt_cache_key": "session-1"}, set()),
        ({"url": "http://host/v1?model=a-model-1", "tokenizer": "a-tokenizer"}, set()),
    ],
)
def test_secrets_are_found_in_options_of_any_shape(value: object, secrets: set[str]) -> None:
    found = set(secrets_within(value))
    assert secrets <= found
    if not secrets:
        assert not found


def test_a_secret_is_hidden_in_each_of_its_forms() -> None:
    secret = "p@ss/w'ö\"rd"
    redactor = Redactor([secret])
    forms = [quote(secret), quote(secret, safe="").lower(), b64encode(secret.encode()).decode(), json.dumps(secret)]
    for form in (secret, *forms, repr(secret), shlex.quote(secret)):
        assert "rd" not in redactor.redact(form), form
        assert b64encode(secret.encode()).decode()[:8] not in redactor.redact(form)


@pytest.mark.parametrize("secret", ['sk-01"23456789\\abc/def', "pa'ss&w/ö", "azure/key+0123456789=="])
def test_a_secret_is_hidden_in_what_others_quote_it_in(secret: str) -> None:
    redactor = Redactor([secret])
    page = html.escape(secret)
    body = json.dumps({"arguments": json.dumps({"error": json.dumps({"key": secret})})})
    for text in (page, page.replace("&#x27;", "&#39;"), json.dumps(secret).replace("/", "\\/"), body):
        shown = json.loads(redactor.redact_bytes(json.dumps({"text": text}).encode()))["text"]
        assert "***" in shown, text
        assert secret.partition("/")[2] not in shown
        assert "***" in redactor.redact(text)


def test_a_key_is_hidden_as_the_name_of_basic_authentication() -> None:
    secret = "sk-0123456789abcdefgh"
    encoded = b64encode(f"{secret}:".encode()).decode()
    assert secret not in str(Redactor([secret]).redact_bytes(b'{"a":"Basic ' + encoded.encode() + b'"}'))
    assert encoded[:24] not in Redactor([secret]).redact(encoded)


def test_proxies_of_the_environment_have_passwords() -> None:
    redactor = Redactor()
    redactor.add_variables((), {"https_proxy": "http://bob:proxy-pw@p:1", "ALL_PROXY": "eve:other-pw@p:2"})
    assert redactor.redact("proxy-pw other-pw") == "*** ***"


# What is none


OWN = ["openai", "policy", "reward", "rollout", "completed", "task_id", "response", "messages", "12345678", "model"]


@pytest.mark.parametrize("word", OWN)
def test_a_key_that_is_a_word_of_gym_changes_no_row(word: str) -> None:
    row = {"task_id": word, "reward": 1.0, "rollout": {"status": "completed", "info": {word: word}}}
    line = json.dumps(row).encode() + b"\n"
    redactor = Redactor([word])
    assert redactor.redact_bytes(line) == line
    assert redactor.passed_over == 1


def test_names_stay_and_the_words_of_others_are_masked() -> None:
    row = {
        "task_id": "task-77",
        "task-77": {"output": [{"call_id": "task-77", "arguments": '{"a": "task-77"}', "text": "it is task-77."}]},
    }
    masked = json.loads(Redactor(["task-77"]).redact_bytes(json.dumps(row).encode()))
    assert masked["task_id"] == "task-77"
    (item,) = masked["task-77"]["output"]
    assert item == {"call_id": "task-77", "arguments": '{"a": "***"}', "text": "it is ***."}


def test_a_value_that_is_no_coincidence_is_hidden_in_names_and_keys_too() -> None:
    secret = "sk-0123456789abcdef"
    data = json.dumps({secret: secret, "task_id": f"t-{secret}"}).encode()
    assert secret.encode() not in Redactor([secret]).redact_bytes(data)


def test_what_is_masked_keeps_its_numbers_its_order_and_its_form() -> None:
    redactor = Redactor(["hunter2"])
    line = b'{"z":"hunter2","a":12345678901234567890123,"b":[1.0,null]}\n'
    assert redactor.redact_bytes(line) == b'{"z":"***","a":12345678901234567890123,"b":[1.0,null]}\n'
    assert redactor.redact_bytes(b"no JSON: hunter2") == b"no JSON: ***"
    pretty = json.dumps({"a": "hunter2"}, indent=2).encode()
    assert redactor.redact_bytes(pretty) == json.dumps({"a": "***"}, indent=2).encode()


def test_names_of_what_runs_are_kept() -> None:
    redactor = Redactor(["simple_weather", "gpt-4.1-mini"])
    assert redactor.redact("simple_weather") == "***"
    redactor.keep("simple_weather", "gpt-4.1-mini")
    assert redactor.redact("simple_weather gpt-4.1-mini") == "simple_weather gpt-4.1-mini"


def test_in_settings_the_place_decides() -> None:
    settings = {
        "base_url": "http://bob:pw@host/v1?key=k1&model=m",
        "extra_body": {"token": "t", "tokens": "5", "nested": [{"client-secret": "s"}]},
        "model": "m",
    }
    assert Redactor().settings(settings) == {
        "base_url": "http://bob:***@host/v1?key=***&model=m",
        "extra_body": {"token": "***", "tokens": "5", "nested": [{"client-secret": "***"}]},
        "model": "m",
    }


def test_arguments_of_a_command_show_no_secret_however_short() -> None:
    arguments = ["run", "-M", "api_key=k", "-M", 'extra_body={"token": "t", "n": 1}', "--token", "x1", "-E", "limit=3"]
    assert Redactor().arguments(['extra_body={"token": "t t", "n": 1', "x={pwd = t}", 'y=[{"pwd": "t"}]']) == [
        *('extra_body={"token": ***", "n": 1', "x={pwd = ***}", 'y=[{"pwd": "***"}]'),
    ]
    assert Redactor().arguments(arguments) == [
        *("run", "-M", "api_key=***", "-M", 'extra_body={"token": "***", "n": 1}', "--token", "***", "-E", "limit=3"),
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://bob:a@b@host/v1", "http://bob:***@host/v1"),
        ("http://token@host/v1", "http://***@host/v1"),
        ("http://token:@host/v1", "http://***@host/v1"),
        ("http://host:80?at=a@b", "http://host:80?at=a@b"),
    ],
)
def test_settings_show_a_url_without_what_opens_it(url: str, shown: str) -> None:
    assert Redactor().settings({"base_url": url}) == {"base_url": shown}
    assert Redactor().arguments(["-M", f"base_url={url}"])[1] == f"base_url={shown}"


def test_no_text_shows_the_password_of_a_url() -> None:
    redactor = Redactor()
    assert redactor.redact("see http://bob:x@host/a@b and a@b.c") == "see http://bob:***@host/a@b and a@b.c"
    assert redactor.redact_line(b'{"message":"http://bob:x@host"}') == b'{"message":"http://bob:***@host"}'
