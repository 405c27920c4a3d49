"""One viewer over one folder of runs, and one browser, for all tests of a worker."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.forks import gym_program

from . import samples

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 400, "height": 800}


@dataclass
class Viewer:
    """A viewer that runs. `url`: what it printed, with the token; `root`: the page itself."""

    folder: Path
    url: str

    @property
    def root(self) -> str:
        return self.url.partition("?")[0]

    def at(self, place: str = "#/") -> str:
        """The address of a place of the page."""
        return self.root + place


@pytest.fixture(scope="session")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    folder = tmp_path_factory.mktemp("runs")
    # In a thread: Playwright keeps an event loop of its own in this one.
    making = threading.Thread(target=samples.make_all, args=(folder,))
    making.start()
    making.join()
    command = [str(gym_program()), "view", str(folder), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Viewer(folder, _printed_url(process))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _printed_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"http://\S+token=\S+", line):
            return found[0]
    raise AssertionError(f"the viewer printed no URL: {''.join(lines)}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. No longer than a module: while Playwright is there, its event loop runs, and no other can."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install -y chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--force-prefers-reduced-motion"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser, viewer: Viewer) -> Iterator[BrowserContext]:
    """A browser that has opened the URL which the viewer printed."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")  # type: ignore[arg-type]
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto(viewer.url)
    page.get_by_role("heading", name="Runs").wait_for()
    page.close()
    yield context
    context.close()


@pytest.fixture(scope="module")
def _tab(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def wrong() -> list[str]:
    """What the page had to complain of."""
    return []


@pytest.fixture
def page(_tab: Page, wrong: list[str]) -> Iterator[Page]:
    """The tab that all tests use one after the other; what goes wrong in it fails the test."""

    _tab.goto("about:blank")
    _tab.set_viewport_size(WIDE)  # type: ignore[arg-type]
    _tab.emulate_media(color_scheme="light")
    with complaints(_tab, wrong):
        yield _tab
    assert not wrong


@contextmanager
def complaints(page: Page, found: list[str]) -> Iterator[None]:
    """Note what a page has to complain of: all that its console says, errors, and requests that fail."""

    def failed(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a stream of events ends with its page
            found.append(f"{request.url}: {request.failure}")

    def refused(response: Any) -> None:
        if response.status >= 400:
            found.append(f"{response.url}: {response.status}")

    listeners: dict[Any, Callable[[Any], None]] = {
        "console": lambda message: found.append(message.text),
        "pageerror": lambda error: found.append(str(error)),
        "requestfailed": failed,
        "response": refused,
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
