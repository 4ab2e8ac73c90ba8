"""What docs/clients.md tells to put into a page."""

from __future__ import annotations

from tests.acceptance.test_recipes import block
from tests.browser.conftest import Tabs
from tests.rows import add_execution, set_status
from tests.servers import wait_for


def test_it_reads_with_an_event_source(tabs: Tabs) -> None:
    page, site = tabs.signed_in(), tabs.site
    before = site.stack.metric("attune_streams")
    page.evaluate(block("clients.md", "In a browser"))
    wait_for(lambda: site.stack.metric("attune_streams") > before, "the snippet to connect")
    execution = add_execution(site.conn, "reports.monthly")
    with page.expect_console_message() as said:
        set_status(site.conn, execution, "running")
    assert str(execution) in said.value.text and "→" in said.value.text
