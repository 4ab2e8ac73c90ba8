"""What the pages say while they wait, where they fail, and where there is nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import LOADING, WAIT_MS, Tabs
from tests.browser.test_executions_page import ids, row, shows
from tests.rows import add_execution, set_status

STEP_MS = 20
LIST = "**/api/v1/executions?*"
# Of each page: what it asks for first, and what it shows once it has that.
PAGES = {
    "/": (LIST, "#rows [data-id]"),
    "/executions/{}/": ("**/api/v1/executions/*", "#steps .status"),
    "/overview/": ("**/api/v1/executions/stats?*", "#actions tr"),
}


def failure(page: Page) -> Locator:
    return page.locator("#failure [data-text]")


def hold(page: Page, asked: str) -> Callable[[], None]:
    """Hold the next request for what is asked; return what lets it on."""
    held: list[Route] = []
    page.route(asked, lambda route: held.append(route), times=1)

    def let_on() -> None:
        for _ in range(WAIT_MS // STEP_MS):
            if held:
                return held.pop().continue_()
            page.wait_for_timeout(STEP_MS)
        raise AssertionError(f"nobody asked for {asked}")

    return let_on


def open_held(tabs: Tabs, path: str, execution: int) -> tuple[Page, Callable[[], None]]:
    """Open a page whose first request waits to be let on."""
    page = tabs.context.new_page()
    let_on = hold(page, PAGES[path][0])
    page.goto(tabs.site.url + path.format(execution))
    return page, let_on


def bad_gateway(route: Route) -> None:
    """Answer as a proxy does whose server is away."""
    route.fulfill(status=502, content_type="text/html", body="<h1>Bad gateway</h1>")


def test_they_say_that_they_are_loading(tabs: Tabs) -> None:
    execution = add_execution(tabs.site.conn, "demo.run", status="running")
    tabs.signed_in()
    opened = {path: open_held(tabs, path, execution) for path in PAGES}
    tabs.site.gate.stall()
    try:
        for path, (page, let_on) in opened.items():
            let_on()
            expect(page.locator("#busy")).to_be_visible()
            expect(page.locator("[aria-busy=true]")).to_have_count(1)
            expect(page.locator(PAGES[path][1])).to_have_count(0)
        page = opened["/"][0]
        expect(page.locator("#loading")).to_be_visible()
        expect(page.locator("#empty")).to_be_hidden()
        expect(page.locator("[data-count]").first).to_have_text("–")
    finally:
        tabs.site.gate.open()
    for path, (page, _) in opened.items():
        expect(page.locator(PAGES[path][1])).to_have_count(1)
        expect(page.locator("#busy")).to_be_hidden()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)


def test_they_say_that_the_database_is_away_and_recover(tabs: Tabs) -> None:
    execution = add_execution(tabs.site.conn, "demo.run", status="running")
    tabs.tolerated.append(LOADING)
    tabs.signed_in()
    opened = {path: open_held(tabs, path, execution) for path in PAGES}
    tabs.site.gate.shut()
    try:
        for _, let_on in opened.values():
            let_on()
        for page, _ in opened.values():
            expect(failure(page)).to_contain_text("The database cannot answer now")
            expect(failure(page)).to_contain_text("This page tries again by itself.")
            expect(page.locator("#loading:visible, #empty:visible")).to_have_count(0)
    finally:
        tabs.site.gate.open()
    for path, (page, _) in opened.items():
        expect(page.locator(PAGES[path][1])).to_have_count(1)
        expect(failure(page)).to_be_hidden()
        expect(page.locator("#badge")).to_have_text("live")


def test_it_tries_again_when_asked_to(tabs: Tabs) -> None:
    tabs.tolerated.append(LOADING)
    tabs.site.conn.execute(
        "INSERT INTO attune.execution (action_ref) SELECT 'demo.many' FROM generate_series(1, 101)"
    )
    tabs.signed_in()
    page = tabs.context.new_page()
    page.route(LIST, bad_gateway)
    page.goto(tabs.site.url)
    expect(failure(page)).to_contain_text("Cannot load the list: The server answered 502.")
    page.unroute(LIST)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#rows [data-id]")).to_have_count(100)
    expect(failure(page)).to_be_hidden()
    page.route(LIST, bad_gateway)
    page.get_by_role("button", name="Show older").click()
    expect(failure(page)).to_contain_text("Cannot load older ones: The server answered 502.")
    expect(page.locator("#rows [data-id]")).to_have_count(100)
    page.unroute(LIST)
    expect(page.locator("#rows [data-id]")).to_have_count(101)
    expect(failure(page)).to_be_hidden()


def test_it_says_what_is_wrong_with_a_filter(tabs: Tabs) -> None:
    execution = add_execution(tabs.site.conn)
    tabs.tolerated.append(LOADING)
    tabs.signed_in()
    page = tabs.open("/?parent=nobody")
    expect(failure(page)).to_contain_text("parent")
    expect(failure(page)).not_to_contain_text("by itself")
    expect(page.locator("#loading:visible, #empty:visible")).to_have_count(0)
    page.get_by_role("button", name="Clear filters").click()
    shows(page, execution, "requested")
    expect(failure(page)).to_be_hidden()


def test_it_says_that_there_is_nothing_and_why(tabs: Tabs) -> None:
    page = tabs.signed_in()
    expect(page.locator("#empty")).to_contain_text("No executions yet")
    page.get_by_role("search").get_by_label("Pack").fill("demo")
    expect(page.locator("#empty")).to_contain_text("Nothing matches these filters")
    execution = add_execution(tabs.site.conn, "demo.run")
    shows(page, execution, "requested")
    expect(page.locator("#empty")).to_be_hidden()
    page.goto(f"{tabs.site.url}/overview/?minutes=15")
    expect(page.locator('[data-figure="failures"]')).to_have_text("–")
    page.goto(f"{tabs.site.url}/executions/{execution}/")
    expect(page.locator("#tree-note")).to_contain_text("None yet")
    expect(page.locator("#result")).to_contain_text("No result yet.")


def test_it_does_not_take_the_old_list_for_the_one_asked_for(tabs: Tabs) -> None:
    conn = tabs.site.conn
    running = add_execution(conn, status="running")
    waiting = add_execution(conn)
    page = tabs.signed_in()
    shows(page, waiting, "requested")
    let_on = hold(page, LIST)
    page.get_by_role("button", name="running").click()
    expect(page.locator("#busy")).to_be_visible()
    set_status(conn, waiting, "scheduled")
    shows(page, waiting, "scheduled")  # live, and still not what was asked for
    expect(page.locator("#table")).to_have_attribute("aria-busy", "true")
    let_on()
    expect(page.locator("#table")).to_have_attribute("aria-busy", "false")
    expect(row(page, waiting)).to_have_count(0)
    assert ids(page) == [running]


def test_it_stands_still_until_it_has_listed_anew(tabs: Tabs) -> None:
    """What was missed cannot be told, and the list does not come: nothing goes on."""
    conn = tabs.site.conn
    execution = add_execution(conn, status="running")
    page = tabs.signed_in()
    let_on = hold(page, LIST)
    conn.execute("UPDATE attune.stream_state SET epoch = 'e' || left(epoch, 7)")
    expect(page.locator("#badge")).to_have_text("catching up")
    expect(page.locator("html[data-frozen]")).to_have_count(1)
    duration = row(page, execution).locator('[data-cell="duration"]')
    expect(duration).to_have_text(re.compile(r"^\d+ s$"))
    seen = duration.inner_text()
    page.wait_for_timeout(1100)
    assert duration.inner_text() == seen
    let_on()
    expect(page.locator("#badge")).to_have_text("live")
    expect(page.locator("html[data-frozen]")).to_have_count(0)
    set_status(conn, execution, "completed")
    shows(page, execution, "completed")
