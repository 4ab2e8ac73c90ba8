"""Pages say what they know, and are right again without a reload."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import LOADING, Tabs, sign_in
from tests.browser.test_executions_page import row, shows
from tests.rows import add_execution, set_status
from tests.servers import wait_for

DURATION = '[data-cell="duration"]'


def test_it_outlives_its_server(tabs: Tabs) -> None:
    site = tabs.site
    execution = add_execution(site.conn, status="running")
    page = tabs.signed_in()
    tabs.tolerated.append(LOADING)
    site.stack.processes["web"].kill()
    site.relay.cut()
    expect(page.locator("#badge")).to_have_text(re.compile("reconnecting"))
    expect(page.locator("html[data-frozen]")).to_have_count(1)
    # Whether it still runs is not known: its time does not go on.
    seen = row(page, execution).locator(DURATION).inner_text()
    page.wait_for_timeout(1100)
    assert row(page, execution).locator(DURATION).inner_text() == seen
    set_status(site.conn, execution, "completed")
    late = add_execution(site.conn)
    site.restart_web()
    shows(page, execution, "completed")
    shows(page, late, "requested")
    expect(page.locator("#badge")).to_have_text("live")
    expect(page.locator("html[data-frozen]")).to_have_count(0)


def test_it_notices_silence(tabs: Tabs) -> None:
    site = tabs.site
    execution = add_execution(site.conn, status="running")
    page = tabs.signed_in()
    tabs.tolerated.append(LOADING)
    site.relay.hold()
    set_status(site.conn, execution, "failed")
    expect(page.locator("#badge")).to_have_text(re.compile(r"stale since \d\d:\d\d:\d\d"))
    site.relay.release()
    shows(page, execution, "failed")
    expect(page.locator("#badge")).to_have_text("live")


def test_it_lists_anew_when_history_is_gone(tabs: Tabs) -> None:
    site = tabs.site
    execution = add_execution(site.conn, status="running")
    page = tabs.signed_in()
    tabs.tolerated.append(LOADING)
    site.stack.processes["web"].kill()
    site.relay.cut()
    expect(page.locator("#badge")).to_have_text(re.compile("reconnecting"))
    set_status(site.conn, execution, "completed")
    gone = add_execution(site.conn)
    site.conn.execute("DELETE FROM attune.execution WHERE id = %s", [gone])
    # As after a restore: the log cannot be trusted any more, and says so by its epoch.
    site.conn.execute("UPDATE attune.stream_state SET epoch = 'e' || left(epoch, 7)")
    site.restart_web()
    shows(page, execution, "completed")
    expect(row(page, gone)).to_have_count(0)
    expect(page.locator("#badge")).to_have_text("live")
    set_status(site.conn, execution, "failed")
    shows(page, execution, "failed")


def test_it_leads_to_sign_in_and_back_when_the_session_ends(tabs: Tabs) -> None:
    site = tabs.site
    execution = add_execution(site.conn, status="running")
    page = tabs.signed_in("/?status=running")
    tabs.tolerated.append(LOADING)
    site.conn.execute("DELETE FROM attune.django_session")
    site.relay.cut()
    expect(page.locator("#badge")).to_have_text("signed out")
    page.get_by_role("link", name="Sign in again").click()
    sign_in(page)
    expect(page).to_have_url(f"{site.url}/?status=running")
    shows(page, execution, "running")


def test_eight_tabs_share_one_connection(tabs: Tabs) -> None:
    site = tabs.site
    first = tabs.signed_in()
    others = [tabs.open("/?status=running" if number % 2 else "/") for number in range(7)]
    execution = add_execution(site.conn, status="running")
    for page in (first, *others):
        shows(page, execution, "running")
    wait_for(lambda: site.stack.metric("attune_streams") == 1, "one stream for eight tabs")
    first.close()
    set_status(site.conn, execution, "completed")
    for number, page in enumerate(others):
        if number % 2:
            expect(row(page, execution)).to_have_count(0)
        else:
            shows(page, execution, "completed")
    tabs.tolerated.append(LOADING)  # what a tab asks for before it hears of it
    others[0].get_by_role("button", name="Sign out").click()
    for page in others:
        expect(page).to_have_url(re.compile("/sign-in/"))
    wait_for(lambda: site.stack.metric("attune_streams") == 0, "the stream to end")
