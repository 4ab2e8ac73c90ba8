"""The page of one execution, and the overview, as somebody watches them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from psycopg.types.json import Jsonb

from tests.browser.conftest import LOADING, Tabs, sign_in
from tests.browser.test_looks import findings
from tests.rows import add_execution, inbox, set_status
from tests.servers import wait_for

TICKING = re.compile(r"^\d+ s$")


def steps(page: Page) -> Locator:
    return page.locator("#steps .status")


def gantt_row(page: Page, execution: int) -> Locator:
    return page.locator(f'#gantt-rows [data-id="{execution}"]')


def test_it_tells_the_story_of_an_execution(tabs: Tabs) -> None:
    conn = tabs.site.conn
    parent = add_execution(conn, "demo.parent")
    config = Jsonb({"limit": 2**53 + 1, "deep": {"of": [1, 2]}})
    execution = add_execution(conn, "demo.child", parent=parent, config=config)
    tabs.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = tabs.signed_in(f"/executions/{execution}/")
    expect(page.locator("#crumbs")).to_contain_text(f"demo.parent #{parent}")
    expect(page.locator("#config")).to_contain_text(f"limit: {2**53 + 1}")
    expect(page.locator("#result")).to_contain_text("No result yet")
    expect(steps(page)).to_have_text(["requested"])

    set_status(conn, execution, "running")
    expect(page.locator("#status")).to_have_text("running")
    expect(page.locator('[data-fact="duration"]')).to_have_text(TICKING)
    expect(page.locator("#events .event-delay").first).to_have_text(re.compile(r"\d m?s$"))
    conn.execute(
        "UPDATE attune.execution SET result = %s WHERE id = %s",
        [Jsonb({"progress": 50}), execution],
    )
    expect(page.locator("#steps")).to_contain_text("1 update")
    result = {"error": "<b>no</b> such file", "log": "one\ntwo", "big": "x" * 70_000}
    conn.execute(
        "UPDATE attune.execution SET status = 'failed', result = %s WHERE id = %s",
        [Jsonb(result), execution],
    )
    expect(page).to_have_title(re.compile("^failed"))
    # Too large for an event, it comes by REST; and is text, whatever it looks like.
    expect(page.locator("#error")).to_have_text("<b>no</b> such file")
    expect(page.locator("#result")).to_contain_text("Show all 70,002 characters")
    page.get_by_role("button", name="Copy result").click()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == result
    expect(steps(page)).to_have_text(["requested", "running", "failed"])
    expect(page.locator("#events > li")).to_have_count(4)
    page.locator("#events summary").last.click()
    expect(page.locator("#events .event-body")).to_contain_text('op: "INSERT"')
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    page.get_by_role("link", name=f"demo.parent #{parent}").click()
    expect(page).to_have_url(re.compile(f"/executions/{parent}/$"))


def test_a_long_history_is_shown_to_its_end(tabs: Tabs) -> None:
    conn = tabs.site.conn
    execution = add_execution(conn, "demo.long", status="running")
    conn.execute(
        "DO $$ BEGIN FOR step IN 1..5200 LOOP"
        " UPDATE attune.execution SET result = to_jsonb(step);"
        " END LOOP; END $$"
    )
    set_status(conn, execution, "completed")
    wait_for(lambda: inbox(conn) == [], "the log to have it all")
    page = tabs.signed_in(f"/executions/{execution}/")
    expect(page.locator("#events-count")).to_have_text("5,000+")
    newest = page.locator("#events > li").first
    expect(newest).to_contain_text("v5202")
    expect(newest).to_contain_text("completed")
    expect(steps(page)).to_have_text(["running", "completed"])
    expect(page.locator("#timeline-note")).to_contain_text("some of the middle is missing")


def test_its_tree_grows_while_it_is_watched(tabs: Tabs) -> None:
    conn = tabs.site.conn
    root = add_execution(conn, "demo.root", status="running")
    page = tabs.signed_in(f"/executions/{root}/")
    expect(page.locator("#tree-note")).to_contain_text("None yet")
    child = add_execution(conn, "demo.child", parent=root)
    grandchild = add_execution(conn, "demo.grandchild", parent=child, status="running")
    add_execution(conn, "demo.stranger", status="running")
    expect(page.locator("#gantt-rows [data-id]")).to_have_count(3)
    expect(gantt_row(page, grandchild)).to_contain_text(f"demo.grandchild #{grandchild}")
    expect(gantt_row(page, grandchild)).to_contain_text("Level 3, running")
    bar = gantt_row(page, grandchild).locator(".bar-run")
    place = "bar => parseFloat(getComputedStyle(bar).width) / bar.parentElement.clientWidth"
    before = bar.evaluate(place)
    page.wait_for_function(
        f"([bar, was]) => ({place})(bar) > was", arg=[bar.element_handle(), before]
    )

    set_status(conn, grandchild, "completed")
    expect(gantt_row(page, grandchild)).to_have_attribute("data-status", "completed")
    page.get_by_role("button", name=f"Children of {child}").click()
    expect(gantt_row(page, grandchild)).to_have_count(0)
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [grandchild])
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [child])
    expect(page.locator("#gantt")).to_be_hidden()
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [root])
    expect(page.locator("#error")).to_contain_text("This execution was deleted")


def test_it_cancels(tabs: Tabs) -> None:
    execution = add_execution(tabs.site.conn, status="running")
    page = tabs.signed_in(f"/executions/{execution}/")
    page.get_by_role("button", name=f"Cancel execution {execution}").click()
    page.get_by_role("button", name="Cancel execution", exact=True).click()
    expect(page.locator("#status")).to_have_text("canceling")
    expect(page.get_by_role("button", name=f"Cancel execution {execution}")).to_be_hidden()


def test_it_does_not_tell_an_unknown_execution_from_an_invisible_one(tabs: Tabs) -> None:
    conn = tabs.site.conn
    conn.execute("INSERT INTO attune.pack (ref, restricted) VALUES ('hidden', true)")
    hidden = add_execution(conn, "hidden.run")
    tabs.tolerated.append(LOADING)  # the 404s
    page = tabs.signed_in()

    def answer(execution: int) -> tuple[int, str]:
        response = page.goto(f"{tabs.site.url}/executions/{execution}/")
        assert response is not None
        tokens = r'(name="csrf(?:-token|middlewaretoken)" (?:content|value)=)"\w+"'
        return response.status, re.sub(tokens, r"\1", response.text())

    assert answer(hidden) == answer(hidden + 1000) == answer(10**30)
    assert answer(hidden)[0] == 404
    expect(page.get_by_role("heading")).to_have_text("Not found")


def test_both_are_right_again_after_a_restart_that_lost_the_log(tabs: Tabs) -> None:
    site = tabs.site
    execution = add_execution(site.conn, "demo.run", status="running")
    gone = add_execution(site.conn, "demo.gone", parent=execution)
    page = tabs.signed_in(f"/executions/{execution}/")
    overview = tabs.open("/overview/")
    expect(gantt_row(page, gone)).to_have_count(1)
    expect(overview.locator('[data-figure="running"]')).to_have_text("1")
    tabs.tolerated.append(LOADING)
    site.stack.processes["web"].kill()
    site.relay.cut()
    expect(page.locator("#badge")).to_contain_text("reconnecting")
    expect(page.locator("html[data-frozen]")).to_have_count(1)
    expect(overview.locator("html[data-frozen]")).to_have_count(1)
    # Whether it still runs is not known: nothing goes on.
    seen = [page.locator(name).inner_text() for name in ('[data-fact="duration"]', ".step-time")]
    page.wait_for_timeout(1100)
    told = [page.locator(name).inner_text() for name in ('[data-fact="duration"]', ".step-time")]
    assert told == seen
    set_status(site.conn, execution, "completed")
    site.conn.execute("DELETE FROM attune.execution WHERE id = %s", [gone])
    site.conn.execute("UPDATE attune.stream_state SET epoch = 'e' || left(epoch, 7)")
    site.restart_web()
    expect(page.locator("#status")).to_have_text("completed")
    expect(page.locator("#gantt")).to_be_hidden()
    expect(overview.locator('[data-figure="running"]')).to_have_text("0")
    expect(overview.locator("html[data-frozen]")).to_have_count(0)
    set_status(site.conn, execution, "running")
    expect(page.locator("#status")).to_have_text("running")
    expect(overview.locator('[data-figure="running"]')).to_have_text("1")


def test_the_overview_counts_what_goes_on(tabs: Tabs) -> None:
    conn = tabs.site.conn
    page = tabs.signed_in("/overview/")
    expect(page.locator('[data-figure="running"]')).to_have_text("0")
    expect(page.locator("#actions-note")).to_have_text("Nothing ran in this time.")
    ids = [add_execution(conn, "demo.busy", status="running") for _ in range(3)]
    add_execution(conn, "demo.idle")
    expect(page.locator('[data-figure="running"]')).to_have_text("3")
    expect(page.locator('[data-aside="running"]')).to_have_text("1 waiting")
    set_status(conn, ids[0], "failed")
    set_status(conn, ids[1], "completed")
    expect(page.locator('[data-figure="failures"]')).to_have_text("50 %")
    expect(page.locator('[data-aside="durations"]')).to_have_text("median of 2 that ran")
    expect(page.locator("#actions tr").first).to_contain_text("demo.busy")
    # They may have come in two minutes.
    created = re.compile(r"Created each minute: at most [1-4], now [0-4]$")
    expect(page.get_by_role("img", name=created)).to_be_visible()
    page.get_by_role("button", name="6 h").click()
    expect(page.get_by_role("img", name="Created each 6 minutes")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?minutes=360$"))
    page.locator("#statuses").get_by_role("link", name="running").click()
    expect(page.locator("#rows [data-id]")).to_have_count(1)


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_everybody_can_read_them(tabs: Tabs, scheme: Any, width: int) -> None:
    conn = tabs.site.conn
    name = "demo.a_rather_long_name_of_an_action_that_runs"
    result = Jsonb({"error": "x" * 300, "rows": list(range(200)), "deep": [{"a": {"b": None}}]})
    root = add_execution(conn, name, status="running", result=result)
    for status in ("requested", "running", "failed", "timeout", "cancelled"):
        add_execution(conn, name, parent=root, status=status)
    set_status(conn, root, "failed")
    page = tabs.context.new_page()
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{tabs.site.url}/executions/{root}/")
    sign_in(page)
    expect(page.locator("#gantt-rows [data-id]")).to_have_count(6)
    expect(page.locator("#badge")).to_have_text("live")
    page.locator("#events summary").first.click()
    expect(page.locator("#events .json-node").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert findings(page) == []
    page.goto(f"{tabs.site.url}/overview/")
    expect(page.locator("#actions tr")).to_have_count(1)
    expect(page.locator("canvas")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert findings(page) == []
