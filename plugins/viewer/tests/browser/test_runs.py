"""The list of runs: search, order, choice of two."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import Viewer

DIFFERENCE = "B \N{MINUS SIGN} A"
RUNS = ["constant", "hostile", "long", "shop-large", "shop-small", "team"]


def names(page: Page) -> list[str]:
    return page.locator("tbody .name").all_inner_texts()


def test_the_runs_of_the_folder_stand_there_with_what_they_came_to(page: Page, viewer: Viewer) -> None:
    page.goto(viewer.at())
    expect(page.locator("tbody tr")).to_have_count(len(RUNS))
    assert sorted(names(page)) == RUNS
    row = page.get_by_role("row").filter(has_text="shop-small")
    expect(row).to_contain_text("small · shop · loop")
    expect(row).to_contain_text("finished")
    expect(row).to_contain_text("45 / 48")


def test_search_and_order_are_links(page: Page, viewer: Viewer) -> None:
    page.goto(viewer.at())
    page.get_by_role("searchbox", name="Search runs").fill("shop")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Reward", exact=True).click()
    expect(page.get_by_role("columnheader", name="Reward")).to_have_attribute("aria-sort", "descending")
    assert names(page) == ["shop-large", "shop-small"]
    page.get_by_role("button", name="Reward", exact=True).click()
    expect(page.get_by_role("columnheader", name="Reward")).to_have_attribute("aria-sort", "ascending")
    assert names(page) == ["shop-small", "shop-large"]
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert names(page) == ["shop-small", "shop-large"]


def test_keys_lead_through_the_list(page: Page, viewer: Viewer) -> None:
    page.goto(viewer.at("#/?sort=name"))
    expect(page.locator("tbody tr")).to_have_count(len(RUNS))
    for key in ("j", "j", "j", "j", "k", "j"):
        page.keyboard.press(key)
    expect(page.locator("tr.active")).to_contain_text("shop-large")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("shop-large")
    page.keyboard.press("u")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("no such run")
    expect(page.locator("tbody tr")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("tbody tr")).to_have_count(len(RUNS))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_colours_are_switched_and_kept(page: Page, viewer: Viewer) -> None:
    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    page.goto(viewer.at())
    page.locator("tbody tr").first.wait_for()
    light = paper()
    page.get_by_role("button", name="Switch to dark colours").click()
    dark = paper()
    assert light != dark
    page.reload()
    page.locator("tbody tr").first.wait_for()
    assert paper() == dark
    page.keyboard.press("t")
    assert paper() == light
    page.evaluate("localStorage.clear()")


def test_two_runs_are_chosen_and_compared(page: Page, viewer: Viewer) -> None:
    page.goto(viewer.at())
    page.get_by_label("Compare shop-small").check()
    expect(page.get_by_role("complementary", name="Compare")).to_contain_text("choose one more")
    page.get_by_label("Compare shop-large").check()
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare")
    expect(page.get_by_text("B is better: the interval lies above 0")).to_be_visible()
    expect(page.get_by_text("tasks to B")).to_be_visible()
    table = page.get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(24)
    page.get_by_role("button", name=DIFFERENCE).click()
    expect(table.get_by_role("columnheader", name=DIFFERENCE)).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="price-07 #1 side by side").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Side by side")
    expect(page.get_by_role("region", name="A", exact=True)).to_contain_text("price-07 #1 in shop-small")
    expect(page.get_by_role("region", name="B", exact=True)).to_contain_text("price-07 #1 in shop-large")
    expect(page.get_by_text("begin with the same")).to_be_visible()
