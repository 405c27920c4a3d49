"""One run: its figures, its rollouts and what selects them."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, expect

from .conftest import Viewer
from .samples import LiveRun


def run_at(page: Page, viewer: Viewer, name: str, query: str = "") -> None:
    """Open a run; `query` is that of its list."""
    page.goto(viewer.at())
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    href = page.get_by_role("link", name=name, exact=True).get_attribute("href")
    page.goto(viewer.at(f"{href}{query}"))
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_what_a_run_came_to(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    expect(page.locator(".tiles")).to_contain_text("95 % interval")
    expect(page.locator(".tiles")).to_contain_text("pass@2")
    for name in ("reward", "correct", "tidy"):
        expect(page.get_by_role("group", name=f"Distribution of {name}", exact=True)).to_be_visible()
    for heading in ("Reward by task", "Reward by field", "Failures by cause", "How they ended"):
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    causes = page.locator(".panel").filter(has=page.get_by_role("heading", name="Failures by cause"))
    expect(causes).to_contain_text("is not a number")
    expect(causes).to_contain_text("the connection was closed")


def test_a_bar_of_the_histogram_selects(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    expect(page.locator("#rollouts > header")).to_contain_text("48 rollouts")
    bar = page.get_by_role("group", name="Distribution of reward").get_by_role("button").last
    bar.click()
    expect(page.locator("#rollouts > header")).to_contain_text("of 48 rollouts")
    rewards = page.locator(".list .row .reward").all_inner_texts()
    assert set(rewards) == {"1"}
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("48 rollouts")


def test_a_bar_of_a_component_selects_and_is_let_go(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    count = page.locator("#rollouts > header [role=status]")
    expect(count).to_have_text("48 rollouts")
    bar = page.get_by_role("group", name="Distribution of correct").get_by_role("button").first
    bar.click()
    expect(page.locator(".chips button")).to_contain_text("reward_components.correct=0")
    expect(count).to_contain_text(" of 48 rollouts")
    expect(bar).to_have_attribute("aria-pressed", "true")
    bar.click()
    expect(count).to_have_text("48 rollouts")


def test_a_component_is_a_field_to_group_by_and_may_be_averaged(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    panel = page.locator(".panel").filter(has=page.get_by_role("heading", name="Reward by field"))
    panel.get_by_label("Field", exact=True).select_option("reward_components.correct")
    expect(panel.locator(".bar-row")).to_have_count(3)  # right, wrong, no verdict
    panel.get_by_label("Field", exact=True).select_option("kind")
    expect(panel.locator(".bar-row").first).to_contain_text("fruit")
    reward = panel.locator(".bar-row").first.inner_text()
    panel.get_by_label("What is averaged").select_option("tidy")
    expect(panel.locator(".bar-row")).to_have_count(2)
    expect(panel.locator(".bar-row").first).not_to_have_text(reward)


def test_the_columns_close_and_tick_what_is_shown(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small", "?status=completed")
    choice, summary = page.locator(".columns .choice"), page.locator(".columns summary")
    summary.click()
    expect(page.get_by_role("group", name="Components").get_by_label("correct")).to_be_checked()
    page.get_by_role("heading", level=1).click()
    expect(choice).to_be_hidden()
    summary.click()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    expect(choice).to_be_hidden()
    assert "status=completed" in page.url


def test_the_list_says_that_more_follows(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    expect(page.locator(".foot")).to_have_text(re.compile(r"^1 to \d+ of 48: scroll for more$"))
    page.locator(".list .scroll").evaluate("one => { one.scrollTop = one.scrollHeight }")
    expect(page.locator(".foot")).to_have_text(re.compile(r"to 48 of 48$"))


def test_components_and_the_order_are_there_on_a_narrow_screen(page: Page, viewer: Viewer) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    run_at(page, viewer, "shop-small")
    expect(page.locator(".list .row").first).to_contain_text("correct ")
    page.get_by_label("Order of the list").select_option("-reward")
    assert "sort=-reward" in page.url
    expect(page.locator(".list .row").first.get_by_text("correct 1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_filters_are_links_and_are_taken_away(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small", "?status=failed")
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("3 of 48 rollouts")
    page.get_by_role("button", name="Take the filter status failed away").click()
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("48 rollouts")
    page.get_by_label("Status", exact=True).select_option("truncated")
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("4 of 48 rollouts")
    page.get_by_label("Status", exact=True).select_option("")
    page.get_by_label("Text in the rollout").fill("unicorn")
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("2 of 48 rollouts")
    page.get_by_label("Text in the rollout").fill("")
    page.get_by_label("Field condition").fill("kind=household")
    page.keyboard.press("Enter")
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("16 of 48 rollouts")
    page.evaluate("location.hash = location.hash.split('?')[0] + '?task=price-03'")
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("2 of 48 rollouts")


def test_what_is_typed_in_one_field_after_another_counts_in_both(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    page.get_by_label("Task", exact=True).press_sequentially("price-03")
    page.keyboard.press("Tab")
    page.get_by_label("Lowest reward").press_sequentially("0")
    expect(page).to_have_url(re.compile("task=price-03.*min_reward=0|min_reward=0.*task=price-03"))
    expect(page.get_by_label("Task", exact=True)).to_have_value("price-03")


def test_what_was_typed_last_does_not_come_back_after_all_filters_are_cleared(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small", "?status=failed&stop_reason=max_turns")
    page.get_by_role("button", name="Clear all").wait_for()
    page.evaluate(
        """() => {
            const task = document.querySelector('[aria-label="Task"]');
            task.value = "price-03";
            task.dispatchEvent(new Event("input"));
            [...document.querySelectorAll("button")].find((one) => one.textContent.startsWith("Clear all")).click();
        }"""
    )
    page.wait_for_timeout(400)  # longer than what is typed waits for
    assert "price-03" not in page.url
    expect(page.get_by_label("Task", exact=True)).to_have_value("")


def test_a_condition_that_is_none_is_said(page: Page, viewer: Viewer, wrong: list[str]) -> None:
    run_at(page, viewer, "shop-small")
    page.get_by_label("Field condition").fill("nonsense")
    page.keyboard.press("Enter")
    field = page.get_by_label("Field condition")
    page.wait_for_function("document.querySelector('#rollouts input:invalid')?.validationMessage.includes('nonsense')")
    expect(field).to_have_value("nonsense")
    expect(page.locator(".chips button")).to_have_count(0)
    expect(page.locator("#rollouts .list .row").first).to_be_visible()
    field.fill("rollout.tools.calls>1000")
    page.keyboard.press("Enter")
    expect(page.locator(".chips button")).to_have_count(1)
    expect(page.get_by_text("No rollout is like this.")).to_be_visible()
    assert all("422" in text for text in wrong)
    wrong.clear()


def test_a_field_that_there_is_not_is_said_and_another_offered(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    field = page.get_by_label("Field condition")
    assert page.locator("#known-fields option[value='reward_components.correct']").count() == 1
    field.fill("rollout.kinds=household")
    page.keyboard.press("Enter")
    notice = page.locator("#rollouts .notice")
    expect(notice).to_contain_text("No rollout has a field rollout.kinds")
    notice.get_by_role("link", name="kind", exact=True).click()
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("16 of 48 rollouts")
    expect(notice).to_be_hidden()
    page.get_by_role("button", name="Take the filter where kind=household away").click()
    field.fill("correct<1")
    page.keyboard.press("Enter")
    expect(page.locator(".chips button")).to_contain_text("reward_components.correct<1")
    expect(page.locator(".list .row").first).to_be_visible()


def test_a_link_with_a_condition_that_is_none_shows_no_rows(page: Page, viewer: Viewer, wrong: list[str]) -> None:
    run_at(page, viewer, "shop-small", "?where=nonsense")
    expect(page.locator("#rollouts > header .bad-text")).to_contain_text("nonsense")
    expect(page.locator("#rollouts .list .row").first).not_to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("shop-small")
    assert all("422" in text for text in wrong)
    wrong.clear()


def test_columns_are_chosen_by_keyboard_and_kept_in_the_address(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    page.locator(".columns summary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("group", name="Fields of the task").get_by_label("kind", exact=True).press("Space")
    page.get_by_role("group", name="Info of the verdict").get_by_label("checks.number").press("Space")
    page.get_by_label("Path of a field").press_sequentially("rollout.seed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Any other field").get_by_label("rollout.seed")).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.locator(".columns summary")).to_be_focused()
    expect(page.locator(".columns summary")).to_have_text("Columns (3)")
    query = parse_qs(urlsplit(page.url).fragment.partition("?")[2])
    assert query["column"] == ["kind", "rollout.info.checks.number", "rollout.seed"]
    page.reload()
    head = page.locator(".list .head")
    expect(head.get_by_role("columnheader", name="rollout.seed")).to_be_visible()
    row = page.locator(".list .row").filter(has_text="price-02").first
    expect(row.get_by_title(re.compile(r"^rollout.seed: \d{6,}$"))).to_be_visible()
    expect(row.get_by_title("kind: household")).to_have_text(re.compile("household$"))
    expect(row.get_by_title(re.compile("checks.number: (true|false)"))).to_be_visible()
    head.get_by_role("button", name="kind").click()
    expect(page.locator(".list [aria-sort=ascending]")).to_have_text("kind")
    expect(page.locator(".list .row").first.get_by_title("kind: fruit")).to_be_visible()
    page.locator(".list .row").first.click()
    expect(page.locator(".tabs-place")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator(".columns summary")).to_have_text("Columns (3)")
    page.set_viewport_size({"width": 400, "height": 800})
    expect(page.locator(".list .row").first).to_contain_text("kind fruit")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator(".columns summary").click()
    expect(page.get_by_role("button", name="Add")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Take all away").click()
    expect(page.locator(".columns summary")).to_have_text("Columns")


def test_keys_and_order_in_the_list(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small")
    page.locator(".list .head").get_by_role("button", name="Tool calls").click()
    first = page.locator(".list .row").first
    expect(first).to_contain_text("price-")
    expect(page.locator(".list [aria-sort=descending]")).to_have_text("Tool calls")
    page.keyboard.press("j")
    page.keyboard.press("j")
    name = page.locator(".list .row.active .task").inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert "sort=-tool_calls" in page.url
    page.keyboard.press("u")
    expect(page.locator(".list [aria-sort=descending]")).to_have_text("Tool calls")


def test_what_looks_wrong_is_said_at_the_top(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "constant")
    expect(page.locator(".notice")).to_contain_text("The reward is 1 in all 8 rollouts: a verifier that never varies")
    expect(page.locator(".notice")).to_contain_text("said nothing at all")
    page.locator(".notice a").filter(has_text="Show them").click()
    expect(page.locator("#rollouts > header [role=status]")).to_contain_text("8")
    run_at(page, viewer, "shop-small")
    loop = page.locator(".notice li").filter(has_text="The same tool call at least")
    expect(loop).to_contain_text("4 of 45 rollouts")
    loop.get_by_role("link").first.click()
    expect(page.get_by_text("the same call again, 6 times now")).to_be_visible()


def test_rows_appear_while_a_run_goes_on(page: Page, viewer: Viewer) -> None:
    with LiveRun(viewer.folder / "live.jsonl") as live:
        live.finish(2)
        run_at(page, viewer, "live")
        expect(page.locator(".pill.live").first).to_have_text("running")
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "2")
        expect(page.locator(".list .row")).to_have_count(2)
        live.finish(3)
        expect(page.locator(".list .row")).to_have_count(5)
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "5")
        live.finish(live.left)
        live.join()
        expect(page.locator(".page-head .pill")).to_have_text("finished")
        expect(page.get_by_role("progressbar")).to_have_count(0)
    live.remove()


MANY = 1_000_000


def test_a_million_rollouts_scroll(page: Page, viewer: Viewer) -> None:
    """Only rows in sight exist, and only pages of them are asked for."""
    asked: list[int] = []

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        asked.append(offset)
        found = route.fetch(url=route.request.url.replace(f"offset={offset}", "offset=0")).json()
        rows = [{**found["rollouts"][0], "n": str(n + 1)} for n in range(offset, min(offset + limit, MANY))]
        route.fulfill(json={**found, "total": MANY, "matched": MANY, "offset": offset, "rollouts": rows})

    page.route("**/rollouts?*", answer)
    try:
        run_at(page, viewer, "shop-small")
        expect(page.locator("#rollouts > header [role=status]")).to_have_text("1,000,000 rollouts")
        scroll, rows = page.locator(".list .scroll"), page.locator(".list .row")
        scroll.evaluate("one => { one.scrollTop = one.scrollHeight }")
        expect(rows.last).to_have_attribute("aria-rowindex", str(MANY + 1))
        expect(rows.last).to_contain_text("1000000")
        rows.last.scroll_into_view_if_needed()
        expect(rows.last).to_be_in_viewport()
        scroll.evaluate("one => { one.scrollTop = one.scrollHeight / 2 }")
        expect(rows.first).to_contain_text("price-00")
        assert rows.count() < 60
        assert len(asked) < 12
    finally:
        page.unroute("**/rollouts?*")
