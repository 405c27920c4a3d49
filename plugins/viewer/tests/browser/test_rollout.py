"""One rollout: its conversations, its verdict, its tokens, and the way to its neighbours."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .conftest import Viewer
from .test_run import run_at


def rollout_at(page: Page, viewer: Viewer, run: str, task: str, repeat: int = 0) -> None:
    run_at(page, viewer, run, f"?task={task}")
    name = f"{task} #{repeat}" if run.startswith("shop") else task  # those have several rollouts of a task
    page.locator(".list .row").filter(has=page.get_by_text(name, exact=True)).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_a_call_stands_beside_its_output(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "shop-small", "price-00")
    turn = page.get_by_role("region", name="Turn 1", exact=True)
    call = turn.locator(".call")
    expect(call).to_contain_text("price")
    expect(call.locator("> div").nth(0)).to_contain_text('item: "apple"')
    expect(call.locator("> div").nth(1)).to_contain_text('currency: "EUR"')
    reasoning = turn.get_by_text("I have to look the price up")
    expect(reasoning).to_be_hidden()
    turn.get_by_text("Reasoning, ").click()
    expect(reasoning).to_be_visible()
    expect(page.get_by_role("region", name="Turn 2", exact=True)).to_contain_text("It costs")


def test_what_is_known_of_a_rollout_stands_beside_it(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "shop-small", "price-00")
    about = page.get_by_role("complementary", name="About this rollout")
    for text in ("Verdict", "correct", "tidy", "expected: ", "Task", "fruit", "easy", "Time", "turn 1", "gym show"):
        expect(about).to_contain_text(text)
    about.get_by_text("1 tool offered").click()
    expect(about).to_contain_text("The price of an item.")


def test_the_same_call_again_and_a_bad_call_are_marked(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "shop-small", "price-07")
    expect(page.get_by_text("the same call again, 6 times now")).to_be_visible()
    expect(page.locator(".page-head")).to_contain_text("truncated")
    rollout_at(page, viewer, "shop-small", "price-03")
    expect(page.locator(".item.failed")).to_contain_text("there is no such item")


def test_a_failure_shows_its_cause(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "shop-small", "price-05")
    error = page.locator(".panel.error")
    expect(error).to_contain_text("ValueError")
    expect(error).to_contain_text("while verify")
    expect(error).to_contain_text("is not a number")
    expect(page.get_by_text("no reward", exact=True).last).to_be_visible()
    expect(page.get_by_role("region", name="Turn 2", exact=True)).to_contain_text("It costs")


def test_a_link_leads_to_a_turn(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "shop-small", "price-07")
    page.get_by_role("link", name="Turn 5", exact=True).click()
    expect(page.locator(".turn.target")).to_contain_text("Turn 5")
    assert "turn=5" in page.url
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(".turn.target")).to_contain_text("Turn 5")
    expect(page.locator(".turn.target")).to_be_in_viewport()


def test_a_span_leads_to_a_turn_that_is_not_drawn_yet(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "long", "count")
    expect(page.locator(".turn[data-turn='200']")).to_have_count(0)
    page.evaluate("location.hash += '&turn=200'")
    expect(page.locator(".turn.target")).to_contain_text("That makes 200.")
    expect(page.locator(".turn.target")).to_be_in_viewport()
    page.locator(".waterfall a").first.click()
    expect(page.locator(".turn.target")).to_contain_text("That makes 1.")


def test_a_span_unfolds_the_branch_that_its_turn_is_in(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "team", "picture-0")
    expect(page.get_by_text("A red square.", exact=True)).not_to_be_visible()
    page.locator(".waterfall a").filter(has_text="policy: turn 4").click()
    expect(page.locator(".turn.target")).to_contain_text("A red square.")
    expect(page.locator(".turn.target")).to_be_in_viewport()


def test_keys_lead_through_turns_and_rollouts(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "shop-small", "price-07")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Turn 2", exact=True)).to_be_focused()
    page.keyboard.press("k")
    expect(page.get_by_role("link", name="Turn 1", exact=True)).to_be_focused()
    page.keyboard.press("]")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("price-07 #0")
    page.keyboard.press("[")
    expect(page.get_by_role("heading", level=1)).to_have_text("price-07 #0")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", level=1)).to_have_text("shop-small")


def test_next_and_previous_follow_the_filter_and_the_order(page: Page, viewer: Viewer) -> None:
    run_at(page, viewer, "shop-small", "?where=kind%3Dhousehold&sort=-task")
    expect(page.locator("#rollouts > header [role=status]")).to_have_text("16 of 48 rollouts")
    listed = page.locator(".list .row .task").all_inner_texts()
    page.locator(".list .row").first.click()
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_text(listed[0])
    expect(page.get_by_text("Previous", exact=True)).to_have_attribute("aria-disabled", "true")
    page.get_by_role("link", name="Next", exact=True).click()
    expect(title).to_have_text(listed[1])
    page.keyboard.press("]")
    expect(title).to_have_text(listed[2])
    page.get_by_role("link", name="Previous", exact=True).click()
    expect(title).to_have_text(listed[1])
    assert "where=kind%3Dhousehold&sort=-task" in page.url


def test_the_row_itself_can_be_read(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "shop-small", "price-00")
    page.get_by_role("link", name="Raw row").click()
    row = page.locator(".panel").filter(has=page.get_by_role("heading", name="The row as it stands in its file"))
    expect(row).to_contain_text("responses_create_params")
    page.get_by_role("link", name="Conversation").click()
    expect(page.get_by_role("region", name="Turn 1", exact=True)).to_be_visible()


def test_actors_stand_side_by_side_and_branches_in_order(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "team", "picture-0")
    helper = page.get_by_role("region", name="Conversation of helper")
    policy = page.get_by_role("region", name="Conversation of policy")
    expect(helper).to_contain_text("Perhaps a square?")
    left, right = policy.bounding_box(), helper.bounding_box()
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] <= right["x"]
    branches = policy.get_by_role("navigation", name="Branches")
    expect(branches.get_by_role("listitem")).to_have_count(3)
    expect(branches).to_contain_text("given up")
    branches.get_by_role("button").last.click()
    expect(policy.get_by_text("A square, red.")).to_be_in_viewport()


def test_images_are_shown_and_none_is_loaded_from_elsewhere(page: Page, viewer: Viewer) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    rollout_at(page, viewer, "team", "picture-0")
    image = page.locator(".item img")
    expect(image).to_have_count(1)
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 48
    expect(page.get_by_text("https://example.com/tracker.png")).to_be_visible()
    assert {url.partition(":")[0] for url in asked if not url.startswith(viewer.root)} <= {"data", "about"}


def test_long_texts_are_folded(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "team", "picture-0")
    text = page.locator(".item.system .text").first
    folded = text.bounding_box()
    page.locator(".item.system").first.get_by_role("button", name="Show all").click()
    whole = text.bounding_box()
    assert folded is not None
    assert whole is not None
    assert whole["height"] > 2 * folded["height"]


def test_tokens_with_mask_probability_breaks_and_versions(page: Page, viewer: Viewer) -> None:
    rollout_at(page, viewer, "team", "picture-0")
    page.get_by_role("link", name="Tokens").click()
    expect(page.get_by_role("heading", name="Sequence", exact=True)).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("break")
    expect(page.get_by_role("table")).to_contain_text("18")
    sampled, shown = page.locator(".tokens .token.sampled"), page.locator(".tokens .token.shown")
    assert sampled.count() > 10
    assert shown.count() > 10
    colours = set(sampled.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)"))
    assert len(colours) > 5
    assert "log probability" in str(sampled.nth(3).get_attribute("title"))
    sequences = page.get_by_role("navigation", name="Sequences").get_by_role("link")
    assert sequences.count() > 1
    sequences.last.click()
    expect(sequences.last).to_have_attribute("aria-current", "true")
