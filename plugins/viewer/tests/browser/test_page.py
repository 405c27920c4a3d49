"""What holds for every page: texts are texts, nobody else may ask, and it can be read on a phone."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import NARROW, Viewer, complaints
from .samples import CLOSING, HOSTILE
from .test_run import run_at

MODULES = sorted((Path(__file__).parents[2] / "gym_viewer" / "page").glob("*.js"))


def places(page: Page, viewer: Viewer, name: str) -> list[str]:
    """The pages of a run: the list, itself, its rollouts and their raw rows, two of them side by side."""
    page.goto(viewer.at())
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    run = str(page.get_by_role("link", name=name, exact=True).get_attribute("href"))
    page.goto(viewer.at(run))
    rows = page.locator(".list .row")
    expect(rows.first).to_be_visible()
    links = [str(row.get_attribute("href")) for row in rows.all()][:4]
    ident, numbers = run.rpartition("/")[2], [link.partition("?")[0].rpartition("/")[2] for link in links]
    pair = f"#/compare/rollouts?a={ident}&n={numbers[0]}&b={ident}&m={numbers[-1]}"
    return ["#/", run, *links, f"{links[0]}?raw=1", pair, f"#/compare?a={ident}&b={ident}"]


def settled(page: Page, viewer: Viewer, place: str) -> None:
    page.goto("about:blank")
    page.goto(viewer.at(place))
    page.locator("main .page").wait_for()


def test_no_text_becomes_markup(page: Page, viewer: Viewer) -> None:
    for place in places(page, viewer, "hostile"):
        settled(page, viewer, place)
        for _ in range(3):
            page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
            page.wait_for_timeout(20)
        assert page.evaluate("window.hurt") is None, place
        made = page.locator("main script, main iframe, main svg[onload], main img[onerror], main [href^='javascript']")
        assert made.count() == 0, place
    place = places(page, viewer, "hostile")[2]
    settled(page, viewer, place)
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    expect(page.locator("main")).to_contain_text(CLOSING)


def test_only_the_page_itself_may_ask(page: Page, browser: Browser, viewer: Viewer) -> None:
    """A page of another origin, in the browser that has the cookie, reads nothing and frames nothing."""
    root = viewer.root
    script = f"""
      window.found = [];
      const refused = () => found.push("refused"), url = "{root}api/runs", credentials = "include";
      fetch(url, {{credentials}}).then(r => r.text()).then(t => found.push(t), refused);
      fetch(url, {{credentials, mode: "no-cors"}}).then(r => found.push(r.status), refused);
    """

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<script>{script}</script><iframe src='{root}'></iframe>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    Thread(target=server.serve_forever, daemon=True).start()
    other = page.context.new_page()
    try:
        other.goto(f"http://127.0.0.1:{server.server_port}/")
        other.wait_for_function("window.found.length === 2")
        assert set(other.evaluate("window.found")) <= {"refused", 0}
        assert other.frames[1].evaluate("document.body ? document.body.innerText.includes('Runs') : false") is False
    finally:
        other.close()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Origin": "http://example.com"}, 403),
        ({"Host": "example.com"}, 403),
        ({"Authorization": "Bearer x"}, 401),
    ],
)
def test_whoever_lacks_the_token_is_refused(viewer: Viewer, headers: dict[str, str], status: int) -> None:
    request = urllib.request.Request(f"{viewer.root}api/runs", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as answer:
        assert answer.code == status
        assert json.load(answer)["error"]


@pytest.mark.parametrize("run", ["shop-small", "team"])
def test_every_page_fits_a_phone_and_can_be_read(page: Page, viewer: Viewer, run: str) -> None:
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    for place in places(page, viewer, run):
        settled(page, viewer, place)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
        assert page.evaluate(UNNAMED) == [], place
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(PALE) == [], (place, scheme)
        assert page.locator("h1").count() == 1, place
        assert page.title() != "gym", place


UNNAMED = """() => [...document.querySelectorAll('button, main a, header a, input, select')]
    .filter(one => !(one.getAttribute('aria-label') || one.textContent.trim() || one.title))
    .map(one => one.outerHTML)"""
"""Controls that a screen reader has no name for."""

PALE = (Path(__file__).parent / "pale.js").read_text()
"""Texts whose contrast with what is behind them is below 4.5 (WCAG AA)."""


def test_nothing_is_asked_for_that_is_not_there(browser: Browser, viewer: Viewer) -> None:
    """From the first moment, in a browser that knows nothing yet; an answer of the API is a page, too."""
    found: list[str] = []
    page = browser.new_page()
    with complaints(page, found):
        page.goto(viewer.url)
        page.get_by_role("heading", name="Runs").wait_for()
        for place in places(page, viewer, "team"):
            settled(page, viewer, place)
        page.goto(viewer.at("api/runs"))
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(500)  # what a browser asks for by itself is no part of the page's load
    page.close()
    assert found == []


def test_what_is_not_there_is_said(page: Page, viewer: Viewer, wrong: list[str]) -> None:
    for place in ("#/runs/nothing", "#/nowhere", "#/runs/%E0%A4%A", "#/compare?a=x&b=y"):
        page.goto("about:blank")
        page.goto(viewer.at(place))
        expect(page.get_by_role("alert")).to_be_visible()
    assert all("404" in text or "422" in text for text in wrong)
    wrong.clear()


def test_a_run_that_is_gone_leaves_the_list(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "constant")
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.locator("main")).to_be_focused()


def test_modules_have_the_form_that_one_script_can_be_made_of() -> None:
    """Imports on one line, exports before a declaration, no top-level name twice."""
    names: dict[str, str] = {}
    for module in MODULES:
        text = module.read_text()
        for line in re.findall(r"^import .*$", text, re.MULTILINE):
            assert re.fullmatch(r'import \{ [\w, ]+ \} from "\./[a-z]+\.js";', line), (module.name, line)
        for line in re.findall(r"^export .*$", text, re.MULTILINE):
            assert re.match(r"export (async )?(function|class|const) ", line), (module.name, line)
        for name in re.findall(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", text, re.MULTILINE):
            assert name not in names, f"{name} stands in {module.name} and {names[name]}"
            names[name] = module.name
        assert not re.search(
            r"^await |innerHTML =|insertAdjacentHTML|document\.write|\beval\(|new Function", text, re.MULTILINE
        )
