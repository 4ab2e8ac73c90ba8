"""The page of executions, as somebody works with it."""

from __future__ import annotations

import json
import re

from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from tests.browser.conftest import LOADING, Tabs, sign_in
from tests.rows import add_execution, column, one, set_status


def row(page: Page, execution: int) -> Locator:
    return page.locator(f'#rows [data-id="{execution}"]')


def shows(page: Page, execution: int, status: str) -> None:
    expect(row(page, execution).locator('[data-cell="status"]')).to_have_text(status)


def ids(page: Page) -> list[int]:
    return [
        int(text.removeprefix("#")) for text in page.locator('[data-cell="id"]').all_inner_texts()
    ]


def test_it_shows_changes_the_moment_they_happen(tabs: Tabs) -> None:
    page = tabs.open("/?pack=demo")
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert").first).to_contain_text("correct username and password")
    sign_in(page)
    expect(page).to_have_url(f"{tabs.site.url}/?pack=demo")
    page.get_by_role("link", name="attune").click()
    expect(page.locator("#badge")).to_have_text("live")
    expect(page.locator("#empty")).to_be_visible()

    conn = tabs.site.conn
    first = add_execution(conn, "demo.first")
    second = add_execution(conn, "demo.second", parent=first)
    shows(page, second, "requested")
    expect(page.locator("#empty")).to_be_hidden()
    set_status(conn, first, "running")
    shows(page, first, "running")
    expect(row(page, first).locator('[data-cell="duration"]')).to_have_text(re.compile(r"^\d s$"))
    set_status(conn, first, "failed")
    shows(page, first, "failed")
    assert ids(page) == [second, first]
    expect(row(page, second).get_by_role("link", name=f"↳ #{first}")).to_be_visible()
    expect(page.locator('.chip[data-status="failed"] [data-count]')).to_have_text("1")
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [second])
    expect(row(page, second)).to_have_count(0)


def test_its_filters_are_in_the_address(tabs: Tabs) -> None:
    conn = tabs.site.conn
    running = add_execution(conn, "demo.run", status="running")
    other = add_execution(conn, "other.run", status="running")
    page = tabs.signed_in()
    page.get_by_role("button", name="running").click()
    expect(page).to_have_url(re.compile(r"\?status=running$"))
    page.get_by_role("search").get_by_label("Action").fill("demo.*")
    expect(page).to_have_url(re.compile(r"\?status=running&action_ref=demo"))
    expect(row(page, other)).to_have_count(0)
    shows(page, running, "running")

    late = add_execution(conn, "demo.late", status="running")
    shows(page, late, "running")
    add_execution(conn, "demo.late", status="requested")
    set_status(conn, running, "completed")
    expect(row(page, running)).to_have_count(0)
    assert ids(page) == [late]
    page.reload()
    expect(page.get_by_role("search").get_by_label("Action")).to_have_value("demo.*")
    shows(page, late, "running")
    page.go_back()
    expect(row(page, other)).to_have_count(1)
    expect(page.get_by_role("search").get_by_label("Action")).to_have_value("")
    page.get_by_role("search").get_by_label("Id").fill(str(running))
    expect(page.locator("#empty")).to_contain_text("Nothing matches")
    page.get_by_role("button", name="Clear filters").click()
    shows(page, running, "completed")


def test_it_pauses_and_says_how_much_it_holds_back(tabs: Tabs) -> None:
    conn = tabs.site.conn
    execution = add_execution(conn, status="running")
    page = tabs.signed_in()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#badge")).to_have_text("paused")
    set_status(conn, execution, "completed")
    late = add_execution(conn)
    expect(page.locator("#pause")).to_have_text("Resume (2 held)")
    shows(page, execution, "running")
    assert ids(page) == [execution]
    expect(page.locator("html[data-frozen]")).to_have_count(1)  # it does not run on
    page.locator("#pause").click()
    shows(page, execution, "completed")
    shows(page, late, "requested")
    expect(page.locator("#badge")).to_have_text("live")
    expect(page.locator("html[data-frozen]")).to_have_count(0)


def test_it_shows_older_ones_and_keeps_its_place(tabs: Tabs) -> None:
    conn = tabs.site.conn
    conn.execute(
        "INSERT INTO attune.execution (action_ref) SELECT 'demo.many' FROM generate_series(1, 150)"
    )
    page = tabs.signed_in()
    rows = page.locator("#rows [data-id]")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Show older").click()
    expect(rows).to_have_count(150)
    expect(page.get_by_role("button", name="Show older")).to_be_hidden()
    rows.nth(120).scroll_into_view_if_needed()
    place = rows.nth(120).evaluate("row => (window.kept = row).getBoundingClientRect().top")
    late = add_execution(conn, "demo.late")
    expect(row(page, late)).to_have_count(1)
    assert abs(page.evaluate("kept.getBoundingClientRect().top") - place) < 1


def test_it_misses_nothing_while_older_ones_are_on_their_way(tabs: Tabs) -> None:
    conn = tabs.site.conn
    conn.execute(
        "INSERT INTO attune.execution (action_ref) SELECT 'demo.many' FROM generate_series(1, 120)"
    )
    page = tabs.signed_in()
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/executions?*cursor=*", lambda route: held.append((route, route.fetch())))
    page.get_by_role("button", name="Show older").click()
    expect(page.get_by_role("button", name="Show older")).to_be_disabled()
    while not held:
        page.wait_for_timeout(10)
    oldest = one(conn, "SELECT min(id) FROM attune.execution")
    set_status(conn, oldest, "failed")
    late = add_execution(conn, "demo.late")
    expect(row(page, late)).to_have_count(1)  # so that the one before it has come, too
    route, answer = held.pop()
    route.fulfill(response=answer)
    shows(page, oldest, "failed")


def test_it_begins_a_page_below_a_thousand_rows_where_those_end(tabs: Tabs) -> None:
    conn = tabs.site.conn
    conn.execute(
        "INSERT INTO attune.execution (action_ref) SELECT 'demo.many' FROM generate_series(1, 1005)"
    )
    page = tabs.signed_in()
    rows, older = page.locator("#rows [data-id]"), page.get_by_role("button", name="Show older")
    for count in range(200, 1001, 100):
        older.click()
        expect(rows).to_have_count(count)
    late = add_execution(conn, "demo.late")  # for which the last one goes
    expect(row(page, late)).to_have_count(1)
    expect(rows).to_have_count(1000)
    numbers = "rows => rows.map(row => Number(row.dataset.id))"
    shown = rows.evaluate_all(numbers)
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [shown[500]])
    expect(rows).to_have_count(999)
    older.click()
    page.wait_for_url("**cursor=*")
    expect(rows).to_have_count(6)
    assert rows.evaluate_all(numbers)[0] == shown[-1] - 1


def test_it_starts_and_cancels(tabs: Tabs) -> None:
    conn = tabs.site.conn
    schema = {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "integer", "minimum": 1}},
    }
    conn.execute(
        "WITH p AS (INSERT INTO attune.pack (ref) VALUES ('made') RETURNING id)"
        " INSERT INTO attune.action (ref, pack, pack_ref, param_schema)"
        " SELECT 'made.up', id, 'made', %s FROM p",
        [json.dumps(schema)],
    )
    tabs.tolerated.append(LOADING)  # the 400
    page = tabs.signed_in()
    page.get_by_role("button", name="Start…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Action", exact=True).fill("made.up")
    config = dialog.get_by_label("Config")
    config.focus()
    expect(config).to_have_value('{\n  "rows": 1\n}')
    config.fill('{"rows": "many"}')
    dialog.get_by_role("button", name="Start").click()
    expect(dialog.locator("#start-config-error")).to_contain_text("'many' is not of type 'integer'")
    config.fill('{"rows": 2')
    dialog.get_by_role("button", name="Start").click()
    expect(dialog.locator("#start-config-error")).to_contain_text("This is not JSON")
    config.fill('{"rows": 2}')
    dialog.get_by_role("button", name="Start").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#rows")).to_contain_text("made.up")
    [execution] = ids(page)
    assert column(conn, execution, "config") == {"rows": 2}

    page.get_by_role("button", name=f"Cancel execution {execution}").click()
    page.get_by_role("button", name="Cancel execution", exact=True).click()
    shows(page, execution, "cancelled")
    expect(page.get_by_role("button", name=f"Cancel execution {execution}")).to_be_hidden()


def test_it_shows_what_moves_into_a_tree_and_out_of_it(tabs: Tabs) -> None:
    conn = tabs.site.conn
    root = add_execution(conn, "demo.root")
    child = add_execution(conn, "demo.child", parent=root)
    leaf = add_execution(conn, "demo.leaf", parent=child)
    move = "UPDATE attune.execution SET parent = %s WHERE id = %s"
    page = tabs.signed_in(f"/?root={root}")
    shows(page, leaf, "requested")
    conn.execute(move, [None, child])
    expect(row(page, leaf)).to_have_count(0)
    assert ids(page) == [root]
    conn.execute(move, [root, child])
    shows(page, leaf, "requested")

    other = tabs.open("/?pack=demo")
    shows(other, leaf, "requested")
    conn.execute("UPDATE attune.execution SET action_ref = 'other.leaf' WHERE id = %s", [leaf])
    expect(row(other, leaf)).to_have_count(0)
    expect(row(page, leaf)).to_contain_text("other.leaf")
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [child])
    expect(row(page, leaf)).to_have_count(0)
    assert ids(page) == [root]


def test_a_part_of_a_tree_shows_whatever_comes_to_match_below(tabs: Tabs) -> None:
    conn = tabs.site.conn
    root = add_execution(conn, "demo.root", status="running")
    child = add_execution(conn, "demo.child", parent=root, status="running")
    leaf = add_execution(conn, "demo.leaf", parent=child, status="running")
    stranger = add_execution(conn, "demo.stranger", status="running")
    page = tabs.signed_in(f"/?root={root}&status=failed")
    expect(page.locator("#badge")).to_have_text("live")
    assert ids(page) == []
    set_status(conn, stranger, "failed")
    set_status(conn, leaf, "failed")
    shows(page, leaf, "failed")
    below = add_execution(conn, "demo.below", parent=leaf, status="running")
    set_status(conn, below, "failed")
    shows(page, below, "failed")
    assert ids(page) == [below, leaf]

    # Under one that is not listed, by one that is not listed either.
    branch = add_execution(conn, "demo.branch", status="running")
    far = add_execution(conn, "demo.far", parent=branch, status="failed")
    move = "UPDATE attune.execution SET parent = %s WHERE id = %s"
    conn.execute(move, [child, branch])
    shows(page, far, "failed")
    conn.execute(move, [None, branch])
    expect(row(page, far)).to_have_count(0)

    # Without the status it is the tree again, by the stream that all tabs share, and back.
    page.get_by_role("button", name="failed").click()
    shows(page, child, "running")
    set_status(conn, child, "failed")
    shows(page, child, "failed")
    page.get_by_role("button", name="failed").click()
    expect(row(page, root)).to_have_count(0)
    set_status(conn, root, "failed")
    shows(page, root, "failed")
    assert ids(page) == [below, leaf, child, root]
    expect(page.locator("#badge")).to_have_text("live")
