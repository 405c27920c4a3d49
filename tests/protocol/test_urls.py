"""The URLs of served components."""

from __future__ import annotations

import pytest

from gym_core import UsageError
from gym_http.protocol.urls import checked_url, is_loopback, socket_path


@pytest.mark.parametrize(
    ("url", "path"),
    [("unix:/run/x", "/run/x"), ("unix:///run/x", "/run/x"), ("UNIX:x.sock", "x.sock"), ("http://host", None)],
)
def test_socket_files(url: str, path: str | None) -> None:
    assert socket_path(url) == path


@pytest.mark.parametrize(
    "url", ["http://", "ftp://host", "http://host:x", "http://host:0", "http://h/?q=1", "http://h#f"]
)
def test_what_is_none(url: str) -> None:
    with pytest.raises(UsageError):
        checked_url(url)


def test_a_slash_at_the_end_means_nothing() -> None:
    assert checked_url("http://host:80/prefix/") == "http://host:80/prefix"


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        checked_url("http://user:tiger@host")
    assert "tiger" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("127.evil.example", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours
