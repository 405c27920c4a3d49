"""Which proxy the environment names."""

from __future__ import annotations

import pytest

from gym_http1 import ProxyError, environment_proxy

PROXY = "http://ann:secret@proxy.test:3128"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "http://model.test/v1", False),
        ("*", "http://model.test/v1", True),
        ("other.test, *", "http://model.test/v1", True),
        ("model.test", "http://model.test/v1", True),
        ("MODEL.Test", "https://model.test./v1", True),
        ("test", "http://model.test/v1", True),
        (".test", "http://model.test/v1", True),
        ("*.test", "http://model.test/v1", True),
        ("est", "http://model.test/v1", False),
        ("a.model.test", "http://model.test/v1", False),
        ("other.test model.test", "http://model.test/v1", True),
        ("http://model.test/", "http://model.test/v1", True),
        ("model.test:80", "http://model.test/v1", True),
        ("model.test:443", "https://model.test/v1", True),
        ("model.test:8000", "http://model.test:8000/v1", True),
        ("model.test:8000", "http://model.test/v1", False),
        ("10.0.0.0/8", "http://10.1.2.3:8000/v1", True),
        ("10.0.0.1/8", "http://10.1.2.3:8000/v1", True),
        ("10.0.0.0/8", "http://11.1.2.3/v1", False),
        ("10.0.0.0/8:8000", "http://10.1.2.3:8001/v1", False),
        ("10.0.0.0/8", "http://10.model.test/v1", False),
        ("10.1.2.3", "http://10.1.2.3/v1", True),
        ("192.168.0.0/16", "http://[::ffff:192.168.1.1]/v1", True),
        ("fd00::/8", "http://[fd00::7]:8000/v1", True),
        ("[fd00::7]", "http://[fd00:0::7]/v1", True),
        ("[fd00::7]:8000", "http://[fd00::7]:8000/v1", True),
        ("[fd00::7]:8000", "http://[fd00::7]/v1", False),
        ("fd00::7", "http://[fd00::8]/v1", False),
        ("10.1.*", "http://10.1.2.3/v1", True),
        ("10.1.*", "http://10.11.2.3/v1", False),
        ("10.1.2.*:8000", "http://10.1.2.3:8001/v1", False),
        ("model-*.test", "http://model-7.test/v1", True),
        ("other.test;model.test", "http://model.test/v1", True),
        ("10.0.0.0/99,,", "http://10.1.2.3/v1", False),
        ("", "http://localhost:8000/v1", True),
        ("", "http://a.localhost/v1", True),
        ("", "http://127.9.9.9/v1", True),
        ("", "http://[::1]:8000/v1", True),
        ("", "http://[::ffff:127.0.0.1]/v1", True),
        ("<-loopback>", "http://127.0.0.1:8000/v1", False),
        ("<-loopback>,127.0.0.1", "http://127.0.0.1:8000/v1", True),
    ],
)
def test_who_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert environment_proxy(url) == (None if direct else PROXY)


def test_the_variable_of_the_scheme_goes_before_the_one_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_proxy("http://model.test") is None
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
    monkeypatch.setenv("http_proxy", " proxy.test:3128 ")
    assert environment_proxy("http://model.test") == "http://proxy.test:3128"
    assert environment_proxy("https://model.test") == "socks5h://127.0.0.1:1080"
    monkeypatch.setenv("ALL_PROXY", "SOCKS5://127.0.0.1:1080")
    assert environment_proxy("https://model.test") == "socks5://127.0.0.1:1080"


@pytest.mark.parametrize(
    "value",
    ["http://", "http://ann:secret@", "http://proxy:secret", "http://[secret", "gopher://secret:70", "://secret"],
)
def test_what_is_no_proxy_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ProxyError, match="HTTPS_PROXY") as caught:
        environment_proxy("https://model.test")
    assert "secret" not in str(caught.value)
