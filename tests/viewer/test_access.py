"""Who may ask the viewer, and for what."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.viewer.conftest import TOKEN, Opening, Viewer
from tests.viewer.stored import row, write_run


@pytest.fixture
def viewer(viewing: Opening, tmp_path: Path) -> Viewer:
    write_run(tmp_path / "runs" / "one.jsonl", [row("a")])
    return viewing(tmp_path / "runs")


def ask(viewer: Viewer, path: str = "/api/runs", method: str = "GET", **headers: str) -> httpx.Response:
    """A request without the token."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, viewer.url + path, headers=named, trust_env=False)


def known(**headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}", **headers}


def test_nobody_is_answered_without_the_token(viewer: Viewer) -> None:
    for path in ("/", "/api/runs", "/page/index.html", "/?token=wrong", "/?token=", f"/?token={TOKEN}&token={TOKEN}"):
        assert ask(viewer, path).status_code == 401, path
    assert ask(viewer, Authorization="Bearer wrong").status_code == 401
    assert ask(viewer, Cookie=f"gym_view_{urlsplit(viewer.url).port}=wrong").status_code == 401
    assert ask(viewer, **known()).status_code == 200


def test_the_printed_url_gives_a_cookie_that_only_this_viewer_takes(viewer: Viewer) -> None:
    answer = ask(viewer, f"/?token={TOKEN}")
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in answer.text
    assert 'content="0;url=/"' in answer.text
    pair = cookie.partition(";")[0]
    assert pair == f"gym_view_{urlsplit(viewer.url).port}={TOKEN}"
    assert ask(viewer, "/", Cookie=pair).status_code == 200
    assert ask(viewer, "/", Cookie=f"other=1; {pair}").status_code == 200


def test_the_icon_that_browsers_ask_for_by_themselves_is_there(viewer: Viewer) -> None:
    answer = ask(viewer, "/favicon.ico", **known())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.content == ask(viewer, "/page/icon.svg", **known()).content


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "[::1]:80", ""])
def test_another_name_for_the_server_is_refused(viewer: Viewer, host: str) -> None:
    assert ask(viewer, **known(Host=host)).status_code in (400, 403)


def test_localhost_is_a_name_of_the_server(viewer: Viewer) -> None:
    assert ask(viewer, **known(Host=f"localhost:{urlsplit(viewer.url).port}")).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1"])
def test_pages_of_others_are_refused(viewer: Viewer, origin: str) -> None:
    assert ask(viewer, **known(Origin=origin)).status_code == 403
    assert ask(viewer, **known(Origin=viewer.url)).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_says_of_the_asking_page_counts(viewer: Viewer, site: str) -> None:
    assert ask(viewer, **known(Sec_Fetch_Site=site)).status_code == 403
    assert ask(viewer, f"/?token={TOKEN}", Sec_Fetch_Site=site).status_code == 200
    assert ask(viewer, **known(Sec_Fetch_Site="same-origin")).status_code == 200


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_kept(viewer: Viewer) -> None:
    for path in ("/", "/api/runs", "/api/runs/x", "/nothing"):
        headers = ask(viewer, path, **known()).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
    assert ask(viewer).headers["content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(viewer: Viewer, method: str) -> None:
    assert ask(viewer, method=method, **known()).status_code == 405


@pytest.mark.parametrize(
    "path",
    ["/page/../access.py", "/page/%2e%2e/access.py", "/page/..%2faccess.py", "/page/%2fetc%2fpasswd", "/page/",
     "/api/runs/..%2f..", "/api/runs/%2e%2e/rollouts/1/raw", "/../../etc/passwd", "/page/__init__.py"],
)  # fmt: skip
def test_no_path_leads_out(viewer: Viewer, path: str) -> None:
    answer = viewer.http.get(path)
    assert answer.status_code == 404, answer.text
    assert set(answer.json()) == {"error", "hint"}


def test_ids_say_nothing_of_where_runs_lie(viewer: Viewer, tmp_path: Path) -> None:
    other = write_run(tmp_path / "elsewhere" / "two.jsonl", [row("b")])
    for name in (str(other), "two", "../elsewhere/two", other.as_posix().replace("/", "%2f")):
        assert viewer.http.get(f"/api/runs/{name}").status_code == 404
