"""A laptop whose lid is closed for a while: the browser stands still, the world goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from playwright.sync_api import Page, expect

from tests.browser.conftest import LOADING, Site, Tabs
from tests.browser.test_executions_page import row, shows
from tests.rows import add_execution, set_status
from tests.servers import wait_for

RESULT_BYTES = 60_000
CHANGES = 20  # at a time
SLEEP_SECONDS = 7.5  # at the least; as of then a page notices by itself
AWAKE_MS = 500  # in which it does, once it is awake

# Keeps what the page says after each frame, wherever that differs from the frame before.
RECORD = """(execution) => {
    const seen = (window.seen = []);
    const look = () => {
        const row = document.querySelector(`[data-id="${execution}"]`);
        const says = {
            badge: document.getElementById("badge").dataset.kind,
            status: row?.dataset.status ?? document.getElementById("status")?.dataset.status,
            time: document.querySelector(
                `[data-id="${execution}"] [data-cell="duration"], [data-fact="duration"]`
            ).textContent,
        };
        if (JSON.stringify(says) !== JSON.stringify(seen.at(-1)?.says)) {
            seen.push({ at: Date.now(), says });
        }
        requestAnimationFrame(() => setTimeout(look));
    };
    look();
}"""


@contextmanager
def asleep() -> Iterator[None]:
    """Stop every process of the browser, for as long as the context lasts."""
    processes = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that was about to end
            if process.name().startswith("chrom"):
                process.suspend()
                processes.append(process)
    assert len(processes) > 3
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def is_slow_or_gets_more(site: Site, execution: int) -> bool:
    """Tell whether the server says that the client takes nothing; if not, send some more.

    How much the buffers on the way hold is not known: the kernel lets each grow to 32 MiB.
    """
    if site.stack.metric("attune_streams_slow") == 1:
        return True
    for number in range(CHANGES):
        site.conn.execute(
            "UPDATE attune.execution SET result = to_jsonb(repeat(%s, %s)) WHERE id = %s",
            [str(number % 10), RESULT_BYTES, execution],
        )
    return False


def test_it_wakes_up_and_is_right(tabs: Tabs) -> None:
    site, conn = tabs.site, tabs.site.conn
    began = time.monotonic()
    ended = add_execution(conn, "demo.ends", status="running")
    deleted = add_execution(conn, "demo.goes", status="running")
    tabs.tolerated.append(LOADING)
    pages = [tabs.signed_in(), tabs.open(f"/executions/{ended}/")]
    for page in pages:
        expect(page.locator("#badge")).to_have_text("live")
        page.evaluate(RECORD, ended)
    ran = time.monotonic() - began
    with asleep():
        set_status(conn, ended, "failed")
        conn.execute("DELETE FROM attune.execution WHERE id = %s", [deleted])
        noise = add_execution(conn, "demo.noise")
        wait_for(lambda: is_slow_or_gets_more(site, noise), "nothing to be taken", seconds=60)
        late = add_execution(conn, "demo.late", status="running")
        wait_for(lambda: site.stack.metric("attune_streams") == 0, "the server to cut it")
        wait_for(lambda: time.monotonic() - began > ran + SLEEP_SECONDS, "a night to pass")
        site.relay.hold()
        woken = time.time() * 1000
    # No network yet: whether it still runs is not known.
    for page in pages:
        expect(page.locator("#badge")).to_have_text(re.compile("reconnecting|stale since"))
        expect(page.locator("html[data-frozen]")).to_have_count(1)
    site.relay.release()
    shows(pages[0], ended, "failed")
    shows(pages[0], late, "running")
    expect(row(pages[0], deleted)).to_have_count(0)
    expect(pages[1].locator("#status")).to_have_text("failed")
    for page in pages:
        expect(page.locator("#badge")).to_have_text("live")
        expect(page.locator("html[data-frozen]")).to_have_count(0)
        _was_honest(page, ran, woken)


def _was_honest(page: Page, ran: float, woken: float) -> None:
    """Check every frame, of an execution that ran for so long and ended before the waking."""
    seen: list[dict[str, Any]] = page.evaluate("seen")
    times = [one["says"]["time"] for one in seen if one["says"]["status"] == "running"]
    assert times and all(int(text.removesuffix(" s")) <= ran + 1 for text in times), seen
    after = [one["says"] for one in seen if one["at"] > woken + AWAKE_MS]
    assert all(says["badge"] != "live" or says["status"] == "failed" for says in after), seen
