"""A real browser on a running system, whose network and server can be taken away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from tests import settings
from tests.browser.relay import Relay
from tests.conftest import _clone
from tests.gate import Gate, gate_to
from tests.programs import program
from tests.rows import Connection
from tests.servers import Stack, add_user, product_env, wait_for

# Short, so that silence shows soon, on either side.
QUICK = {"ATTUNE_HEARTBEAT_SECONDS": "0.5", "ATTUNE_SLOW_CLIENT_SECONDS": "1"}
WAIT_MS = 15_000
# What Chromium itself says of an answer that a test provokes.
LOADING = re.compile(r"Failed to load resource")


@dataclass
class Site:
    """A running system as a browser reaches it, and the web server its database."""

    stack: Stack
    relay: Relay
    gate: Gate
    conn: Connection

    @property
    def url(self) -> str:
        return self.relay.url

    def restart_web(self) -> None:
        self.stack.start_web(**QUICK)
        self.relay.port = self.stack.web_port
        self.stack.wait_ready()


@dataclass
class Tabs:
    """One browser of one person, with what its pages complained of."""

    context: BrowserContext
    site: Site
    complaints: list[str] = field(default_factory=list)
    tolerated: list[re.Pattern[str]] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.goto(f"{self.site.url}{path}")
        return page

    def signed_in(self, path: str = "/") -> Page:
        """Sign in, and return the page at `path` once it is live."""
        page = self.open(path)
        sign_in(page)
        expect(page.locator("#badge")).to_have_text("live")
        return page

    def check(self) -> None:
        bad = [c for c in self.complaints if not any(p.search(c) for p in self.tolerated)]
        assert bad == []


def sign_in(page: Page, password: str = "secret") -> None:
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture(autouse=True)
def _no_leaks() -> None:
    """The browser's own processes come and go; `browser` looks that none is left."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = program("chromium")
    before = set(psutil.Process().children(recursive=True))
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        # Without a sandbox: that needs rights which a container does not give.
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()

    def left() -> set[psutil.Process]:
        return set(psutil.Process().children(recursive=True)) - before

    wait_for(lambda: not left(), "the browser to end")


@pytest.fixture(scope="module")
def site(
    browser: Browser, postgres: EmbeddedPostgres, template: str, redis_server: EmbeddedRedis
) -> Iterator[Site]:
    folder: Path = settings.FOLDER / "browser"
    folder.mkdir(exist_ok=True)
    for database in _clone(postgres, template):
        add_user(database, "alice")
        with gate_to(database) as gate:
            stack = Stack(database, folder, product_env(gate.url))
            try:
                stack.start_worker(DATABASE_URL=database)
                stack.start_web(**QUICK)
                stack.wait_ready()
                relay = Relay(stack.web_port)
                with stack.sql() as conn:
                    yield Site(stack, relay, gate, conn)
                relay.close()
            finally:
                stack.stop()


@pytest.fixture
def tabs(browser: Browser, site: Site) -> Iterator[Tabs]:
    """A browser without history on a system without executions."""
    if site.stack.processes["web"].child.poll() is not None:
        site.restart_web()  # a test that took it away has failed; the others need not
    site.relay.release()
    site.conn.execute("DELETE FROM attune.execution")
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_MS)
    tabs = Tabs(context, site)
    _listen(context, tabs.complaints.append, site.url)
    yield tabs
    context.close()
    tabs.check()


def _listen(context: BrowserContext, complain: Callable[[str], None], url: str) -> None:
    context.on(
        "console",
        lambda message: message.type in ("error", "warning") and complain(message.text),
    )
    context.on("weberror", lambda error: complain(str(error.error)))
    context.on(
        "request",
        lambda request: (
            request.url.startswith((url, "data:", "blob:"))
            or complain(f"a request to {request.url}")
        ),
    )
