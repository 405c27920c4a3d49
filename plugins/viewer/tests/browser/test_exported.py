"""A page that was exported: the same code, from a file, without a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import Viewer


@pytest.fixture
def exported(viewer: Viewer, tmp_path: Path) -> Callable[[str], str]:
    """Export a run; returns the address of the file."""

    def export(name: str) -> str:
        target = tmp_path / f"{name}.html"
        command = [
            sys.executable,
            "-m",
            "gym_core",
            "view",
            str(viewer.folder / f"{name}.jsonl"),
            "--export",
            str(target),
        ]
        subprocess.run(command, check=True, capture_output=True)
        return target.as_uri()

    return export


def test_a_run_is_read_from_a_file(page: Page, exported: Callable[[str], str]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    address = exported("shop-small")
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_have_text("shop-small")
    expect(page.locator(".notice")).to_contain_text("The same tool call at least")
    expect(page.get_by_role("heading", name="Reward by field")).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("failed")
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("3 of 48 rollouts")
    page.locator(".list .row").first.click()
    expect(page.locator(".panel.error")).to_contain_text("is not a number")
    page.get_by_role("link", name="Raw row").click()
    expect(page.get_by_role("alert")).to_contain_text("this was not exported")
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}


def test_a_file_is_filtered_as_the_viewer_filters(page: Page, exported: Callable[[str], str]) -> None:
    page.goto(exported("shop-small"))
    count = page.locator("#rollouts > header [role=status]")
    causes = page.locator("section").filter(has=page.get_by_role("heading", name="Failures by cause"))
    causes.get_by_role("button").first.click()
    expect(count).to_have_text("2 of 48 rollouts")
    page.evaluate("location.hash = location.hash.split('?')[0] + '?repeat=1&task=PRICE-0'")
    expect(count).to_have_text("10 of 48 rollouts")
    page.evaluate("location.hash = location.hash.split('?')[0] + '?actor=nobody'")
    expect(count).to_have_text("0 of 48 rollouts")
    page.evaluate("location.hash = location.hash.split('?')[0] + '?text=it+COSTS'")
    expect(count).not_to_have_text("0 of 48 rollouts")
    expect(page.locator(".list .row").first).to_be_visible()
    page.evaluate("location.hash = location.hash.split('?')[0] + '?where=rollout.tools.calls%3E1'")
    expect(count).to_contain_text("an exported page has no whole rows to look into")


def test_columns_are_in_the_file(page: Page, exported: Callable[[str], str]) -> None:
    page.goto(exported("shop-small"))
    columns = ["level", "rollout.info.read", "rollout.info.checks", "reward_components.tidy", "rollout.attempt", "no"]
    page.evaluate("found => { location.hash = `${location.hash.split('?')[0]}?${found}` }",
                  "&".join(f"column={name}" for name in columns) + "&sort=-field:nr")  # fmt: skip
    expect(page.locator(".list .row").first).to_contain_text("price-23")
    first = page.locator(".list .row").first
    expect(first.get_by_title("level: hard")).to_be_visible()
    expect(first.get_by_title("rollout.info.read: It costs")).to_be_visible()
    expect(first.get_by_title('rollout.info.checks: {"number":')).to_be_visible()
    expect(first.get_by_title("reward_components.tidy: ")).to_be_visible()
    expect(first.get_by_title("rollout.attempt: 1")).to_be_visible()


def test_actors_branches_and_tokens_are_in_the_file(page: Page, exported: Callable[[str], str]) -> None:
    page.goto(exported("team"))
    page.locator(".list .row").first.click()
    expect(page.get_by_role("region", name="Conversation of helper")).to_contain_text("Perhaps a square?")
    expect(page.get_by_role("region", name="Conversation of policy")).to_contain_text("A square, red.")
    page.get_by_role("link", name="Tokens").click()
    expect(page.locator(".token.sampled").first).to_be_visible()


def test_hostile_texts_stay_texts_in_a_file(page: Page, exported: Callable[[str], str]) -> None:
    page.goto(exported("hostile"))
    page.locator(".list .row").first.click()
    expect(page.locator("main")).to_contain_text("window.hurt")
    page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hurt") is None
