"""Readable for everybody, on every screen; and quick, however much goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Tabs, sign_in
from tests.rows import add_execution

LONG_TASK_MS = 50.0
ATTEMPTS = 3
AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text(encoding="utf-8")
STATUSES = [
    *("requested", "scheduling", "scheduled", "running", "completed"),
    *("failed", "canceling", "cancelled", "timeout", "abandoned"),
]


def findings(page: Page) -> list[str]:
    """Return what axe finds serious."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_everybody_can_read_it(tabs: Tabs, scheme: Any, width: int) -> None:
    for status in STATUSES:
        add_execution(tabs.site.conn, "demo.a_rather_long_name_of_an_action", status=status)
    page = tabs.context.new_page()
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(tabs.site.url)
    assert findings(page) == []
    sign_in(page)
    expect(page.locator("#rows [data-id]")).to_have_count(len(STATUSES))
    expect(page.locator("#badge")).to_have_text("live")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert findings(page) == []
    page.get_by_role("button", name="Start…").click()
    assert findings(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Pause").click()
    add_execution(tabs.site.conn)
    expect(page.locator("#pause")).to_have_text("Resume (1 held)")
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_keyboard_is_enough(tabs: Tabs) -> None:
    execution = add_execution(tabs.site.conn, status="running")
    page = tabs.signed_in()
    expect(page.locator("#rows [data-id]")).to_have_count(1)
    page.locator("body").press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.innerText || document.activeElement.name")
        )
        if seen[-1] == "Cancel":
            break
    assert {"Pause", "Start…", "All", "pack", f"#{execution}", "Cancel"} <= set(seen)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text(f"#{execution}")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=f"Cancel execution {execution}")).to_be_focused()


def test_a_thousand_rows_and_a_hundred_changes_a_second(browser: Browser, tabs: Tabs) -> None:
    _add_a_thousand(tabs, parent=None)
    page = tabs.signed_in()
    for shown in range(200, 1001, 100):
        page.locator("#more").click()
        expect(page.locator("#rows [data-id]")).to_have_count(shown)
    _stays_quick(browser, page, lambda: _change(page, tabs))


def test_a_tree_of_a_thousand_and_a_hundred_changes_a_second(browser: Browser, tabs: Tabs) -> None:
    root = add_execution(tabs.site.conn, "demo.root", status="running")
    _add_a_thousand(tabs, parent=root)
    page = tabs.signed_in()
    rows = page.locator("#gantt-rows [data-id]")

    def open_it() -> None:
        page.goto(f"{tabs.site.url}/executions/{root}/")
        expect(rows).to_have_count(1000)

    def fold_and_unfold() -> None:
        for shown in (1, 1000):
            rows.first.evaluate("row => row.querySelector('.gantt-fold').click()")
            expect(rows).to_have_count(shown)

    _stays_quick(browser, page, open_it)
    expect(page.locator("#badge")).to_have_text("live")
    _stays_quick(browser, page, lambda: _change(page, tabs))
    _stays_quick(browser, page, fold_and_unfold)


def _add_a_thousand(tabs: Tabs, *, parent: int | None) -> None:
    """Insert executions; below a parent, ten have the others below them, and they are 999."""
    tabs.site.conn.execute(
        "WITH one AS (INSERT INTO attune.execution (action_ref, status, parent)"
        " SELECT 'demo.many', 'running', %(parent)s FROM generate_series(1, 10) RETURNING id)"
        " INSERT INTO attune.execution (action_ref, status, parent)"
        " SELECT 'demo.many', 'running', CASE WHEN %(parent)s > 0"
        " THEN (SELECT min(id) FROM one) + n %% 10 END FROM generate_series(1, %(more)s) n",
        {"parent": parent, "more": 990 if parent is None else 989},
    )


def _stays_quick(browser: Browser, page: Page, act: Callable[[], None]) -> None:
    """Check that the page has no long task meanwhile; what else this machine does may make one."""
    longest = []
    while len(longest) < ATTEMPTS and min(longest, default=LONG_TASK_MS + 1) > LONG_TASK_MS:
        browser.start_tracing(page=page, categories=["toplevel"])
        try:
            act()
        finally:
            trace = json.loads(browser.stop_tracing())
        longest.append(_longest_task(trace["traceEvents"]))
    assert min(longest) <= LONG_TASK_MS, longest


def _longest_task(events: list[dict[str, Any]]) -> float:
    """Return the milliseconds of the page's longest task.

    Of processor time, unlike a PerformanceObserver's: whatever else this machine does makes a
    task longer, too.
    """
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event["tdur"] / 1000
        for event in events
        if event["name"].endswith("RunTask")
        and "tdur" in event
        and (event["pid"], event["tid"]) in main
    ]
    assert len(tasks) > 100
    return max(tasks)


def _change(page: Page, tabs: Tabs) -> None:
    """Make 200 changes in two seconds, and wait until the page shows the last one."""
    done = threading.Event()

    def write() -> None:
        with tabs.site.stack.sql() as conn:
            for number in range(200):
                conn.execute(
                    "UPDATE attune.execution SET status = CASE status WHEN 'running'"
                    " THEN 'canceling' ELSE 'running' END WHERE id ="
                    " (SELECT min(id) + %s FROM attune.execution)",
                    [number * 7 % 1000],
                )
                done.wait(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        page.wait_for_timeout(100)
    writer.join()
    found = tabs.site.conn.execute(
        "SELECT id, status FROM attune.execution ORDER BY id LIMIT 1 OFFSET %s", [199 * 7 % 1000]
    ).fetchone()
    assert found is not None
    expect(page.locator('[data-id="{}"][data-status="{}"]'.format(*found))).to_have_count(1)
